"""What the worker does with the entries of its queue."""

import asyncio
import logging

import pytest
from redis.asyncio import Redis

import jobcast
from tests.support.channel import Channel
from tests.support.stored import cancel, ending_of, retry, state_of
from tests.support.worker_process import enqueue, enqueue_data
from tests.support.working import until_idle, working
from worker.registry import Registry

CHANNEL = "jobs:j1:events"


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


async def test_an_entry_of_keys_that_hold_something_else_is_done_with(
    redis_url: str, redis_client: Redis, registry: Registry, job_id: str
) -> None:
    await redis_client.set(f"jobs:{{{job_id}}}:state", "x")
    async with working(redis_url, registry):
        await enqueue(redis_client, job_id)
        await until_idle(redis_client)


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


async def test_a_cancel_request_ends_a_job_whose_tasks_report(
    redis_url: str,
    redis_client: Redis,
    registry: Registry,
    job_id: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    @registry.job("report")
    async def report(run: jobcast.Run) -> object:
        await cancel(redis_client, job_id)
        async with asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(run.emit("note", {}))
        pytest.fail("the job went on after it was cancelled")

    async with working(redis_url, registry):
        await enqueue(redis_client, job_id)
        await until_idle(redis_client)
    assert await ending_of(redis_client, job_id) == ("failed", None, "Cancelled", None)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


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
