"""Entries of the BullMQ queue, read and changed with BullMQ itself."""

import time
from typing import Any

from bullmq import FlowProducer, Job, Queue, Worker
from redis.asyncio import Redis

from tests.support.stored import job_ids, state_of

QUEUE = "jobcast"
TOKEN = "a-worker"


async def waiting(redis: Redis, queue: str = QUEUE) -> list[str]:
    """Return the ids of the waiting entries, oldest first."""
    ids: Any = await redis.lrange(f"bull:{queue}:wait", 0, -1)
    return [str(entry_id) for entry_id in reversed(ids)]


async def entry(redis: Redis, entry_id: str, queue: str = QUEUE) -> tuple[str, Any] | None:
    """Return the name and data of an entry in any state; None if there is none."""
    found = await Job.fromId(_queue(redis, queue), entry_id)
    return None if found is None else (found.name, found.data)


async def place_of(redis: Redis, entry_id: str, queue: str = QUEUE) -> str:
    """Return the state of an entry in BullMQ's terms; ``unknown`` if there is none."""
    return str(await _queue(redis, queue).getJobState(entry_id))


async def prioritise(redis: Redis, entry_id: str) -> None:
    """Give a waiting entry a priority, as a dashboard can."""
    found = await Job.fromId(_queue(redis), entry_id)
    assert found is not None
    await found.changePriority({"priority": 3})


async def delay(redis: Redis, entry_id: str) -> None:
    """Delay a waiting entry by an hour, like a worker that can't run it yet.

    The worker takes the entry first, and then releases its lock.
    """
    taken = await take(redis, entry_id)
    await taken.moveToDelayed(round((time.time() + 3600) * 1000), TOKEN)


async def make_parent(redis: Redis, entry_id: str) -> None:
    """Make a waiting entry the parent of ``child`` in the queue ``pages``, for which it waits."""
    name, data = await entry(redis, entry_id) or ("", None)
    await _queue(redis).remove(entry_id)
    child = {"name": "page", "queueName": "pages", "data": {}, "opts": {"jobId": "child"}}
    flow = {"name": name, "queueName": QUEUE, "data": data, "opts": {"jobId": entry_id}}
    options: Any = {"connection": redis}
    await FlowProducer(options).add({**flow, "children": [child]})


async def pause(redis: Redis) -> None:
    """Pause the queue: workers take no entries."""
    await _queue(redis).pause()


async def take(redis: Redis, entry_id: str) -> Job:
    """Take the only waiting entry like a worker, which then holds its lock."""
    options: Any = {"connection": redis, "autorun": False}
    worker = Worker(QUEUE, None, options)
    taken = await worker.getNextJob(TOKEN)
    assert taken is not None
    assert taken.id == entry_id
    return taken


async def finish(redis: Redis, entry_id: str, data: object) -> None:
    """Add an entry to the queue, take it and finish it, without appending to its job's log."""
    options: Any = {"jobId": entry_id}
    await _queue(redis).add("report", data, options)
    await (await take(redis, entry_id)).moveToCompleted(None, TOKEN)


def _queue(redis: Redis, name: str = QUEUE) -> Queue:
    options: Any = {"connection": redis}
    return Queue(name, options)


async def left_over(redis: Redis) -> list[str]:
    """Return what an outage left over.

    These are queued jobs without an entry, entries without a queued job, and unconfirmed jobs.
    """
    expected = []
    for job_id in await job_ids(redis):
        state = await state_of(redis, job_id)
        if state["status"] == "queued":
            expected.append(f"{job_id}-{state['attempt']}")
    notes: Any = await redis.zrange("jobs:unconfirmed", 0, -1)
    return sorted(set(expected) ^ set(await waiting(redis))) + list(notes)
