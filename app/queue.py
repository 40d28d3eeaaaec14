"""The queue that workers take jobs from: BullMQ, so that Node workers can serve it too.

An entry holds ``{jobId, attempt}`` and nothing else; what there is to do is in the job's log. Its
id is fresh for each attempt, for BullMQ ignores an id that it has seen; and it is the same for the
same attempt, so that queueing twice queues once.
"""

from typing import Any, Final

from bullmq import Job, Queue

from eventlog.cluster import Cluster
from eventlog.connection import Client, available

_KEPT: Final = {"count": 1000}
"""Finished entries that stay in Redis for a look; the oldest go."""


class JobQueue:
    """Puts attempts into the queue and takes them out again.

    Args:
        name: of the BullMQ queue.
        redis: a client whose answers are str.
    """

    def __init__(self, name: str, redis: Client) -> None:
        # In a Cluster all keys of a queue have to be in one slot.
        prefix = "{bull}" if isinstance(redis, Cluster) else "bull"
        options: Any = {"connection": redis, "prefix": prefix}
        self._queue = Queue(name, options)

    async def add(self, job_id: str, attempt: int, job_type: str) -> None:
        """Queue an attempt; doing it again changes nothing.

        Raises:
            LogUnavailable: Redis is away.
        """
        options: Any = {
            "jobId": _entry_id(job_id, attempt),
            "removeOnComplete": _KEPT,
            "removeOnFail": _KEPT,
        }
        async with available():
            await self._queue.add(job_type, {"jobId": job_id, "attempt": attempt}, options)

    async def remove(self, job_id: str, attempt: int) -> None:
        """Take an attempt out, unless a worker has it already.

        Raises:
            LogUnavailable: Redis is away.
        """
        async with available():
            entry = await Job.fromId(self._queue, _entry_id(job_id, attempt))
            if entry is not None and await entry.isWaiting():
                await entry.remove()


def _entry_id(job_id: str, attempt: int) -> str:
    return f"{job_id}-{attempt}"
