"""What is left of a job when Redis fails at any one step of queueing it."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis

import jobcast
from app.lifecycle import Service
from app.queues.bullmq import BullQueue
from eventlog.errors import LogUnavailable, NotFailed
from schema.http import CreateJob
from schema.owner import Owner
from schema.state import JobState
from tests.support.parts import parts
from tests.support.queued import delay, left_over, place_of, take, waiting
from tests.support.stored import ending_of, job_ids, log_of, state_of
from tests.support.valkey import Valkey

ME = Owner(None, "session-1")
REPORT = CreateJob("report", {"pages": 3})
NOT_QUEUED = ("failed", None, "The job could not be queued", "NOT_QUEUED")

LOG, INDEX, QUEUE = "~jobs:{*", "~jobs:by-*", "~bull:*"
NOTES, KEYS = "~jobs:unconfirmed", "~jobs:idempotency:*"
EVERYTHING = {LOG, INDEX, QUEUE, NOTES, KEYS}
DENIED = {
    "claim": ["resetkeys", *EVERYTHING - {KEYS}],
    "begin": ["resetkeys", *EVERYTHING - {NOTES}],
    "log": ["resetkeys", *EVERYTHING - {LOG}],
    "index": ["resetkeys", *EVERYTHING - {INDEX}],
    "queue": ["resetkeys", *EVERYTHING - {QUEUE}],
    "confirm": ["-zrem"],
}
"""The rights of the service's Redis user when one step is to fail: a refusal, as of a real ACL."""


@pytest.fixture(scope="module")
def own_valkey() -> Iterator[Valkey]:
    with Valkey() as running:
        yield running


@pytest.fixture
async def redis(own_valkey: Valkey) -> AsyncIterator[Redis]:
    own_valkey.flush()
    async with Redis.from_url(own_valkey.url, decode_responses=True) as client:
        yield client


@pytest.fixture
async def service(redis: Redis, own_valkey: Valkey) -> AsyncIterator[Service]:
    async with parts(own_valkey.url) as built:
        yield built
    await allow(redis)


async def deny(redis: Redis, step: str) -> None:
    await _set_user(redis, *DENIED[step])


async def allow(redis: Redis) -> None:
    await _set_user(redis, "~*", "+@all")


async def _set_user(redis: Redis, *rights: str) -> None:
    await redis.execute_command("ACL", "SETUSER", "default", *rights)  # type: ignore[no-untyped-call]


async def cancelled(service: Service) -> tuple[str, JobState]:
    """Return a job that failed without ever having been run, and its state."""
    job_id = await service.jobs.create(ME, REPORT, None)
    await service.jobs.cancel(job_id)
    return await service.jobs.owned(ME, job_id)


@pytest.mark.parametrize("step", DENIED)
async def test_a_job_that_could_not_be_queued_for_certain_is_failed(
    service: Service, redis: Redis, step: str
) -> None:
    await deny(redis, step)
    with pytest.raises(LogUnavailable):
        await service.jobs.create(ME, REPORT, "key")
    await allow(redis)
    has_begun = step in {"index", "queue", "confirm"}
    assert await service.sweeper.sweep(0) == int(has_begun)
    assert await left_over(redis) == []
    assert await waiting(redis) == []
    listed = (await service.jobs.page(ME, 10, None)).jobs
    ids = await job_ids(redis)
    assert len(ids) == int(has_begun)
    for job_id in ids:
        assert await ending_of(redis, job_id) == NOT_QUEUED
        assert [fields["event"] for _, fields in await log_of(redis, job_id)][-1] == "failed"
        assert [job.job_id for job in listed] == ([] if step == "index" else [job_id])
    assert await service.sweeper.sweep(0) == 0


@pytest.mark.parametrize("step", DENIED)
async def test_a_repeat_under_the_same_key_finishes_what_was_begun(
    service: Service, redis: Redis, step: str
) -> None:
    await deny(redis, step)
    for _ in range(2):
        with pytest.raises(LogUnavailable):
            await service.jobs.create(ME, REPORT, "key")
    await allow(redis)
    job_id = await service.jobs.create(ME, REPORT, "key")
    assert await service.sweeper.sweep(0) == 0
    assert await waiting(redis) == [f"{job_id}-1"]
    assert await left_over(redis) == []
    assert [job.job_id for job in (await service.jobs.page(ME, 10, None)).jobs] == [job_id]


