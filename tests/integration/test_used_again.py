"""What Redis, and the parts of the service, make of an id that one job had and another one gets."""

from collections.abc import AsyncIterator

import msgspec
import pytest
from msgspec import Raw
from redis.asyncio import Redis

import jobcast
from app.lifecycle import Service
from eventlog.catch_up import CatchUp
from eventlog.errors import AppendRefused, LogUnavailable
from eventlog.reader import ReadFailure
from schema.events import Complete, CompleteData
from schema.http import CreateJob
from schema.owner import Owner
from schema.state import JobState
from tests.support.channel import Channel
from tests.support.parts import parts
from tests.support.queued import QUEUE, waiting
from tests.support.stored import log_of, retry, state_of
from tests.support.valkey_cluster import ValkeyCluster
from tests.support.waiting import until

LOG, STATE = "jobs:{nightly}:log", "jobs:{nightly}:state"
ALICE, BOB = Owner("alice"), Owner("bob")


@pytest.fixture
async def service(redis_url: str) -> AsyncIterator[Service]:
    async with parts(redis_url) as built:
        yield built


@pytest.fixture
async def known(service: Service, jobs: jobcast.Jobs) -> JobState:
    """Return the state of a job of alice's, which is queued."""
    await jobs.create("report", user_id="alice", job_id="nightly")
    state = await service.reader.load("nightly")
    assert state is not None
    return state


async def looked(service: Service, known: JobState) -> CatchUp:
    answers: list[CatchUp | ReadFailure] = []
    service.reader.ask_if_changed("nightly", known, answers.append)
    await until(lambda: bool(answers))
    [answer] = answers
    assert isinstance(answer, CatchUp)
    return answer


@pytest.mark.parametrize("owner", [("userId", "bob"), ("sessionId", "s1")])
async def test_a_look_tells_jobs_apart_whose_entries_have_the_same_ids(
    service: Service, known: JobState, redis_client: Redis, owner: tuple[str, str]
) -> None:
    await redis_client.hset(STATE, *owner)
    answer = await looked(service, known)
    assert answer.state is not None
    assert answer.state.last == known.last
    assert answer.state.creation != known.creation


async def test_that_a_job_was_created_is_published_in_a_cluster_too(cluster: ValkeyCluster) -> None:
    owner = cluster.owner_of(LOG)
    async with jobcast.connect(cluster.url) as jobs, Redis.from_url(owner.url) as node:
        pubsub = node.pubsub()
        await pubsub.execute_command("SSUBSCRIBE", "jobs:{nightly}:events")
        await pubsub.parse_response()
        await jobs.create("report", user_id="bob", job_id="nightly")
        _, _, payload = await pubsub.parse_response()
        await pubsub.aclose()  # type: ignore[no-untyped-call]
    assert msgspec.json.decode(payload)["event"] == "_created"


