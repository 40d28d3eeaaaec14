"""Connections to Redis, bounded in number and in time."""

import asyncio
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

Client = Redis
"""What ``connect`` returns: for those who build and pass it on, and know nothing of Redis."""


def connect(url: str, *, decode: bool = True) -> Client:
    """Return a client that opens its connections when they are needed.

    Nothing is repeated, for an append whose answer was lost may have happened. Answers are bounded
    by ``available`` and not by the client, which bounds a write in a way that may lose the
    cancellation of the task that waits for it (``asyncio.wait_for`` on Python 3.11).

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``.
        decode: answers as str instead of bytes.

    Raises:
        ValueError: the URL is none of Redis.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=_POOL_SIZE,
        timeout=COMMAND_TIMEOUT_S,
        socket_timeout=None,
        socket_connect_timeout=COMMAND_TIMEOUT_S,
        socket_keepalive=True,
        decode_responses=decode,
        encoding_errors="replace",  # one job's bad bytes must not spoil a pipeline of many jobs
        protocol=2,
        retry=Retry(NoBackoff(), 0),
    )
    return Client.from_pool(pool)


@asynccontextmanager
async def available() -> AsyncIterator[None]:
    """Bound what is asked of Redis in time, and turn the ways of its absence into one.

    Raises:
        LogUnavailable: Redis did not answer, or answered that it can't serve.
    """
    try:
        async with asyncio.timeout(COMMAND_TIMEOUT_S):
            yield
    except (RedisError, OSError, TimeoutError) as error:
        raise LogUnavailable(f"{LogUnavailable.__doc__} ({type(error).__name__})") from error