@pytest.mark.parametrize("step", ["begin", "log", "queue", "confirm"])
async def test_a_retry_that_could_not_be_queued_for_certain_is_failed(
    service: Service, redis: Redis, step: str
) -> None:
    job_id, state = await cancelled(service)
    await deny(redis, step)
    with pytest.raises(LogUnavailable):
        await service.jobs.retry(job_id, state)
    await allow(redis)
    has_begun = step in {"queue", "confirm"}
    assert await service.sweeper.sweep(0) == int(has_begun)
    assert await left_over(redis) == []
    assert await waiting(redis) == []
    ending = NOT_QUEUED if has_begun else ("failed", None, "Cancelled", None)
    assert await ending_of(redis, job_id) == ending
    await service.jobs.retry(*await service.jobs.owned(ME, job_id))
    assert await waiting(redis) == [f"{job_id}-{3 if has_begun else 2}"]
    assert await service.sweeper.sweep(0) == 0


async def test_a_refused_retry_does_not_expose_a_waiting_job_to_the_sweeper(
    service: Service, redis: Redis
) -> None:
    job_id = await service.jobs.create(ME, REPORT, None)
    with pytest.raises(NotFailed):
        await service.jobs.retry(*await service.jobs.owned(ME, job_id))
    assert await left_over(redis) == []
    assert await service.sweeper.sweep(0) == 0
    assert await waiting(redis) == [f"{job_id}-1"]
    assert (await state_of(redis, job_id))["status"] == "queued"


async def test_a_retry_that_came_too_late_queues_what_the_other_left_unqueued(
    service: Service, redis: Redis
) -> None:
    job_id, state = await cancelled(service)
    await deny(redis, "queue")
    with pytest.raises(LogUnavailable):
        await service.jobs.retry(job_id, state)
    await allow(redis)
    with pytest.raises(NotFailed):
        await service.jobs.retry(job_id, state)
    assert await waiting(redis) == [f"{job_id}-2"]
    assert await left_over(redis) == []
    assert await service.sweeper.sweep(0) == 0


async def test_retries_at_the_same_time_queue_one_attempt(service: Service, redis: Redis) -> None:
    job_id, state = await cancelled(service)
    retries = [service.jobs.retry(job_id, state) for _ in range(10)]
    answers = await asyncio.gather(*retries, return_exceptions=True)
    assert sorted(type(answer).__name__ for answer in answers) == ["NoneType"] + ["NotFailed"] * 9
    assert await service.sweeper.sweep(0) == 0
    assert await waiting(redis) == [f"{job_id}-2"]
    assert await left_over(redis) == []


async def test_the_sweeper_is_patient(service: Service, redis: Redis) -> None:
    await deny(redis, "queue")
    with pytest.raises(LogUnavailable):
        await service.jobs.create(ME, REPORT, None)
    await allow(redis)
    assert await service.sweeper.sweep(30) == 0
    assert len(await left_over(redis)) == 2
    assert await service.sweeper.sweep(0) == 1


@pytest.mark.parametrize("ended", [False, True], ids=["runs", "has ended"])
async def test_a_job_that_a_worker_has_is_left_to_it(
    service: Service, redis: Redis, own_valkey: Valkey, *, ended: bool
) -> None:
    await deny(redis, "confirm")
    with pytest.raises(LogUnavailable):
        await service.jobs.create(ME, REPORT, None)
    await allow(redis)
    ((job_id, _),) = [name.rsplit("-", 1) for name in await waiting(redis)]
    async with (
        jobcast.connect(own_valkey.url, progress_per_s=None) as jobs,
        jobs.run(job_id) as run,
    ):
        if ended:
            await run.complete("done")
        assert await service.sweeper.sweep(0) == 0
        assert await redis.exists("jobs:unconfirmed") == 0
        if not ended:
            await run.progress(50)
    assert (await state_of(redis, job_id))["status"] == "succeeded"


async def test_a_note_of_a_job_that_is_gone_is_dropped(service: Service, redis: Redis) -> None:
    await redis.zadd("jobs:unconfirmed", {"gone": 1})
    assert await service.sweeper.sweep(0) == 0
    assert await redis.exists("jobs:unconfirmed") == 0


