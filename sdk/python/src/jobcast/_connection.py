"""The connection to Redis."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from jobcast._event import Event
from jobcast._script import APPEND, Answer, arguments, refusal
from jobcast._wire import index_member, job_keys, owner_keys

_log = logging.getLogger("jobcast")

TIMEOUT_S: Final = 5.0
MAX_CONNECTIONS: Final = 32
UNFINISHED_S: Final = 8 * 24 * 3600
"""More than an unfinished job lives on after its last entry."""


class Connection:
    """Runs the append script. Opened at first use, shared by any number of runs.

    Nothing is sent twice: an append that was written but not answered must not be written again.
    """

    def __init__(self, url: str) -> None:
        pool = BlockingConnectionPool.from_url(
            url,
            decode_responses=True,
            max_connections=MAX_CONNECTIONS,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
            # With RESP3, redis-py 8 hands out connections that the server has closed meanwhile.
            protocol=2,
        )
        # redis-py keeps to a timeout of its own by asyncio.wait_for, which on Python 3.11 may lose
        # the cancellation of the task that waits: the timeout is kept here instead.
        self._timeout_s: float | None = pool.connection_kwargs["socket_timeout"]
        pool.connection_kwargs["socket_timeout"] = None
        self._redis = Redis.from_pool(pool)
        self._script = self._redis.register_script(APPEND)
        self._warned = False

    async def append(
        self, job_id: str, event: Event, *, attempt: int | None = None, run: str = ""
    ) -> Answer:
        """Append an event to a job's log; a `JobcastError` when the script refuses it."""
        try:
            async with self._limited():
                reply = await self._script(
                    keys=list(job_keys(job_id)), args=arguments(event, attempt, run)
                )
        except ResponseError as error:
            raise refusal(str(error)) or error from None
        answer = Answer.from_reply(reply)
        if answer.receivers < 0 and not self._warned:
            self._warned = True
            _log.warning("this Redis user may not publish: viewers learn of events late, or never")
        return answer

    async def index(
        self,
        job_id: str,
        created_id: str,
        *,
        user_id: str | None,
        session_id: str | None,
        retention_s: int,
    ) -> None:
        """List a job among those of its owners, for longer than it can live."""
        member = index_member(created_id, job_id)
        async with self._limited(), self._redis.pipeline(transaction=False) as pipeline:
            for key in owner_keys(user_id, session_id):
                pipeline.zadd(key, {member: 0})
                pipeline.expire(key, UNFINISHED_S + retention_s)
            await pipeline.execute()

    @asynccontextmanager
    async def _limited(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._timeout_s):
                yield
        except TimeoutError:
            raise RedisTimeoutError(f"Redis did not answer in {self._timeout_s} s") from None

    async def aclose(self) -> None:
        """Close every connection."""
        await self._redis.aclose()
