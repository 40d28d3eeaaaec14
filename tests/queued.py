"""What waits in the BullMQ queue, as its own commands see it."""

from typing import Any

from bullmq import Job, Queue
from redis.asyncio import Redis

from tests.stored import job_ids, state_of

QUEUE = "jobcast"


async def waiting(redis: Redis, queue: str = QUEUE) -> list[str]:
    """Return the ids of the entries that wait for a worker, oldest first."""
    ids: Any = await redis.lrange(f"bull:{queue}:wait", 0, -1)
    return [str(entry_id) for entry_id in reversed(ids)]


async def entry(redis: Redis, entry_id: str, queue: str = QUEUE) -> tuple[str, Any] | None:
    """Return name and data of an entry, in whatever state; None when there is none."""
    options: Any = {"connection": redis}
    found = await Job.fromId(Queue(queue, options), entry_id)
    return None if found is None else (found.name, found.data)


async def left_over(redis: Redis) -> list[str]:
    """Return what an outage left: jobs that wait for nobody, entries of no job, and notes."""
    expected = []
    for job_id in await job_ids(redis):
        state = await state_of(redis, job_id)
        if state["status"] == "queued":
            expected.append(f"{job_id}-{state['attempt']}")
    notes: Any = await redis.zrange("jobs:unconfirmed", 0, -1)
    return sorted(set(expected) ^ set(await waiting(redis))) + list(notes)
