"""Where Redis is, in one URL: a server by itself, one that Sentinels watch, or a Cluster.

=====================================================  =======================================
``redis://`` ``rediss://`` ``unix://``                 as redis-py reads them
``redis+sentinel://[user:password@]host:port,…/name``  Sentinels, and the name of what they watch
``redis+cluster://[user:password@]host:port,…``        nodes of a Cluster, which know the others
=====================================================  =======================================

``rediss+sentinel://`` and ``rediss+cluster://`` speak TLS, to the Sentinels as well. User and
password are those of the data nodes; ``sentinel_username`` and ``sentinel_password`` in the query
those of the Sentinels. A database may follow a Sentinel's name: ``…/name/2``. What else the query
holds are options of a connection, as redis-py names them: ``ssl_ca_certs``, ``ssl_certfile``,
``ssl_keyfile`` …

The service and the worker library each have a copy of this module, and share no other code.
"""

from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

from redis.asyncio.connection import SSLConnection, parse_url

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


@dataclass(frozen=True)
class Address:
    """What a URL says.

    ``options`` are keyword arguments of a redis-py connection to a data node, with the class of it
    as ``connection_class`` where that is not the plain one. ``nodes`` are the Sentinels, or nodes
    of the Cluster; ``name`` is what the Sentinels call the server; ``sentinel_options`` are keyword
    arguments of a redis-py client of one of them.
    """

    kind: Kind
    options: dict[str, Any]
    nodes: tuple[HostAndPort, ...] = ()
    name: str = ""
    sentinel_options: dict[str, Any] = field(default_factory=dict)

    @property
    def is_tls(self) -> bool:
        """Whether the data nodes are spoken to by TLS."""
        return self.options.get("connection_class") is SSLConnection


def parse_address(url: str) -> Address:
    """Read a URL; a ValueError that names no password when it can't be meant."""
    parts = urlsplit(url)
    kind = _KINDS.get(parts.scheme)
    if kind is None:
        raise ValueError(f"begins with none of {', '.join(f'{scheme}://' for scheme in _KINDS)}")
    if kind == "single":
        _port_of(parts)
        return Address(kind, dict(parse_url(url)))
    query = parse_qsl(parts.query)
    of_sentinels: dict[str, Any] = {
        key.removeprefix(_OF_SENTINELS): value
        for key, value in query
        if key.startswith(_OF_SENTINELS)
    }
    userinfo, _, hosts = parts.netloc.rpartition("@")
    nodes = tuple(_host_and_port(text, _PORTS[kind]) for text in hosts.split(","))
    name, _, database = parts.path.strip("/").partition("/")
    if kind == "cluster" and (name or dict(query).get("db", "0") != "0"):
        raise ValueError("a Cluster has no databases: nothing can follow its nodes")
    if kind == "sentinel" and not name:
        raise ValueError(
            "the name of what the Sentinels watch has to follow them: …:26379/mymaster"
        )
    if database and not database.isdecimal():
        raise ValueError("the database that follows the name is a number")
    options = dict(
        parse_url(
            SplitResult(
                parts.scheme.partition("+")[0],
                f"{userinfo}@" if userinfo else "",
                f"/{database}",
                urlencode(
                    [(key, value) for key, value in query if not key.startswith(_OF_SENTINELS)]
                ),
                "",
            ).geturl()
        )
    )
    if "connection_class" in options:
        tls = {key: value for key, value in options.items() if key.startswith("ssl_")}
        of_sentinels |= {"ssl": True, **tls}
    return Address(kind, options, nodes, unquote(name), of_sentinels)


def _host_and_port(text: str, port: int) -> HostAndPort:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError(_NO_HOST_AND_PORT)
    return parts.hostname, _port_of(parts) or port


def _port_of(parts: SplitResult) -> int | None:
    try:
        return parts.port
    except ValueError:
        # Not repeated: of a password with a slash, this is what stands before it.
        raise ValueError(_NO_HOST_AND_PORT) from None
