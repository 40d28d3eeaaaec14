"""The queue that workers take jobs from: BullMQ, so that Node workers can serve it too.

An entry holds ``{jobId, attempt}`` and nothing else; what there is to do is in the job's log. Its
id is fresh for each attempt, for BullMQ ignores an id that it has seen; and it is the same for the
same attempt, so that queueing twice queues once.
"""

from collections.abc import Callable
from typing import Any, Final

from bullmq import Queue
from redis.asyncio import Redis

from eventlog.connection import available
from jobcast.redis.caller import Caller
from jobcast.redis.connection import decoded

_KEEP_FINISHED: Final = {"count": 1000}
"""Finished entries that stay in Redis for a look; the oldest go."""

FIRST_ATTEMPT: Final = 1
"""That of a job that was not retried, or of which nothing else is known any more."""

_FINISHED: Final = ("completed", "failed")


class JobQueue:
    """Puts attempts into the BullMQ queue of a name and takes them out again."""

    def __init__(self, name: str, redis: Caller) -> None:
        # In a Cluster all keys of a queue have to be in one slot.
        prefix = "bull" if redis.servers.pubsub.together else "{bull}"
        options: Any = {"connection": _Client(redis, f"{prefix}:{name}"), "prefix": prefix}
        self._queue = Queue(name, options)

    async def add(self, job_id: str, attempt: int, job_type: str) -> None:
        """Queue an attempt; doing it again changes nothing.

        Raises:
            LogUnavailable: Redis is away.
        """
        options: Any = {
            "jobId": _entry_id(job_id, attempt),
            "removeOnComplete": _KEEP_FINISHED,
            "removeOnFail": _KEEP_FINISHED,
        }
        async with available():
            await self._queue.add(job_type, {"jobId": job_id, "attempt": attempt}, options)

    async def remove(self, job_id: str, attempt: int) -> None:
        """Take an attempt out, however it waits there, unless a worker has it.

        Raises:
            LogUnavailable: Redis is away.
        """
        await self._remove(_entry_id(job_id, attempt), lambda state: state != "active")

    async def clear(self, job_id: str, attempt: int) -> None:
        """Forget a finished entry of an attempt that is about to be queued.

        An earlier job under the same id had it, one that has expired or was deleted since.

        Raises:
            LogUnavailable: Redis is away.
        """
        await self._remove(_entry_id(job_id, attempt), lambda state: state in _FINISHED)

    async def _remove(self, entry_id: str, is_meant: Callable[[str], bool]) -> None:
        async with available():
            if is_meant(await self._queue.getJobState(entry_id)):
                # By its id: it may be in a list though its data are gone. If a worker has taken it
                # meanwhile, BullMQ answers no and leaves it. Its children are entries of others.
                await self._queue.remove(entry_id, {"removeChildren": False})


class _Client(Redis):
    """redis-py's client, as BullMQ wants it, that sends all commands by a ``Caller``.

    They go to the server that has ``key``.
    """

    def __init__(self, caller: Caller, key: str) -> None:
        super().__init__()
        self._caller = caller
        self._key = key

    async def execute_command(self, *command: Any, **options: Any) -> Any:  # noqa: ANN401 - redis-py's
        """Send a command and return what redis-py makes of the reply."""
        name, *arguments = command
        words = (each if isinstance(each, bytes) else str(each) for each in arguments)
        reply = decoded(await self._caller.call(self._key, *name.split(), *words))
        read = self.response_callbacks.get(name)
        return reply if read is None else read(reply, **options)


def _entry_id(job_id: str, attempt: int) -> str:
    return f"{job_id}-{attempt}"
