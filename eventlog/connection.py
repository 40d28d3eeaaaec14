"""Connections to Redis, bounded in number and in time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from eventlog.errors import LogUnavailable

COMMAND_TIMEOUT_S: Final = 1.4
"""How long one command may take: callers owe their own callers an answer within 2 s."""

_POOL_SIZE: Final = 32


def connect(url: str, *, timeout_s: float = COMMAND_TIMEOUT_S, decode: bool = True) -> Redis:
    """Return a client that opens its connections when they are needed.

    A stale connection is tried once more on a new one; nothing else is repeated, for an append
    whose answer was lost may have happened.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``.
        timeout_s: bound of connecting, of waiting for a free connection, and of one answer.
        decode: answers as str instead of bytes.

    Raises:
        ValueError: the URL is none of Redis.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=_POOL_SIZE,
        timeout=timeout_s,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        socket_keepalive=True,
        decode_responses=decode,
        protocol=2,
        retry=Retry(NoBackoff(), 0),
    )
    return Redis.from_pool(pool)


@asynccontextmanager
async def available() -> AsyncIterator[None]:
    """Turn the client's ways of saying that Redis is away into one.

    Raises:
        LogUnavailable: Redis did not answer, or answered that it can't serve.
    """
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise LogUnavailable(f"{LogUnavailable.__doc__} ({type(error).__name__})") from error
