"""A project that uses SAQ, as its users write it."""

import time
from typing import Any, Final

from saq import Job
from saq.queue.redis import RedisQueue

from jobcast.adapters.saq import follow
from tests.queues import async_work
from tests.queues.async_work import JOBCAST_URL, SETTINGS, URL, Tell

_RETRIES: Final = {"fail_once": 3, "work_on": 3, "say_nothing": 3}

queue = follow(
    RedisQueue.from_url(URL),
    JOBCAST_URL,
    **SETTINGS,
)


def _tell(job: Job) -> Tell:
    async def tell(current: int, total: int, step: str) -> None:
        await job.update(progress=current / total, meta={"step": step})

    return tell


async def report(ctx: Any, *, arguments: list[Any]) -> dict[str, int]:
    return await async_work.report(_tell(ctx["job"]), *arguments)


async def report_to_the_run(ctx: Any, *, arguments: list[Any]) -> list[str | None]:
    del ctx, arguments
    return [await async_work.report_to_the_run(), await enqueue("report", ["test:child", 1])]


async def fail(ctx: Any, *, arguments: list[Any]) -> None:
    del ctx, arguments
    await async_work.fail()


async def fail_once(ctx: Any, *, arguments: list[Any]) -> str:
    del ctx
    return await async_work.fail_once(*arguments)


async def work_on(ctx: Any, *, arguments: list[Any]) -> None:
    del arguments
    await async_work.work_on(_tell(ctx["job"]))


async def say_nothing(ctx: Any, *, arguments: list[Any]) -> str:
    del ctx
    return await async_work.say_nothing(*arguments)


async def wait_for(ctx: Any, *, arguments: list[Any]) -> str:
    return await async_work.wait_for(_tell(ctx["job"]), *arguments)


settings = {
    "queue": queue,
    "functions": [report, report_to_the_run, fail, fail_once, work_on, say_nothing, wait_for],
    "concurrency": 5,
    "timers": {"abort": 0.1},
}


async def start() -> None:
    """Connect."""
    await queue.connect()


async def stop() -> None:
    """Disconnect."""
    await queue.disconnect()


async def enqueue(name: str, arguments: list[Any]) -> str:
    """Enqueue a job and return its key."""
    job = await queue.enqueue(name, arguments=arguments, retries=_RETRIES.get(name, 1), timeout=60)
    assert job is not None
    return str(job.key)


async def enqueue_unknown() -> str:
    """Enqueue a job of a function that the worker lacks, and return its key."""
    return await enqueue("unknown", [])


async def deliver_again(key: str) -> None:
    """Deliver a job once more, as a queue does that believes its worker to be lost."""
    job = await queue.job(key)
    assert job is not None
    await queue.redis.set(job.id, queue.serialize(job), ex=600)
    await queue.redis.rpush(queue.namespace("queued"), job.id)


async def abort(key: str) -> None:
    """Abort a job."""
    job = await queue.job(key)
    assert job is not None
    await job.abort("by hand")


async def abort_before(name: str, arguments: list[Any]) -> str:
    """Abort a job that no worker has begun, and return its key."""
    job = await queue.enqueue(name, arguments=arguments, scheduled=int(time.time()) + 100)
    assert job is not None
    await job.abort("by hand")
    return str(job.key)
