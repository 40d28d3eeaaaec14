"""What becomes of jobs when their worker is shut down."""

import asyncio

import pytest
from redis.asyncio import Redis

import jobcast
from tests.support.stored import ending_of, state_of
from tests.support.worker_process import enqueue
from tests.support.working import is_idle, until_idle, working
from worker.queue_entry import QueueEntry
from worker.registry import Registry
from worker.runner import Outcome, Runner


async def test_jobs_that_end_in_time_survive_a_shutdown(
    redis_url: str, redis_client: Redis, registry: Registry, job_id: str
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    @registry.job("report")
    async def report(_: jobcast.Run) -> object:
        begun.set()
        await go_on.wait()
        return "done"

    async with working(redis_url, registry, grace_s=20) as worker:
        await enqueue(redis_client, job_id)
        await begun.wait()
        worker.stop()
        go_on.set()
    assert (await ending_of(redis_client, job_id))[:2] == ("succeeded", '"done"')
    assert await is_idle(redis_client)


@pytest.mark.parametrize("stops", [1, 2], ids=["grace time over", "told twice"])
async def test_jobs_that_do_not_end_in_time_fail_at_a_shutdown(
    redis_url: str, redis_client: Redis, registry: Registry, job_id: str, stops: int
) -> None:
    begun = asyncio.Event()

    @registry.job("report")
    async def report(_: jobcast.Run) -> object:
        begun.set()
        await asyncio.Event().wait()
        return None

    async with working(redis_url, registry, grace_s=0.2 if stops == 1 else 1000) as worker:
        await enqueue(redis_client, job_id)
        await begun.wait()
        for _ in range(stops):
            worker.stop()
    assert await ending_of(redis_client, job_id) == (
        *("failed", None, "The worker was shut down", "WORKER_STOPPED"),
    )
    assert await is_idle(redis_client)


async def test_entries_that_come_at_a_shutdown_stay_in_the_queue(
    redis_url: str, redis_client: Redis, registry: Registry, jobs: jobcast.Jobs, job_id: str
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    @registry.job("report")
    async def report(_: jobcast.Run) -> object:
        begun.set()
        await go_on.wait()
        return None

    late = await jobs.create("report", user_id="u1")
    async with working(redis_url, registry, grace_s=20) as worker:
        await enqueue(redis_client, job_id)
        await begun.wait()
        bull = worker._queue._bull
        async with asyncio.timeout(5):
            while bull is not None and bull.waiting is None:  # noqa: ASYNC110 - BullMQ's condition
                await asyncio.sleep(0)
            worker.stop()
            while bull is not None and not bull.paused:  # noqa: ASYNC110 - BullMQ's condition
                await asyncio.sleep(0)
        await enqueue(redis_client, late)
        go_on.set()
    assert (await state_of(redis_client, late))["status"] == "queued"
    assert not await is_idle(redis_client)
    async with working(redis_url, registry):
        await until_idle(redis_client)
    assert (await state_of(redis_client, late))["status"] == "succeeded"


async def test_a_runner_that_was_stopped_leaves_the_job_alone(
    jobs: jobcast.Jobs, redis_client: Redis, registry: Registry, job_id: str
) -> None:
    runner = Runner(jobs, registry)
    await runner.stop(grace_s=0)
    assert await runner.run(QueueEntry(job_id, 1, deliveries=1)) is Outcome.LATER
    assert (await state_of(redis_client, job_id))["status"] == "queued"
