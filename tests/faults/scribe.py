"""A second copy of a job's log, which keeps what Redis cuts off."""

import asyncio
from contextlib import suppress

from redis.asyncio import Redis
from redis.exceptions import RedisError

from tests.faults.history import Fields
from tests.support.stored import log_of
from tests.support.waiting import after

_PAUSE_S = 0.1
"""Between two looks: no log is cut by more than what is appended meanwhile."""


class Scribe:
    """Copies a log until it is stopped.

    Attributes:
        entries: the fields of each entry, by its id.
    """

    def __init__(self, redis: Redis, job_id: str) -> None:
        self.entries: dict[str, Fields] = {}
        self._redis = redis
        self._job_id = job_id
        self._stopping = False
        self._last = ""
        self._task = asyncio.create_task(self._copy())

    async def stop(self) -> None:
        """Copy no more."""
        # Not by a cancellation: redis-py may lose one on Python 3.11.
        self._stopping = True
        await self._task

    async def _copy(self) -> None:
        while not self._stopping:
            with suppress(RedisError, OSError):
                self.entries.update(await log_of(self._redis, self._job_id, self._last))
                self._last = next(reversed(self.entries), "")
            await after(_PAUSE_S)
