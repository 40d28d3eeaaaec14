"""The settings: one struct, read from the environment and validated at start.

Every field is an environment variable; times are seconds, sizes are bytes.
"""

import logging
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from app.origins import parse_origins
from jobcast import parse_address
from schema.http import MAX_TYPE

_log = logging.getLogger("jobcast.settings")

_HMAC: Final = frozenset({"HS256", "HS384", "HS512"})
_ASYMMETRIC: Final = frozenset({"RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "EdDSA"})

_MAX_INTEGER: Final = 2**53 - 1

Positive = Annotated[int, Meta(gt=0, le=_MAX_INTEGER)]
Time = Annotated[float, Meta(ge=0, le=3600)]
Period = Annotated[float, Meta(ge=0.1, le=31_536_000)]
"""A time that passes again and again: each end is work for the service."""


class InvalidSettings(ValueError):
    """A setting is invalid."""


class Settings(Struct, frozen=True):
    """The settings of the service.

    Attributes:
        redis_url: the Redis or Valkey that holds the logs.
        jwt_secret: shared secret for HS256, HS384 and HS512, with the white space at its ends.
        jwt_algorithms: accepted signing algorithms.
        jwt_public_key: PEM text, or the path of a PEM file.
        jwt_jwks: path or http(s) URL of a JSON Web Key Set.
        jwt_issuer: required ``iss``, if set.
        jwt_audience: required member of ``aud``, if set.
        nbf_leeway_s: time before its ``nbf`` from which a token is accepted.
        exp_leeway_s: time after its ``exp`` for which a token is still accepted.
        cookie_name: cookie that may carry a token; none if unset.
        demo: whether to start even without a key, with sessions as the only identity.
        stream_max_age_s: age at which a stream ends, so that its viewer reconnects.
        keepalive_s: silence after which a keepalive is sent.
        notice_s: time from SIGTERM, when ``/readyz`` turns 503, to the closing of the listener.
        grace_s: time after that to end the streams.
        reconnects_per_s: rate at which the viewers of a drained process reconnect.
        stall_grace_s: time for workers to renew their leases after a start or an outage of Redis,
            before runs with expired leases fail.
        retention_s: time for which a finished job is kept.
        log_entries: maximum length of a job's log.
        event_bytes: maximum size of an event's data, including results.
        streams_per_owner: limit of open streams of one owner, in this process.
        streams_per_job: limit of open streams of one job, in this process.
        streams_per_process: limit of open streams of this process.
        mailbox_bytes: limit of the frames buffered for one slow viewer.
        cors_origins: allowed origins, as browsers send them, or ``*``.
        cors_headers: further headers that they may send, in lower case.
        trust_forwarded_prefix: whether to use ``X-Forwarded-Prefix``, which a proxy must then set.
        direct_write: whether to write frames straight to the server's transport where possible.
        queue_kind: kind of the queue for jobs created over HTTP.
        queue: name of that queue.
        queue_url: broker of Celery or Redis of RQ, if it is not ``redis_url``.
        queue_tasks: ``type=task`` for each type of job: the task of Celery or RQ that runs it.
        files_root: folder that the ``checksum`` job may read; used by the worker.
    """

    redis_url: str = "redis://127.0.0.1:6379/0"
    jwt_secret: str | None = None
    jwt_algorithms: tuple[str, ...] = ("HS256",)
    jwt_public_key: str | None = None
    jwt_jwks: str | None = None
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    nbf_leeway_s: Time = 30
    exp_leeway_s: Time = 0
    cookie_name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+\Z")] | None = None
    demo: bool = False
    stream_max_age_s: Period = 600
    keepalive_s: Period = 15
    notice_s: Time = 2
    grace_s: Annotated[float, Meta(ge=0, le=31_536_000)] = 10
    reconnects_per_s: Positive = 1000
    stall_grace_s: Annotated[float, Meta(ge=1, le=31_536_000)] = 20
    retention_s: Annotated[int, Meta(gt=0, le=315_360_000)] = 86_400
    log_entries: Annotated[int, Meta(ge=10, le=1_000_000)] = 10_000
    event_bytes: Annotated[int, Meta(ge=1024, le=1024 * 1024)] = 1024 * 1024
    streams_per_owner: Positive = 10_000
    streams_per_job: Positive = 10_000
    streams_per_process: Positive = 50_000
    mailbox_bytes: Annotated[int, Meta(ge=1024, le=_MAX_INTEGER)] = 256 * 1024
    cors_origins: tuple[str, ...] = ()
    cors_headers: tuple[str, ...] = ()
    trust_forwarded_prefix: bool = False
    direct_write: bool = True
    queue_kind: Literal["bullmq", "celery", "rq", "none"] = "bullmq"
    queue: Annotated[str, Meta(pattern=r"^[^:\s]{1,128}\Z")] = "jobcast"
    queue_url: str | None = None
    queue_tasks: tuple[str, ...] = ()
    files_root: str | None = None


_UNPREFIXED: Final = {"redis_url": "REDIS_URL", "jwt_secret": "JWT_SECRET"}
_HEADER: Final = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,256}")
_FORBIDDEN: Final = re.compile(
    "accept-charset|accept-encoding|access-control-request-.*|connection|content-length|cookie2?"
    "|date|dnt|expect|host|keep-alive|origin|referer|set-cookie|te|trailer|transfer-encoding"
    "|upgrade|via|proxy-.*|sec-.*"
)
"""The Fetch standard's forbidden request-headers, which pages can't send."""

_PREFIX: Final = "JOBCAST_"
_BOOLEANS: Final = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


def variable(field: str) -> str:
    """Return the environment variable of a setting."""
    return _UNPREFIXED.get(field, _PREFIX + field.upper())


def is_setting(name: str) -> bool:
    """Return whether an environment variable is a setting, of the service or another process."""
    return name.startswith(_PREFIX) or name in _UNPREFIXED.values()


def settings_from(environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings.

    Args:
        environment: variables; an empty one counts as unset.

    Raises:
        InvalidSettings: a value is invalid, or conflicts with another; the message names the
            variable.
    """
    values: dict[str, Any] = {}
    known = set()
    for field in msgspec.structs.fields(Settings):
        name = variable(field.name)
        known.add(name)
        given = environment.get(name, "")
        if text := given.strip():
            verbatim = field.name == "jwt_secret"  # white space may be part of a secret
            values[field.name] = _value(name, given if verbatim else text, field.type)
    _warn_of_unknown(environment, known)
    try:
        settings = msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidSettings(_named(str(error))) from None
    _check(settings)
    _warn_of_unused_origins(settings)
    return settings


def _value(name: str, text: str, kind: object) -> Any:  # noqa: ANN401 - msgspec judges it
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidSettings(f"{name}: not UTF-8")  # Python decodes such bytes to surrogates
    if kind == tuple[str, ...]:
        return _list(name, text.replace(",", " ").split())
    if kind is bool:
        if text.lower() not in _BOOLEANS:
            raise InvalidSettings(f"{name}: {text!r} is neither 1 nor 0")
        return _BOOLEANS[text.lower()]
    return text


def _list(name: str, items: list[str]) -> Sequence[str]:
    if name == variable("cors_origins"):
        try:
            return parse_origins(items)
        except ValueError as error:
            raise InvalidSettings(f"{name}: {error}") from None
    if name == variable("cors_headers"):
        headers = [item.lower() for item in items]
        for header in headers:
            if header == "*":
                raise InvalidSettings(f"{name}: name each header, * is none")
            if _HEADER.fullmatch(header) is None:
                raise InvalidSettings(f"{name}: {header!r} is no name of a header")
            if _FORBIDDEN.fullmatch(header) is not None:
                raise InvalidSettings(f"{name}: browsers let no page send {header!r}")
        return headers
    return items


def _named(message: str) -> str:
    text, _, path = message.partition(" - at `$.")
    return f"{variable(path.rstrip('`'))}: {text}" if path else text


def _warn_of_unknown(environment: Mapping[str, str], known: set[str]) -> None:
    of_the_worker, of_the_bridge = {"JOBCAST_CONCURRENCY"}, f"{_PREFIX}BRIDGE_"
    for name in environment:
        if name.startswith(of_the_bridge):
            continue
        if name.startswith(_PREFIX) and name not in known | of_the_worker:
            _log.warning("%s is no setting of Jobcast and is ignored", name)


def _warn_of_unused_origins(settings: Settings) -> None:
    headers, origins = variable("cors_headers"), variable("cors_origins")
    if settings.cors_headers and not settings.cors_origins:
        _log.warning("%s has no effect without %s", headers, origins)
    if "*" in settings.cors_origins and len(settings.cors_origins) > 1:
        _log.warning("%s: beside * the others have no effect, all do without cookies", origins)


def _check(settings: Settings) -> None:
    algorithms = frozenset(settings.jwt_algorithms)
    unknown = algorithms - _HMAC - _ASYMMETRIC
    if unknown or not algorithms:
        raise InvalidSettings(
            f"{variable('jwt_algorithms')}: {', '.join(sorted(unknown)) or 'nothing'} is not among "
            f"{', '.join(sorted(_HMAC | _ASYMMETRIC))}"
        )
    if settings.jwt_public_key and settings.jwt_jwks:
        raise InvalidSettings(
            f"{variable('jwt_public_key')} and {variable('jwt_jwks')}: set one of them"
        )
    has_public = bool(settings.jwt_public_key or settings.jwt_jwks)
    if has_public and not algorithms & _ASYMMETRIC:
        raise InvalidSettings(
            f"{variable('jwt_algorithms')}: a public key needs one of "
            f"{', '.join(sorted(_ASYMMETRIC))}"
        )
    if algorithms & _ASYMMETRIC and not has_public:
        raise InvalidSettings(
            f"{variable('jwt_public_key')} or {variable('jwt_jwks')}: needed for "
            f"{', '.join(sorted(algorithms & _ASYMMETRIC))}"
        )
    if not settings.jwt_secret and not has_public and not settings.demo:
        raise InvalidSettings(
            "JWT_SECRET: set it to the secret that your tokens are signed with (or "
            f"{variable('jwt_public_key')} or {variable('jwt_jwks')}; {variable('demo')}=1 "
            "starts without, for trying out)"
        )
    _warn_of_unused_algorithms(algorithms, has_secret=bool(settings.jwt_secret))
    _check_sources(settings)
    _check_queue(settings)


def _warn_of_unused_algorithms(algorithms: frozenset[str], *, has_secret: bool) -> None:
    secret, listed = variable("jwt_secret"), variable("jwt_algorithms")
    if has_secret and not algorithms & _HMAC:
        _log.warning("%s has no effect: %s lists none of HS256, HS384, HS512", secret, listed)
    if not has_secret and algorithms & _HMAC and algorithms & _ASYMMETRIC:
        hmac = ", ".join(sorted(algorithms & _HMAC))
        _log.warning("%s: without %s no token of %s is accepted", listed, secret, hmac)


def queue_tasks(settings: Settings) -> Mapping[str, str]:
    """Return the names of tasks by job type.

    Raises:
        InvalidSettings: an item is not ``type=task``, or a type is named twice.
    """
    tasks: dict[str, str] = {}
    for item in settings.queue_tasks:
        job_type, _, task = item.partition("=")
        if not (0 < len(job_type) <= MAX_TYPE and task):
            raise InvalidSettings(f"{variable('queue_tasks')}: {item!r} is not TYPE=TASK")
        if job_type in tasks:
            raise InvalidSettings(f"{variable('queue_tasks')}: {job_type!r} is named twice")
        tasks[job_type] = task
    return tasks


def _check_queue(settings: Settings) -> None:
    kind = settings.queue_kind
    if kind in {"celery", "rq"}:
        # Clients choose the type: without a list they could call any function of the worker.
        if not queue_tasks(settings):
            raise InvalidSettings(
                f"{variable('queue_tasks')}: name the tasks of {kind}, as TYPE=TASK TYPE=TASK"
            )
        return
    for field in ("queue_url", "queue_tasks"):
        if getattr(settings, field):
            _log.warning(
                "%s has no effect with %s=%s", variable(field), variable("queue_kind"), kind
            )


def _check_sources(settings: Settings) -> None:
    key = settings.jwt_public_key
    if key and "-----BEGIN" not in key and not _is_file(key):
        raise InvalidSettings(f"{variable('jwt_public_key')}: neither PEM text nor a file")
    jwks = settings.jwt_jwks
    if jwks and not jwks.lower().startswith(("http://", "https://")) and not _is_file(jwks):
        raise InvalidSettings(f"{variable('jwt_jwks')}: neither a URL nor a file")
    try:
        parse_address(settings.redis_url).check()
    except ValueError as error:
        raise InvalidSettings(f"{variable('redis_url')}: {error}") from error


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except OSError:  # an impossible file name
        return False
