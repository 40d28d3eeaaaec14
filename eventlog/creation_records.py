"""Idempotent creation of jobs: idempotency keys, and the set of unconfirmed jobs."""

from contextlib import suppress
from typing import Any, Final

import msgspec
from msgspec import Struct

from eventlog.complaints import complaints
from eventlog.errors import IdempotencyConflict, Unreadable
from eventlog.redis_calls import available
from jobcast.protocol.names import ADD_LUA, UNCONFIRMED_KEY, idempotency_key, parse_job_id
from jobcast.redis.caller import Caller
from jobcast.redis.connection import decoded

_KEY_KEPT_S: Final = str(24 * 3600)

# By the clock of Redis: another process may sweep, and its clock may be ahead.
_NOW: Final = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
"""
_BEGIN: Final = ADD_LUA + _NOW + "add(string.format('%.6f', now), ARGV[1])"
_BEGUN: Final = (
    _NOW
    + """
local before = string.format('%.6f', now - ARGV[1])
local begun = {}
for _, member in ipairs(redis.call('ZRANGE', KEYS[1], '-inf', before, 'BYSCORE')) do
  if #member <= 128 and string.match(member, '^[%w._-]+$') then
    begun[#begun + 1] = member
  else
    redis.call('ZREM', KEYS[1], member) -- not a job id, so it is never confirmed
  end
end
return begun
"""
)


class Claim(Struct, frozen=True):
    """The job of an Idempotency-Key.

    Attributes:
        job_id: the job.
        request: digest of the request.
        queued: whether the queueing of the job is confirmed.
    """

    job_id: str
    request: str
    queued: bool = False


class CreationRecords:
    """Records of creations in progress, so that each can be finished or undone."""

    def __init__(self, redis: Caller) -> None:
        self._redis = redis

    async def claim(self, owner: str, key: str, fresh: Claim) -> Claim:
        """Return the claim of an Idempotency-Key: this one, or that of the first call.

        Args:
            owner: owner of the key.
            key: the key.
            fresh: the claim to store if the key is unused.

        Raises:
            IdempotencyConflict: the key was used for another request.
            Unreadable: the stored claim is corrupt.
            LogUnavailable: Redis is unavailable.
        """
        name = idempotency_key(owner, key)
        claim = msgspec.json.encode(fresh)
        async with available():
            if await self._redis.call(name, "SET", name, claim, "NX", "EX", _KEY_KEPT_S):
                return fresh
            found = await self._redis.call(name, "GET", name)
        if found is None:  # it has just expired
            return await self.claim(owner, key, fresh)
        try:
            first = msgspec.json.decode(found, type=Claim)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Unreadable(f"{name} holds no claim: {error}") from error
        if parse_job_id(first.job_id) != first.job_id:  # no key has a UUID in upper case
            raise Unreadable(f"{name} holds a claim to {first.job_id[:80]!r}")
        if first.request != fresh.request:
            raise IdempotencyConflict
        return first

    async def fulfil(self, owner: str, key: str, claim: Claim) -> None:
        """Mark the job of an Idempotency-Key as queued, so that a repeat does nothing.

        Raises:
            LogUnavailable: Redis is unavailable.
        """
        name = idempotency_key(owner, key)
        done = msgspec.json.encode(msgspec.structs.replace(claim, queued=True))
        async with available():
            await self._redis.call(name, "SET", name, done, "XX", "KEEPTTL")

    async def begin(self, job_id: str) -> None:
        """Mark a job as unconfirmed, before it is queued.

        Raises:
            LogUnavailable: Redis is unavailable.
        """
        await self._run(_BEGIN, job_id)

    async def confirm(self, job_id: str) -> None:
        """Confirm that a job is in the queue, or need not be.

        Raises:
            LogUnavailable: Redis is unavailable.
        """
        with suppress(Unreadable):  # the set was replaced by something else, which lists no job
            async with available():
                await self._redis.call(UNCONFIRMED_KEY, "ZREM", UNCONFIRMED_KEY, job_id)

    async def unconfirmed(self, older_than_s: float) -> list[str]:
        """Return the jobs that have been unconfirmed for this long.

        Empty if the key is no sorted set, which is logged once: the next creation replaces it.

        Raises:
            LogUnavailable: Redis is unavailable.
        """
        try:
            job_ids: list[str] = decoded(await self._run(_BEGUN, str(older_than_s)))
        except Unreadable as error:
            complaints.not_read(UNCONFIRMED_KEY, error)
            return []
        return job_ids

    async def _run(self, script: str, argument: str) -> Any:  # noqa: ANN401 - its answer
        key = UNCONFIRMED_KEY
        async with available():
            return await self._redis.call(key, "EVAL", script, "1", key, argument)
