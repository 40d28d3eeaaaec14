import asyncio
from collections.abc import Iterator

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

import jobcast
from jobcast import JobFinished
from tests.support.stored import state_of
from tests.support.valkey import Valkey


@pytest.fixture
def own_valkey() -> Iterator[Valkey]:
    with Valkey() as server:
        yield server


async def test_what_needs_an_answer_raises_when_redis_stays_unavailable(
    own_valkey: Valkey,
) -> None:
    async with jobcast.connect(own_valkey.url, block_s=2, progress_per_s=None) as jobs:
        run = jobs.run(await jobs.create("report", user_id="u1"))
        own_valkey.kill()
        with pytest.raises(RedisConnectionError):
            await run.start()
        with pytest.raises(RedisConnectionError):
            await jobs.create("report", user_id="u1")


async def test_a_run_goes_on_after_a_restart(own_valkey: Valkey) -> None:
    async with jobcast.connect(own_valkey.url, progress_per_s=None) as jobs:
        run = jobs.run(await jobs.create("report", user_id="u1"))
        await run.start()
        own_valkey.kill()
        await asyncio.to_thread(own_valkey.start)
        await run.progress(10)
        await run.complete()


async def test_a_call_that_is_given_up_leaves_the_connection_in_order(own_valkey: Valkey) -> None:
    async with jobcast.connect(own_valkey.url, progress_per_s=None) as jobs:
        run = jobs.run(await jobs.create("report", user_id="u1"))
        await run.start()
        own_valkey.pause()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await run.progress(10)
        own_valkey.resume()
        await run.complete()
        with pytest.raises(JobFinished):
            await run.progress(20)


async def test_a_task_that_is_cancelled_at_any_moment_ends(jobs: jobcast.Jobs) -> None:
    """On Python 3.11 a cancellation can get lost in what redis-py waits with."""
    run = jobs.run(await jobs.create("report", user_id="u1"))
    await run.start()

    async def work() -> None:
        while True:
            await run.progress(10)

    for number in range(200):
        task = asyncio.create_task(work())
        # So many turns of the event loop: somewhere within the first calls.
        for _ in range(number % 40):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task}, timeout=5)
        assert task.cancelled()


async def test_many_runs_at_once_share_few_connections(redis_url: str) -> None:
    async with jobcast.connect(redis_url, progress_per_s=None) as jobs:
        ids = await asyncio.gather(*(jobs.create("report", user_id="u1") for _ in range(100)))

        async def work(job_id: str) -> None:
            async with jobs.run(job_id) as run:
                await run.progress(50)

        await asyncio.gather(*(work(job_id) for job_id in ids))
    async with Redis.from_url(redis_url, decode_responses=True) as client:
        for job_id in ids:
            assert (await state_of(client, job_id))["status"] == "succeeded"
