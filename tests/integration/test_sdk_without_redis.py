import asyncio
from collections.abc import Iterator

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

import jobcast
from jobcast import JobFinished
from tests.support.interruption import Interruption
from tests.support.stored import log_of, state_of
from tests.support.valkey import Valkey


@pytest.fixture
def own_valkey() -> Iterator[Valkey]:
    with Valkey() as server:
        yield server


async def test_a_server_that_is_gone_is_a_connection_error(own_valkey: Valkey) -> None:
    async with jobcast.connect(own_valkey.url) as jobs:
        run = jobs.run(await jobs.create("report", user_id="u1"))
        await run.start()
        own_valkey.kill()
        with pytest.raises(RedisConnectionError):
            await run.progress(10)


async def test_a_run_goes_on_after_a_restart(own_valkey: Valkey) -> None:
    async with jobcast.connect(own_valkey.url) as jobs:
        run = jobs.run(await jobs.create("report", user_id="u1"))
        await run.start()
        own_valkey.kill()
        await asyncio.to_thread(own_valkey.start)
        await run.progress(10)
        await run.complete()


async def test_an_exception_that_could_not_be_reported_says_so(own_valkey: Valkey) -> None:
    async with jobcast.connect(own_valkey.url) as jobs:
        run = jobs.run(await jobs.create("report", user_id="u1"))

        async def fail_late() -> None:
            async with run:
                own_valkey.kill()
                raise ValueError("Boom")

        with pytest.raises(ValueError, match="Boom") as caught:
            await fail_late()
        assert "could not be failed" in caught.value.__notes__[0]
        assert not run.finished


async def test_a_mute_server_is_a_timeout_and_nothing_is_sent_twice(own_valkey: Valkey) -> None:
    async with (
        jobcast.connect(f"{own_valkey.url}?socket_timeout=2") as jobs,
        Redis.from_url(own_valkey.url, decode_responses=True) as client,
    ):
        job_id = await jobs.create("report", user_id="u1")
        run = jobs.run(job_id)
        await run.start()
        own_valkey.pause()
        with pytest.raises(RedisTimeoutError):
            await run.emit("note", {"text": "once"})
        own_valkey.resume()
        await run.emit("note", {"text": "after"})
        log = await log_of(client, job_id)
        texts = [fields["data"] for _, fields in log if fields["event"] == "note"]
        assert texts.count('{"text":"once"}') <= 1
        assert texts.count('{"text":"after"}') == 1


async def test_an_answer_that_gets_lost_is_an_error_and_the_event_is_written_once(
    valkey: Valkey, redis_client: Redis
) -> None:
    async with Interruption(valkey.port, 0) as way, jobcast.connect(way.url) as jobs:
        run = jobs.run(await jobs.create("report", user_id="u1"))
        await run.start()
        way.fail_next("after")
        with pytest.raises(RedisConnectionError):
            await run.emit("note", {})
    log = await log_of(redis_client, run.job_id)
    assert [fields["event"] for _, fields in log] == ["_created", "step-change", "note"]


async def test_a_call_that_is_given_up_leaves_the_connection_in_order(own_valkey: Valkey) -> None:
    async with jobcast.connect(own_valkey.url) as jobs:
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
    async with jobcast.connect(redis_url) as jobs:
        ids = await asyncio.gather(*(jobs.create("report", user_id="u1") for _ in range(100)))

        async def work(job_id: str) -> None:
            async with jobs.run(job_id) as run:
                await run.progress(50)

        await asyncio.gather(*(work(job_id) for job_id in ids))
    async with Redis.from_url(redis_url, decode_responses=True) as client:
        for job_id in ids:
            assert (await state_of(client, job_id))["status"] == "succeeded"