async def test_the_entry_of_a_job_that_is_gone_is_dropped_with_its_note(
    service: Service, redis: Redis
) -> None:
    await deny(redis, "confirm")
    with pytest.raises(LogUnavailable):
        await service.jobs.create(ME, REPORT, None)
    await allow(redis)
    (entry_id,) = await waiting(redis)
    job_id = entry_id.removesuffix("-1")
    await redis.delete(f"jobs:{{{job_id}}}:log", f"jobs:{{{job_id}}}:state")
    await delay(redis, entry_id)
    assert await service.sweeper.sweep(0) == 0
    assert await place_of(redis, entry_id) == "unknown"
    assert await redis.exists("jobs:unconfirmed") == 0


async def test_a_job_is_taken_out_of_the_queue_however_it_waits_there(
    service: Service, redis: Redis
) -> None:
    await deny(redis, "confirm")
    with pytest.raises(LogUnavailable):
        await service.jobs.create(ME, REPORT, None)
    await allow(redis)
    (entry_id,) = await waiting(redis)
    await delay(redis, entry_id)
    assert await service.sweeper.sweep(0) == 1
    assert await place_of(redis, entry_id) == "unknown"
    assert await ending_of(redis, entry_id.removesuffix("-1")) == NOT_QUEUED


async def test_a_worker_that_takes_an_entry_as_it_is_removed_keeps_it(
    service: Service, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = await service.jobs.create(ME, REPORT, None)
    assert isinstance(service.jobs._queue, BullQueue)
    queue = service.jobs._queue._queue
    look = queue.getJobState

    async def overtaken(entry_id: str) -> str:
        state: str = await look(entry_id)
        await take(redis, entry_id)
        return state

    monkeypatch.setattr(queue, "getJobState", overtaken)
    await service.jobs.cancel(job_id)
    assert await place_of(redis, f"{job_id}-1") == "active"
    assert await ending_of(redis, job_id) == ("failed", None, "Cancelled", None)


async def test_a_job_that_cant_be_read_keeps_no_other_from_being_failed(
    service: Service, redis: Redis
) -> None:
    await deny(redis, "queue")
    with pytest.raises(LogUnavailable):
        await service.jobs.create(ME, REPORT, None)
    await allow(redis)
    await redis.zadd("jobs:unconfirmed", {"bad": 1})
    await redis.set("jobs:{bad}:state", "no hash")
    assert await service.sweeper.sweep(0) == 1
    assert await redis.exists("jobs:unconfirmed") == 0


async def test_a_job_that_cant_be_read_is_not_tried_again(service: Service, redis: Redis) -> None:
    await redis.zadd("jobs:unconfirmed", {"bad": time.time() - 60, "worse": time.time() - 60})
    await redis.set("jobs:{bad}:state", "no hash")
    await redis.hset("jobs:{worse}:state", "status", "sleeping")
    assert await service.sweeper.sweep(30) == 0
    assert await redis.exists("jobs:unconfirmed") == 0


async def test_what_creates_a_job_may_come_long_after_its_caller_was_told(
    service: Service, redis: Redis, own_valkey: Valkey
) -> None:
    await redis.zadd("jobs:unconfirmed", {"late": time.time() - 60})
    assert await service.sweeper.sweep(30) == 0
    async with jobcast.connect(own_valkey.url, progress_per_s=None) as jobs:
        await jobs.create("report", session_id="session-1", job_id="late")
    assert await service.sweeper.sweep(30) == 1
    assert await ending_of(redis, "late") == NOT_QUEUED
    assert await redis.exists("jobs:unconfirmed") == 0


async def test_two_sweepers_at_the_same_time_fail_a_job_once(
    service: Service, redis: Redis, own_valkey: Valkey
) -> None:
    await deny(redis, "confirm")
    for _ in range(10):
        with pytest.raises(LogUnavailable):
            await service.jobs.create(ME, REPORT, None)
    await allow(redis)
    async with parts(own_valkey.url) as other:
        counts = await asyncio.gather(service.sweeper.sweep(0), other.sweeper.sweep(0))
    assert sum(counts) == 10
    assert await left_over(redis) == []
    assert await waiting(redis) == []


async def test_what_keeps_jobs_from_being_swept_is_logged_once(
    service: Service, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    await deny(redis, "queue")
    for _ in range(2):
        with pytest.raises(LogUnavailable):
            await service.jobs.create(ME, REPORT, None)
    for name in await redis.zrange("jobs:unconfirmed", 0, -1):
        await redis.zincrby("jobs:unconfirmed", -60, str(name))
    caplog.clear()
    for _ in range(3):
        assert await service.sweeper.sweep(30) == 0
    assert [record.name for record in caplog.records].count("jobcast.sweeper") == 1
    await allow(redis)
    assert await service.sweeper.sweep(30) == 2
