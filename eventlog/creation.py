"""What makes creating a job repeatable: idempotency keys, and a note of what is not sure yet."""

import time
from typing import Final, cast

import msgspec
from msgspec import Struct
from redis.asyncio import Redis

from eventlog.connection import available
from eventlog.errors import IdempotencyConflict
from schema.wire import UNCONFIRMED_KEY, idempotency_key

_KEY_KEPT_S: Final = 24 * 3600


class _Claim(Struct):
    job_id: str
    request: str


class Creation:
    """Remembers what was begun, so that it can be finished or undone."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def claim(self, owner: str, key: str, request: str, job_id: str) -> str:
        """Return the job that an Idempotency-Key stands for: this one, or that of the first call.

        Args:
            owner: whose key it is.
            key: the key.
            request: digest of the request.
            job_id: the job to be created if the key is fresh.

        Raises:
            IdempotencyConflict: the key was used for another request.
            LogUnavailable: Redis is away.
        """
        name = idempotency_key(owner, key)
        claim = msgspec.json.encode(_Claim(job_id, request))
        async with available():
            if await self._redis.set(name, claim, nx=True, ex=_KEY_KEPT_S):
                return job_id
            found = await self._redis.get(name)
        if found is None:  # it ran out in between
            return await self.claim(owner, key, request, job_id)
        first = msgspec.json.decode(found, type=_Claim)
        if first.request != request:
            raise IdempotencyConflict
        return first.job_id

    async def begin(self, job_id: str) -> None:
        """Note that a job is about to be queued.

        Raises:
            LogUnavailable: Redis is away.
        """
        async with available():
            await self._redis.zadd(UNCONFIRMED_KEY, {job_id: time.time()})

    async def confirm(self, job_id: str) -> None:
        """Note that a job is in the queue, or needs to be no more.

        Raises:
            LogUnavailable: Redis is away.
        """
        async with available():
            await self._redis.zrem(UNCONFIRMED_KEY, job_id)

    async def unconfirmed(self, older_than_s: float) -> list[str]:
        """Return the jobs that were begun so long ago and not confirmed.

        Raises:
            LogUnavailable: Redis is away.
        """
        async with available():
            found = await self._redis.zrange(
                UNCONFIRMED_KEY, "-inf", time.time() - older_than_s, byscore=True
            )
        return cast("list[str]", found)
