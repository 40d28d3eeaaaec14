"""What the worker does with the entries of its queue."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

import jobcast
from tests.channel import Channel
from tests.stored import cancel, ending_of, retry, state_of
from tests.worker_process import enqueue, enqueue_data
from worker.registry import Registry
from worker.service import Worker
from worker.settings import Settings

CHANNEL = "jobs:j1:events"


@asynccontextmanager
async def working(
    url: str, registry: Registry, *, grace_s: float = 0, lock_s: float = 15, concurrency: int = 4
) -> AsyncIterator[Worker]:
    """Serve the queue within this process for the length of the block."""
    settings = Settings(redis_url=url, grace_s=grace_s, concurrency=concurrency)
    worker = Worker(settings, registry, lock_s=lock_s)
    running = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        if not worker._stopping.is_set():
            worker.stop()
        await running


async def is_idle(redis: Redis) -> bool:
    """Say whether the queue has no entry that waits, is delayed or is worked on."""
    return not await redis.exists(
        "bull:jobcast:wait", "bull:jobcast:active", "bull:jobcast:delayed"
    )


async def until_idle(redis: Redis) -> None:
    async with asyncio.timeout(20):
        while not await is_idle(redis):  # noqa: ASYNC110 - the condition is in Redis
            await asyncio.sleep(0.01)


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
async def job_id(jobs: jobcast.Jobs) -> str:
    """Return the id of a queued job of the type ``report``."""
    return await jobs.create("report", user_id="u1", input={"pages": 3}, job_id="j1")


async def test_an_entry_runs_the_function_of_the_jobs_type(
    redis_url: str, redis_client: Redis, registry: Registry, job_id: str
) -> None:
    @registry.job("report")
    async def report(run: jobcast.Run) -> object:
        await run.progress(50, "Writing...")
        return {"pages": run.input["pages"]}

    async with Channel(redis_client, CHANNEL) as channel, working(redis_url, registry):
        await enqueue(redis_client, job_id)
        events = [message["event"] for message in await channel.until("complete", "failed")]
        await until_idle(redis_client)
    assert events == ["step-change", "progress-update", "complete"]
    assert await ending_of(redis_client, job_id) == ("succeeded", '{"pages":3}', None, None)


async def test_entries_that_wait_already_are_run(
    redis_url: str, redis_client: Redis, registry: Registry, job_id: str
) -> None:
    @registry.job("report")
    async def report(_: jobcast.Run) -> object:
        return None

    await enqueue(redis_client, job_id)
    async with Channel(redis_client, CHANNEL) as channel, working(redis_url, registry):
        await channel.until("complete")


async def test_a_type_without_function_fails_the_job(
    redis_url: str, redis_client: Redis, registry: Registry, job_id: str
) -> None:
    async with Channel(redis_client, CHANNEL) as channel, working(redis_url, registry):
        await enqueue(redis_client, job_id)
        await channel.until("failed")
        await until_idle(redis_client)
    _, _, error, code = await ending_of(redis_client, job_id)
    assert code == "UNKNOWN_TYPE"
    assert error == "No function is registered for the type report"


class PaperError(Exception):
    code = "E_PAPER"


@pytest.mark.parametrize(
    ("exception", "error", "code"),
    [
        (ValueError("Grüße"), "Grüße", None),
        (PaperError("No paper"), "No paper", "E_PAPER"),
        (ZeroDivisionError(), "ZeroDivisionError", None),
        (SystemExit("gone"), "The worker exited before the run ended", None),
        (
            asyncio.CancelledError(),
            "The run was cancelled by its worker before it ended",
            None,
        ),
    ],
    ids=["message", "code", "no message", "exit", "its own cancellation"],
)
async def test_an_exception_fails_the_job_and_the_worker_goes_on(  # noqa: PLR0913, PLR0917
    redis_url: str,
    redis_client: Redis,
    registry: Registry,
    jobs: jobcast.Jobs,
    job_id: str,
    exception: BaseException,
    error: str,
    code: str | None,
) -> None:
    @registry.job("report")
    async def report(_: jobcast.Run) -> object:
        raise exception

    @registry.job("other")
    async def other(_: jobcast.Run) -> object:
        return None

    await jobs.create("other", user_id="u1", job_id="j2")
    async with working(redis_url, registry, concurrency=1):
        await enqueue(redis_client, job_id)
        await enqueue(redis_client, "j2")
        await until_idle(redis_client)
    assert await ending_of(redis_client, job_id) == ("failed", None, error, code)
    assert await ending_of(redis_client, "j2") == ("succeeded", None, None, None)


async def test_an_exception_is_logged_with_its_traceback(
    redis_url: str,
    redis_client: Redis,
    registry: Registry,
    job_id: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    @registry.job("report")
    async def report(_: jobcast.Run) -> object:
        raise ValueError("Boom")

    async with working(redis_url, registry):
        await enqueue(redis_client, job_id)
        await until_idle(redis_client)
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info
    assert "j1" in record.getMessage()


async def test_a_result_that_is_no_json_fails_the_job(
    redis_url: str, redis_client: Redis, registry: Registry, job_id: str
) -> None:
    @registry.job("report")
    async def report(_: jobcast.Run) -> object:
        return {1, 2}

    async with Channel(redis_client, CHANNEL) as channel, working(redis_url, registry):
        await enqueue(redis_client, job_id)
        *_, last = await channel.until("complete", "failed")
    assert last["event"] == "failed"
    assert "JSON" in last["data"]["error"]


async def test_a_function_may_end_its_job_itself(
    redis_url: str, redis_client: Redis, registry: Registry, job_id: str
) -> None:
    @registry.job("report")
    async def report(run: jobcast.Run) -> object:
        await run.fail("No paper", "E_PAPER")
        return "ignored"

    async with working(redis_url, registry):
        await enqueue(redis_client, job_id)
        await until_idle(redis_client)
    assert await ending_of(redis_client, job_id) == ("failed", None, "No paper", "E_PAPER")


async def test_entries_that_are_refused_are_forgotten(
    redis_url: str, redis_client: Redis, registry: Registry, jobs: jobcast.Jobs
) -> None:
    started = []

    @registry.job("report")
    async def report(run: jobcast.Run) -> object:
        started.append((run.job_id, run.attempt))
        return None

    for job_id in ("finished", "retried"):
        await jobs.create("report", user_id="u1", job_id=job_id)
        run = jobs.run(job_id)
        await run.start()
        await run.fail("Boom")
    await retry(redis_client, "retried")
    async with working(redis_url, registry):
        await enqueue(redis_client, "nobody")
        await enqueue(redis_client, "finished")
        await enqueue(redis_client, "retried", attempt=1)
        await enqueue(redis_client, "retried", attempt=2)
        await until_idle(redis_client)
    assert started == [("retried", 2)]
    assert (await state_of(redis_client, "finished"))["status"] == "failed"


@pytest.mark.parametrize(
    "data", [None, [], {}, {"jobId": "a b", "attempt": 1}, {"jobId": "j1"}, {"attempt": 1}], ids=str
)
async def test_a_malformed_entry_is_forgotten(
    redis_url: str, redis_client: Redis, registry: Registry, data: object
) -> None:
    async with working(redis_url, registry):
        await enqueue_data(redis_client, data)
        await until_idle(redis_client)


async def test_a_cancel_request_ends_the_job(
    redis_url: str, redis_client: Redis, registry: Registry, job_id: str
) -> None:
    @registry.job("report")
    async def report(run: jobcast.Run) -> object:
        await cancel(redis_client, job_id)
        await run.progress(50)
        pytest.fail("the job went on after it was cancelled")

    async with working(redis_url, registry):
        await enqueue(redis_client, job_id)
        await until_idle(redis_client)
    assert await ending_of(redis_client, job_id) == ("failed", None, "Cancelled", None)


async def test_no_more_jobs_run_at_once_than_allowed(
    redis_url: str, redis_client: Redis, registry: Registry, jobs: jobcast.Jobs
) -> None:
    running: set[str] = set()
    most = 0
    pair = asyncio.Barrier(2)

    @registry.job("report")
    async def report(run: jobcast.Run) -> object:
        nonlocal most
        running.add(run.job_id)
        most = max(most, len(running))
        await pair.wait()
        running.remove(run.job_id)
        return None

    async with working(redis_url, registry, concurrency=2):
        for _ in range(6):
            await enqueue(redis_client, await jobs.create("report", user_id="u1"))
        await until_idle(redis_client)
    assert most == 2


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
        worker.stop()
        await enqueue(redis_client, late)
        go_on.set()
    assert (await state_of(redis_client, late))["status"] == "queued"
    assert not await is_idle(redis_client)
    async with working(redis_url, registry):
        await until_idle(redis_client)
    assert (await state_of(redis_client, late))["status"] == "succeeded"


async def test_a_job_that_lost_redis_is_handed_out_again_and_taken_over(
    redis_url: str, redis_client: Redis, registry: Registry, job_id: str
) -> None:
    runs = []

    @registry.job("report")
    async def report(run: jobcast.Run) -> object:
        runs.append(run)
        await run.progress(60)
        if len(runs) == 1:
            raise RedisConnectionError("Connection closed by server.")
        return None

    async with Channel(redis_client, CHANNEL) as channel, working(redis_url, registry):
        await enqueue(redis_client, job_id)
        events = [message["event"] for message in await channel.until("complete", "failed")]
    assert events == ["step-change", "progress-update"] * 2 + ["complete"]


async def test_a_job_whose_own_redis_is_away_fails_in_the_end(
    redis_url: str,
    redis_client: Redis,
    registry: Registry,
    job_id: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("worker.runner.MAX_DELIVERIES", 3)
    monkeypatch.setattr("worker.queue.RETRY_S", 0.01)
    runs = []

    @registry.job("report")
    async def report(run: jobcast.Run) -> object:
        runs.append(run)
        raise RedisConnectionError("Nobody there")

    async with working(redis_url, registry):
        await enqueue(redis_client, job_id)
        await until_idle(redis_client)
    assert len(runs) == 3
    assert (await ending_of(redis_client, job_id))[2] == "Nobody there"


async def test_an_entry_of_a_worker_that_died_is_taken_over(
    redis_url: str, redis_client: Redis, registry: Registry, job_id: str
) -> None:
    ended = asyncio.Event()

    @registry.job("report")
    async def report(_: jobcast.Run) -> object:
        ended.set()
        return None

    await enqueue(redis_client, job_id)
    await _die_with(redis_client)
    async with working(redis_url, registry, lock_s=1):
        await asyncio.wait_for(ended.wait(), 20)
        await until_idle(redis_client)
    assert (await state_of(redis_client, job_id))["status"] == "succeeded"


async def test_a_job_that_kills_its_workers_fails(
    redis_url: str, redis_client: Redis, registry: Registry, job_id: str
) -> None:
    @registry.job("report")
    async def report(_: jobcast.Run) -> object:
        pytest.fail("the job was run once more")

    await enqueue(redis_client, job_id)
    entry_id = await _die_with(redis_client)
    await redis_client.hset(f"bull:jobcast:{entry_id}", "stc", "3")
    async with Channel(redis_client, CHANNEL) as channel, working(redis_url, registry, lock_s=1):
        *_, last = await channel.until("failed")
        await until_idle(redis_client)
    assert last["data"] == {
        "error": "The worker was lost too often while it ran the job",
        "errorCode": "WORKER_LOST",
    }


async def _die_with(redis: Redis) -> str:
    """Leave the waiting entry as a worker leaves it that dies: active, without a lock."""
    entry_id = await redis.lmove("bull:jobcast:wait", "bull:jobcast:active")
    assert isinstance(entry_id, str)
    return entry_id


async def test_a_run_that_was_taken_over_leaves_the_entry_to_the_other(
    redis_url: str, redis_client: Redis, registry: Registry, jobs: jobcast.Jobs, job_id: str
) -> None:
    @registry.job("report")
    async def report(run: jobcast.Run) -> object:
        await jobs.run(job_id).start()
        await run.progress(50)
        pytest.fail("the job went on after it was taken over")

    async with working(redis_url, registry):
        await enqueue(redis_client, job_id)
        await until_idle(redis_client)
    assert (await state_of(redis_client, job_id))["status"] == "running"
