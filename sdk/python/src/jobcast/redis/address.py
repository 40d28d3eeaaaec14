"""The address of Redis as one URL: a single server, a primary with Sentinels, or a Cluster.

=====================================================  =======================================
``redis://`` ``rediss://`` ``unix://``                 as redis-py reads them
``redis+sentinel://[user:password@]host:port,…/name``  Sentinels, and their name of the primary
``redis+cluster://[user:password@]host:port,…``        some nodes of a Cluster
=====================================================  =======================================

``rediss+sentinel://`` and ``rediss+cluster://`` use TLS, also to the Sentinels. User and password
are those of the data nodes; those of the Sentinels are ``sentinel_username`` and
``sentinel_password`` in the query. A database may follow the name of the primary: ``…/name/2``. The
other query parameters are connection options of redis-py: ``ssl_ca_certs``, ``ssl_certfile``,
``ssl_keyfile`` …
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

from redis.asyncio.connection import Connection, SSLConnection, parse_url
from redis.exceptions import (
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    AuthorizationError,
    NoPermissionError,
    RedisError,
    ResponseError,
)

Kind = Literal["single", "sentinel", "cluster"]
HostAndPort = tuple[str, int]

_KINDS: dict[str, Kind] = {
    "redis": "single",
    "rediss": "single",
    "unix": "single",
    "redis+sentinel": "sentinel",
    "rediss+sentinel": "sentinel",
    "redis+cluster": "cluster",
    "rediss+cluster": "cluster",
}
_PORTS: dict[Kind, int] = {"single": 6379, "sentinel": 26379, "cluster": 6379}
_OF_SENTINELS = "sentinel_"
_NO_HOST_AND_PORT = (
    "there is no host and port where they should be; a user or password has / ? # @ written as"
    " %2F %3F %23 %40"
)

_Form = tuple[str, str]
"""The pattern of an option's value, and its description in an error message."""

_TEXT: _Form = (r"(?s:.*)", "text")
_WHOLE: _Form = (r"[0-9]{1,9}", "a whole number")
_POSITIVE: _Form = (r"0*[1-9][0-9]{0,8}", "a whole number above 0")
_SECONDS: _Form = (r"(?=[0-9.]*[1-9])[0-9]{0,9}\.?[0-9]{0,9}", "a number of seconds above 0")
_BOOLEAN: _Form = (r"(?i:1|t|true|y|yes|0|f|false|n|no)", "1 or 0")

_COMMON: Mapping[str, _Form] = {
    "username": _TEXT,
    "password": _TEXT,
    "client_name": (r"[!-~]*", "ASCII without spaces, or Redis refuses it"),
    "socket_timeout": _SECONDS,
    "socket_connect_timeout": _SECONDS,
    "socket_read_size": _POSITIVE,
    "health_check_interval": _WHOLE,
    "max_connections": _POSITIVE,
}
_DATABASE: Mapping[str, _Form] = {"db": _WHOLE}
_POOLED: Mapping[str, _Form] = {"timeout": _SECONDS, "retry_on_timeout": _BOOLEAN}
_TCP: Mapping[str, _Form] = {"socket_keepalive": _BOOLEAN}
_TLS: Mapping[str, _Form] = {
    "ssl_ca_certs": _TEXT,
    "ssl_ca_data": _TEXT,
    "ssl_certfile": _TEXT,
    "ssl_keyfile": _TEXT,
    "ssl_cert_reqs": (r"none|optional|required", "none, optional or required"),
    "ssl_check_hostname": _BOOLEAN,
    "ssl_ciphers": _TEXT,
    "ssl_exclude_verify_flags": _TEXT,
    "ssl_include_verify_flags": _TEXT,
    "ssl_min_version": _WHOLE,
}
_TLS_OF_ONE: Mapping[str, _Form] = {"ssl_ca_path": _TEXT, "ssl_password": _TEXT}
_DECIDED = frozenset({"decode_responses", "encoding", "encoding_errors", "protocol"})
_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_POOL_OPTIONS = ("max_connections", "timeout")

_REFUSALS = (
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    AuthorizationError,
    NoPermissionError,
)
_REFUSED = re.compile(
    r"DB index|Client name|SETNAME|SELECT|cluster support disabled|unknown command|AUTH\b",
    re.IGNORECASE,
)
"""Error replies that are due to the URL. A proxy in front of Redis has other ones."""


@dataclass(frozen=True)
class Address:
    """A parsed URL.

    ``options`` are keyword arguments of a redis-py connection to a data node; its class is among
    them as ``connection_class``, unless it is the plain one. ``nodes`` are the Sentinels, or nodes
    of the Cluster; ``name`` is the Sentinels' name of the primary; ``sentinel_options`` are keyword
    arguments of a redis-py client of a Sentinel.
    """

    kind: Kind
    options: dict[str, Any]
    nodes: tuple[HostAndPort, ...] = ()
    name: str = ""
    sentinel_options: dict[str, Any] = field(default_factory=dict)

    @property
    def is_tls(self) -> bool:
        """Whether connections to the data nodes use TLS."""
        return self.options.get("connection_class") is SSLConnection

    def check(self) -> None:
        """Raise a ValueError, which names the option, if an option of the URL can't be used.

        Does not connect, but reads the files of certificates and keys.
        """
        for name in _FILES:
            if name in self.options:
                _check_file(name, self.options[name])
        options = {key: value for key, value in self.options.items() if key not in _POOL_OPTIONS}
        kind = options.pop("connection_class", Connection)
        if self.is_tls:
            options.setdefault("ssl_password", "")  # else OpenSSL prompts for one on the terminal
        try:
            connection = kind(**options)
            if self.is_tls:
                connection.ssl_context.get()
        except (TypeError, ValueError, OSError, RedisError) as error:
            what = ", ".join(sorted(key for key in options if key.startswith("ssl_")))
            raise ValueError(f"{what or 'an option'} can't be used: {error}") from None

    @staticmethod
    def refusal_of(error: BaseException) -> str | None:
        """Return why Redis refuses the URL: its user, password, database or an option.

        None if the error may be transient, such as an unreachable server. ``error``, or a cause of
        it, is what redis-py raised when it opened a connection or sent a first command.
        """
        while not isinstance(error, _REFUSALS) and error.__cause__ is not None:
            error = error.__cause__
        if type(error) is ResponseError and _REFUSED.search(str(error)):
            return str(error)
        return str(error) if isinstance(error, _REFUSALS) else None


