"""Connections to Redis, bounded in number and in time."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.driver_info import DriverInfo
from redis.exceptions import RedisClusterException, RedisError, ResponseError

from eventlog.cluster import ANSWER_S, Cluster, Connector
from eventlog.errors import EventLogError, LogUnavailable, Unreadable
from eventlog.sentinel import Primary, primary_options
from jobcast.protocol.refusals import is_of_the_data
from jobcast.redis.address import Address, parse_address

COMMAND_TIMEOUT_S: Final = 1.4
"""How long one command may take: callers owe their own callers an answer within 2 s."""

_POOL_SIZE: Final = 32

_RESET: Final = "the handler is closed"
"""What uvloop says, as a RuntimeError, to who writes to a connection that was just reset."""

_ACCEPTED: Final = ""

Client = Redis | Cluster
"""What ``connect`` returns: for those who build and pass it on, and know nothing of Redis."""


def connect(url: str) -> Client:
    """Return a client that opens its connections when they are needed.

    Nothing is repeated, for an append whose answer was lost may have happened. Answers are bounded
    by ``available`` and not by the client, which bounds a write in a way that may lose the
    cancellation of the task that waits for it (``asyncio.wait_for`` on Python 3.11); only the
    client of a Cluster has to learn of a node's silence by itself, to look for the next one.

    Args:
        url: see ``jobcast.redis.address``.

    Raises:
        ValueError: the URL can't be meant.
    """
    address = parse_address(url)
    address.check()
    try:
        return _client(address)
    except (TypeError, RedisError) as error:  # an option that a connection does not have, or so
        raise ValueError(str(error)) from error


def _client(address: Address) -> Client:
    options: dict[str, Any] = {
        "decode_responses": True,
        "encoding": "utf-8",
        "encoding_errors": "replace",  # one job's bad bytes must not spoil a batch of many jobs
        "protocol": 2,
    }
    if "path" not in address.options:  # a Unix socket has none
        options["socket_keepalive"] = True
    if address.kind == "cluster":
        bounds = {"socket_timeout": ANSWER_S, "socket_connect_timeout": ANSWER_S}
        return Cluster(address, max_connections=_POOL_SIZE, **bounds, **options)
    if address.kind == "sentinel":
        options |= primary_options(address)
        address.options.pop("connection_class", None)
    pooled: dict[str, Any] = {
        "max_connections": _POOL_SIZE,
        "timeout": COMMAND_TIMEOUT_S,
        "socket_timeout": None,
        "socket_connect_timeout": COMMAND_TIMEOUT_S,
    }
    options["retry"] = Retry(NoBackoff(), 0)
    options["driver_info"] = DriverInfo()  # else each connection reads redis-py's own files for it
    pool = BlockingConnectionPool(**{**pooled, **address.options, **options})
    pool.make_connection()  # type: ignore[no-untyped-call]  # tried now, or it fails at each request
    return Redis.from_pool(pool)


def connector_of(client: Redis) -> Connector:
    """Return what makes connections to where a client connects."""
    pool: Any = client.connection_pool
    connector: Connector = pool.make_connection
    return connector


async def refusal_of_server(client: Redis) -> str | None:
    """Return why a server refuses, or all the Sentinels that watch it."""
    primary = client.connection_pool.connection_kwargs.get("connection_pool")
    if isinstance(primary, Primary):
        refusal = await refusal_of_all(primary.sentinels(), "PING")
        if refusal is not None:
            return f"of the Sentinels: {refusal}"
    return await refusal_of_all([connector_of(client)], "PING")


async def refusal_of_all(connectors: Iterable[Connector], command: str) -> str | None:
    """Return why servers refuse; None if one accepts, or none can be reached."""
    answers = await asyncio.gather(*(_refusal(connector, command) for connector in connectors))
    refusals = [answer for answer in answers if answer]
    return refusals[0] if refusals and _ACCEPTED not in answers else None


async def _refusal(connector: Connector, command: str) -> str | None:
    """Return why a server refuses; None of one that can't be reached."""
    connection = connector()
    connection.socket_timeout = None  # `available` bounds it
    try:
        async with available():
            await connection.connect()  # type: ignore[no-untyped-call]  # redis-py's own
            await connection.send_command(*command.split())
            await connection.read_response()
    except EventLogError as error:
        return Address.refusal_of(error)
    finally:
        await connection.disconnect(nowait=True)
    return _ACCEPTED


@asynccontextmanager
async def available() -> AsyncIterator[None]:
    """Bound what is asked of Redis in time, and turn the ways of its absence into one.

    Raises:
        Unreadable: Redis refuses because of what a key holds.
        LogUnavailable: Redis did not answer, or answered that it can't serve.
    """
    try:
        async with asyncio.timeout(COMMAND_TIMEOUT_S):
            yield
    except (RedisError, RedisClusterException, OSError, TimeoutError) as error:
        if isinstance(error, ResponseError) and is_of_the_data(str(error)):
            raise Unreadable(f"{Unreadable.text} ({error})") from error
        raise LogUnavailable(f"{LogUnavailable.text} ({type(error).__name__})") from error
    except RuntimeError as error:
        if _RESET not in str(error):
            raise
        raise LogUnavailable(f"{LogUnavailable.text} (reset)") from error
