"""A BullMQ queue, which Node workers can serve too.

An entry holds only ``{jobId, attempt}``; the input is in the job's state. Its id contains the
attempt: BullMQ ignores an entry with an id that it has, so queueing an attempt twice has no effect,
and the next attempt has another id.
"""

from collections.abc import Callable
from typing import Any, Final

from bullmq import Queue
from redis.asyncio import Redis

from eventlog.redis_calls import available
from jobcast.redis.caller import Caller
from jobcast.redis.connection import decoded

_KEEP_FINISHED: Final = {"count": 1000}
"""Finished entries kept for inspection; the oldest are removed."""

_FINISHED: Final = ("completed", "failed")


class BullQueue:
    """Adds attempts to a BullMQ queue, and removes them."""

    def __init__(self, name: str, redis: Caller) -> None:
        # In a Cluster all keys of a queue must be in one slot.
        prefix = "{bull}" if redis.servers.is_cluster else "bull"
        options: Any = {"connection": _Client(redis, f"{prefix}:{name}"), "prefix": prefix}
        self._queue = Queue(name, options)

    def check(self, job_type: str) -> None:
        """Accept any type: workers fail jobs of unknown types."""

    async def check_input(self, job_id: str) -> None:
        """Accept any input: entries don't hold it, and workers fail jobs with unreadable input."""

    async def add(self, job_id: str, attempt: int, job_type: str) -> None:
        """Queue an attempt."""
        options: Any = {
            "jobId": _entry_id(job_id, attempt),
            "removeOnComplete": _KEEP_FINISHED,
            "removeOnFail": _KEEP_FINISHED,
        }
        async with available():
            await self._queue.add(job_type, {"jobId": job_id, "attempt": attempt}, options)

    async def remove(self, job_id: str, attempt: int) -> None:
        """Remove an attempt from any of the queue's lists, unless a worker has it."""
        await self._remove(_entry_id(job_id, attempt), lambda state: state != "active")

    async def remove_finished(self, job_id: str, attempt: int) -> None:
        """Remove a finished entry of an attempt: BullMQ would ignore a new one with its id."""
        await self._remove(_entry_id(job_id, attempt), lambda state: state in _FINISHED)

    async def _remove(self, entry_id: str, matches: Callable[[str], bool]) -> None:
        async with available():
            if matches(await self._queue.getJobState(entry_id)):
                # By id, because an entry may be in a list and have no data. BullMQ refuses if a
                # worker has taken it meanwhile. Its children are entries of other jobs.
                await self._queue.remove(entry_id, {"removeChildren": False})


class _Client(Redis):
    """A redis-py client for BullMQ whose commands a ``Caller`` sends to the server of ``key``."""

    def __init__(self, caller: Caller, key: str) -> None:
        super().__init__()
        self._caller = caller
        self._key = key

    async def execute_command(self, *command: Any, **options: Any) -> Any:  # noqa: ANN401 - redis-py's
        """Send a command, and decode its reply as redis-py does."""
        name, *arguments = command
        words = (each if isinstance(each, bytes) else str(each) for each in arguments)
        reply = decoded(await self._caller.call(self._key, *name.split(), *words))
        read = self.response_callbacks.get(name)
        return reply if read is None else read(reply, **options)


def _entry_id(job_id: str, attempt: int) -> str:
    return f"{job_id}-{attempt}"