def parse_address(url: str) -> Address:
    """Parse a URL. Raises a ValueError, which contains no password, if the URL is invalid."""
    if not isinstance(url, str):
        # As the settings of pydantic have it: such an object may hide the password in its text.
        raise ValueError(f"the address must be a string, not {type(url).__name__}")  # noqa: TRY004
    parts = _split(url)
    kind = _KINDS.get(parts.scheme)
    if kind is None:
        raise ValueError(
            f"the address begins with none of {', '.join(f'{scheme}://' for scheme in _KINDS)}"
        )
    if parts.fragment or re.search(r"[\x00-\x1f\x7f]", url):
        raise ValueError(_NO_HOST_AND_PORT)
    query = parse_qsl(parts.query, keep_blank_values=True)
    is_tls = parts.scheme.startswith("rediss")
    _check_options(query, kind, is_unix=parts.scheme == "unix", is_tls=is_tls)
    if kind == "single":
        return _single(url, parts)
    of_sentinels = [
        (key.removeprefix(_OF_SENTINELS), value)
        for key, value in query
        if key.startswith(_OF_SENTINELS)
    ]
    userinfo, _, hosts = parts.netloc.rpartition("@")
    nodes = tuple(_host_and_port(text, _PORTS[kind]) for text in hosts.split(","))
    name, _, database = parts.path.strip("/").partition("/")
    if kind == "cluster" and (name or dict(query).get("db", "0") != "0"):
        raise ValueError("a Cluster has no databases: nothing can follow its nodes")
    if kind == "sentinel" and not name:
        raise ValueError(
            "the name of what the Sentinels watch has to follow them: …:26379/mymaster"
        )
    _check_database(database, "the name")
    options = _options(
        parts.scheme.partition("+")[0],
        f"{userinfo}@" if userinfo else "",
        f"/{database}",
        [(key, value) for key, value in query if not key.startswith(_OF_SENTINELS)],
    )
    sentinel_options = _options("redis", "", "", of_sentinels)
    if is_tls:
        tls = {key: value for key, value in options.items() if key.startswith("ssl_")}
        sentinel_options |= {"ssl": True, **tls}
    return Address(kind, options, nodes, unquote(name), sentinel_options)


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:  # its text may quote the password
        raise ValueError(_NO_HOST_AND_PORT) from None


def _single(url: str, parts: SplitResult) -> Address:
    if parts.scheme == "unix":
        if parts.hostname or not parts.path.strip("/"):
            raise ValueError("a socket is named by a whole path: unix:///run/redis.sock")
    else:
        _port_of(parts)
        _check_database(parts.path.strip("/"), "host and port")
    return Address("single", dict(parse_url(url)))


def _options(
    scheme: str, userinfo: str, path: str, query: Iterable[tuple[str, str]]
) -> dict[str, Any]:
    url = SplitResult(scheme, userinfo, path, urlencode(list(query)), "").geturl()
    return dict(parse_url(url))


def _check_options(
    query: Iterable[tuple[str, str]], kind: Kind, *, is_unix: bool, is_tls: bool
) -> None:
    known = {**_COMMON, **_DATABASE, **({} if is_unix else _TCP)}
    known |= {} if kind == "cluster" else _POOLED
    known |= (_TLS if kind == "cluster" else {**_TLS, **_TLS_OF_ONE}) if is_tls else {}
    if kind == "sentinel":
        known |= {f"{_OF_SENTINELS}{name}": form for name, form in {**_COMMON, **_TCP}.items()}
    seen = set()
    for name, text in query:
        if re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name) is None:
            raise ValueError(_NO_HOST_AND_PORT)  # not quoted: perhaps part of a password
        if name in _DECIDED:
            raise ValueError(f"{name}: Jobcast decides about that itself, leave it out")
        if name in _TLS and not is_tls:
            raise ValueError(f"{name}: only with TLS, as in rediss://")
        if name not in known:
            raise ValueError(f"{name} is no option; those are {', '.join(sorted(known))}")
        if name in seen:
            raise ValueError(f"{name}: given twice")
        seen.add(name)
        pattern, description = known[name]
        if text and re.fullmatch(pattern, text) is None:
            raise ValueError(f"{name}: has to be {description}")


def _check_database(text: str, after: str) -> None:
    if text and re.fullmatch(_WHOLE[0], text) is None:
        raise ValueError(f"the database that follows {after} is a number")


def _check_file(name: str, path: str) -> None:
    try:
        with Path(path).open("rb"):
            pass
    except (OSError, ValueError) as error:
        raise ValueError(f"{name}: can't be read ({error})") from None


def _host_and_port(text: str, port: int) -> HostAndPort:
    parts = _split(f"//{text}")
    if not parts.hostname:
        raise ValueError(_NO_HOST_AND_PORT)
    return parts.hostname, _port_of(parts) or port


def _port_of(parts: SplitResult) -> int | None:
    try:
        return parts.port
    except ValueError:
        # Not quoted: it is the beginning of a password that contains a slash.
        raise ValueError(_NO_HOST_AND_PORT) from None
