"""Entries that the queue hands out again: Redis was away, or a worker died."""

import asyncio

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, RedisError, ResponseError

import jobcast
from tests.support.channel import Channel
from tests.support.stored import ending_of, state_of
from tests.support.worker_process import enqueue
from tests.support.working import until_idle, working
from worker.queue_entry import QueueEntry
from worker.registry import Registry
from worker.runner import Outcome, Runner

CHANNEL = "jobs:j1:events"


@pytest.mark.parametrize(
    "absence",
    [
        RedisConnectionError("Connection closed by server."),
        OutOfMemoryError("command not allowed when used memory > 'maxmemory'."),
        ResponseError("MISCONF Errors writing to the AOF file: No space left on device"),
        ResponseError("NOREPLICAS Not enough good replicas to write."),
        ResponseError("BUSY Redis is busy running a script."),
    ],
    ids=lambda error: str(error).split()[0],
)
async def test_a_job_that_lost_redis_is_handed_out_again_and_taken_over(  # noqa: PLR0913 - fixtures
    redis_url: str,
    redis_client: Redis,
    registry: Registry,
    job_id: str,
    caplog: pytest.LogCaptureFixture,
    *,
    absence: RedisError,
) -> None:
    runs = []

    @registry.job("report")
    async def report(run: jobcast.Run) -> object:
        runs.append(run)
        await run.progress(60)
        if len(runs) == 1:
            raise absence
        return None

    async with Channel(redis_client, CHANNEL) as channel, working(redis_url, registry):
        await enqueue(redis_client, job_id)
        events = [message["event"] for message in await channel.until("complete", "failed")]
    assert events == ["step-change", "progress-update"] * 2 + ["complete"]
    assert "ERROR" not in caplog.text


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


async def test_a_refusal_that_is_the_jobs_own_fault_fails_it(
    redis_url: str, redis_client: Redis, registry: Registry, job_id: str
) -> None:
    @registry.job("report")
    async def report(run: jobcast.Run) -> object:
        raise ResponseError("WRONGTYPE Operation against a key")

    async with working(redis_url, registry):
        await enqueue(redis_client, job_id)
        await until_idle(redis_client)
    assert (await ending_of(redis_client, job_id))[2] == "WRONGTYPE Operation against a key"


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
    jobs: jobcast.Jobs,
    redis_client: Redis,
    registry: Registry,
    job_id: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    @registry.job("report")
    async def report(run: jobcast.Run) -> object:
        await jobs.run(job_id).start()
        await run.progress(50)
        pytest.fail("the job went on after it was taken over")

    runner = Runner(jobs, registry)
    assert await runner.run(QueueEntry(job_id, 1, deliveries=1)) is Outcome.DONE
    assert (await state_of(redis_client, job_id))["status"] == "running"
    assert "ERROR" not in caplog.text