async def test_a_job_that_is_retried_or_cancelled_publishes_no_creation(
    jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    await jobs.create("report", user_id="bob", job_id="nightly")
    run = jobs.run("nightly")
    await run.start()
    await run.fail("x")
    async with Channel(redis_client, "jobs:nightly:events") as channel:
        await retry(redis_client, "nightly")
        assert await channel.rest() == []


async def test_a_job_does_not_go_on_with_the_log_of_one_whose_state_was_lost(
    known: JobState, jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    await jobs.run("nightly").start()
    await redis_client.delete(STATE)
    await jobs.create("report", user_id="bob", job_id="nightly")
    [(created, fields)] = await log_of(redis_client, "nightly")
    assert (fields["event"], fields["userId"]) == ("_created", "bob")
    assert (await state_of(redis_client, "nightly"))["last"] == created != known.last


async def test_an_end_that_comes_late_does_not_end_another_job(
    service: Service, known: JobState, jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    await redis_client.flushall()
    await jobs.create("report", user_id="bob", job_id="nightly")
    service.questions.settle("nightly", Complete(CompleteData(Raw(b"null"))), known, attempt=1)
    await until(lambda: not service.questions._tasks)
    assert (await state_of(redis_client, "nightly"))["status"] == "queued"
    state = await service.reader.load("nightly")
    assert state is not None
    service.questions.settle("nightly", Complete(CompleteData(Raw(b"null"))), state, attempt=1)
    await until(lambda: not service.questions._tasks)
    assert (await state_of(redis_client, "nightly"))["status"] == "succeeded"


async def test_a_job_whose_id_was_used_before_is_listed_once_and_to_its_owner_alone(
    service: Service, known: JobState, jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    for owner in (BOB, ALICE):
        await redis_client.delete(STATE, LOG)
        await jobs.create("report", user_id=owner.user_id, job_id="nightly")
        for each in (ALICE, BOB):
            page = await service.jobs.page(each, 20, None)
            assert [job.job_id for job in page.jobs] == (["nightly"] if each == owner else [])
            assert await redis_client.zcard(f"jobs:by-user:{each.user_id}") == len(page.jobs)
    assert known.owner == ALICE


async def test_a_retry_is_queued_though_an_earlier_job_of_that_id_was_retried_too(
    service: Service, known: JobState, jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    for _ in range(2):
        async with jobs.run("nightly") as run:
            await run.fail("x")
        _, state = await service.jobs.owned(ALICE, "nightly")
        await service.jobs.retry("nightly", state)
        assert await waiting(redis_client) == ["nightly-2"]
        # A worker takes the entry to its end, as BullMQ keeps it; then the job vanishes.
        await redis_client.lrem(f"bull:{QUEUE}:wait", 0, "nightly-2")
        await redis_client.zadd(f"bull:{QUEUE}:completed", {"nightly-2": 1})
        await redis_client.delete(STATE, LOG)
        await jobs.create("report", user_id="alice", job_id="nightly")
    assert known.owner == ALICE


async def test_a_repeated_call_gets_its_job_queued_though_it_vanished_in_between(
    service: Service, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = CreateJob("report", {})

    async def lost(*_: object) -> None:
        raise LogUnavailable

    with monkeypatch.context() as patched:
        patched.setattr(service.jobs._records, "fulfil", lost)
        with pytest.raises(LogUnavailable):
            await service.jobs.create(ALICE, request, "key")
    [entry_id] = await waiting(redis_client)
    job_id = entry_id.removesuffix("-1")
    # The worker finds no job and acknowledges its entry.
    await redis_client.delete(f"jobs:{{{job_id}}}:state", f"jobs:{{{job_id}}}:log")
    await redis_client.lrem(f"bull:{QUEUE}:wait", 0, entry_id)
    await redis_client.zadd(f"bull:{QUEUE}:completed", {entry_id: 1})
    assert await service.jobs.create(ALICE, request, "key") == job_id
    assert await waiting(redis_client) == [entry_id]


async def test_a_repeated_call_does_not_queue_a_job_that_somebody_else_made_of_the_same_id(
    service: Service, jobs: jobcast.Jobs, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = CreateJob("report", {})

    async def lost(*_: object) -> None:
        raise LogUnavailable

    with monkeypatch.context() as patched:
        patched.setattr(service.jobs._queue, "add", lost)
        with pytest.raises(LogUnavailable):
            await service.jobs.create(ALICE, request, "key")
    [key] = [key async for key in redis_client.scan_iter("jobs:{*}:state")]
    job_id = key.removeprefix("jobs:{").removesuffix("}:state")
    await redis_client.delete(f"jobs:{{{job_id}}}:state", f"jobs:{{{job_id}}}:log")
    await jobs.create("other", user_id="bob", job_id=job_id)
    assert await service.jobs.create(ALICE, request, "key") == job_id
    assert await waiting(redis_client) == []
    assert (await service.jobs.page(ALICE, 20, None)).jobs == []


async def test_the_lost_run_of_an_earlier_job_is_not_failed_in_another_one(
    service: Service, known: JobState, jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    await jobs.run("nightly").start()
    lost = (await state_of(redis_client, "nightly"))["run"]
    await redis_client.delete(STATE, LOG)
    await jobs.create("report", user_id="bob", job_id="nightly")
    appender = service.stalled_runs._appender
    with pytest.raises(AppendRefused):
        await appender.stall("nightly", lost)
    await jobs.run("nightly").start()
    with pytest.raises(AppendRefused):
        await appender.stall("nightly", lost)
    assert (await state_of(redis_client, "nightly"))["status"] == "running"
    assert known.owner == ALICE
