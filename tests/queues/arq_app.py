"""A project that uses arq, as its users write it."""

import asyncio
from typing import Any, Final

from arq import Retry, create_pool
from arq.connections import ArqRedis, RedisSettings
from arq.constants import in_progress_key_prefix, job_key_prefix, result_key_prefix
from arq.jobs import Job
from arq.worker import create_worker

import jobcast
from jobcast.adapters.arq import follow, follow_worker
from tests.queues import async_work
from tests.queues.async_work import JOBCAST_URL, SETTINGS, URL

_enqueued: Final[dict[str, tuple[str, list[Any]]]] = {}
_again: Final[set[asyncio.Task[None]]] = set()
_pools: Final[list[Any]] = []


async def tell(current: int, total: int, step: str) -> None:
    """Report to the run: arq has no way of its own."""
    run = jobcast.current_run()
    assert run is not None
    await run.progress(None, step, current=current, total=total)


async def report(ctx: Any, key: str, pages: int) -> dict[str, int]:
    return await async_work.report(tell, key, pages)


async def report_to_the_run(ctx: Any) -> list[str | None]:
    child = await ctx["redis"].enqueue_job("report", "test:child", 1)
    return [await async_work.report_to_the_run(), child.job_id]


async def fail(ctx: Any) -> None:
    await async_work.fail()


async def fail_once(ctx: Any, key: str) -> str:
    try:
        return await async_work.fail_once(key)
    except OSError as error:
        raise Retry from error


async def work_on(ctx: Any) -> None:
    await async_work.work_on(tell)


async def say_nothing(ctx: Any, key: str) -> str:
    return await async_work.say_nothing(key)


async def wait_for(ctx: Any, key: str) -> str:
    return await async_work.wait_for(tell, key)


async def return_what_json_lacks(ctx: Any) -> object:
    return await async_work.return_what_json_lacks()


@follow_worker(JOBCAST_URL, **SETTINGS)
class WorkerSettings:
    """What ``arq`` is given."""

    redis_settings = RedisSettings.from_dsn(URL)
    functions = (
        *(report, report_to_the_run, fail, fail_once, work_on, say_nothing, wait_for),
        return_what_json_lacks,
    )
    allow_abort_jobs = True
    poll_delay = 0.05


async def start() -> None:
    """Connect."""
    plain: ArqRedis = await create_pool(RedisSettings.from_dsn(URL))
    followed = follow(await create_pool(RedisSettings.from_dsn(URL)), JOBCAST_URL, **SETTINGS)
    _pools.extend([plain, followed])


async def stop() -> None:
    """Disconnect."""
    for pool in _pools:
        await pool.aclose()


async def enqueue(name: str, arguments: list[Any]) -> str:
    """Enqueue a job and return its id."""
    job = await _pools[1].enqueue_job(name, *arguments)
    _enqueued[job.job_id] = name, arguments
    return str(job.job_id)


async def enqueue_unknown() -> str:
    """Enqueue a job of a function that the worker lacks, and return its id."""
    return await enqueue("unknown", [])


async def abort_by_another(name: str, arguments: list[Any]) -> str:
    """Abort a job that no worker has begun, in a program that follows nothing; return its id."""
    job = await _pools[1].enqueue_job(name, *arguments, _defer_by=100)
    assert await Job(job.job_id, _pools[0]).abort()
    return str(job.job_id)


async def deliver_again(job_id: str) -> None:
    """Deliver a job once more, as a queue does that believes its worker to be lost."""
    plain = _pools[0]
    if await plain.exists(job_key_prefix + job_id):
        worker = create_worker(WorkerSettings, redis_pool=plain, handle_signals=False)
        worker.ctx["redis"] = plain
        running = asyncio.create_task(worker.run_job(job_id, 1))
        _again.add(running)
        running.add_done_callback(_again.discard)
    else:
        await plain.delete(result_key_prefix + job_id, in_progress_key_prefix + job_id)
        name, arguments = _enqueued[job_id]
        await plain.enqueue_job(name, *arguments, _job_id=job_id)


async def abort(job_id: str) -> None:
    """Abort a job."""
    assert await Job(job_id, _pools[0]).abort()


async def abort_before(name: str, arguments: list[Any]) -> str:
    """Abort a job that no worker has begun, and return its id."""
    job = await _pools[1].enqueue_job(name, *arguments, _defer_by=100)
    assert await job.abort()
    return str(job.job_id)
