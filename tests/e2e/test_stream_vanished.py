"""A watched job's keys vanish while Redis stays up, and another job may get its id."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

import jobcast
from tests.support.calls import ON_A_JOB, call
from tests.support.service import Service
from tests.support.sse import Event, Stream, watch
from tests.support.valkey import Valkey
from tests.support.waiting import SLACK_SECONDS, eventually

KEEPALIVE_S = 1.0
NIGHTLY = "nightly"
LOG, STATE, CHANNEL = "jobs:{nightly}:log", "jobs:{nightly}:state", "jobs:nightly:events"
ALICE, BOB = "session-of-alice", "session-of-bob"
SECRET = "private to bob"

Vanish = Callable[[Redis], Awaitable[object]]


@pytest.fixture(scope="module")
def own_service(valkey: Valkey) -> Iterator[Service]:
    """Return a service whose keepalive interval is short."""
    with Service(valkey.url, JOBCAST_KEEPALIVE_S=f"{KEEPALIVE_S:g}") as running:
        yield running


@pytest.fixture
async def service(own_service: Service, redis_url: str) -> Service:
    """Return it with an empty Redis that it follows, and no actor of an earlier test."""
    assert redis_url

    async def ready() -> bool:
        metrics = await own_service.metrics()
        return metrics["jobcast_subscribed"] == 1 and metrics["jobcast_actors"] == 0

    await eventually(ready)
    return own_service


@pytest.fixture
async def run(jobs: jobcast.Jobs) -> jobcast.Run:
    """Return a run of alice's job."""
    await jobs.create("report", session_id=ALICE, job_id=NIGHTLY)
    started = jobs.run(NIGHTLY)
    await started.start()
    return started


@asynccontextmanager
async def watched(service: Service, session: str = ALICE) -> AsyncIterator[Stream]:
    """Watch the job, from its snapshot on."""
    async with watch(service.url, NIGHTLY, session=session) as stream:
        await stream.until("progress-update")
        yield stream


async def sent_back(stream: Stream) -> list[Event]:
    """Wait for ``retry:`` and the end; return what came before it."""
    events = await stream.rest(KEEPALIVE_S + SLACK_SECONDS)
    assert not stream.cut
    assert stream.blocks[-1].startswith(b"retry: ")
    assert len(stream.parser.retries) == 1
    assert 1000 <= stream.parser.retries[0] <= 5000
    return events


async def emptied(redis: Redis) -> None:
    await redis.flushall()


async def deleted(redis: Redis) -> None:
    await redis.delete(LOG, STATE)


async def without_its_state(redis: Redis) -> None:
    await redis.delete(STATE)


async def expired(redis: Redis) -> None:
    await redis.pexpire(LOG, 1)
    await redis.pexpire(STATE, 1)


VANISHED = pytest.mark.parametrize("vanish", [emptied, deleted, without_its_state, expired])


@VANISHED
async def test_viewers_of_a_job_that_vanishes_are_sent_back_and_told_that_there_is_none(
    service: Service, run: jobcast.Run, redis_client: Redis, vanish: Vanish
) -> None:
    last = await run.progress(40)
    async with (
        watched(service) as idle,
        watch(service.url, NIGHTLY, session=ALICE, last_event_id=last) as resumed,
    ):
        await resumed.until("connected")
        await vanish(redis_client)
        for stream in (idle, resumed):
            assert await sent_back(stream) == []
    async with service.client(ALICE) as client:
        for name in ON_A_JOB:
            for headers in ({}, {"Last-Event-ID": last}):
                assert (await call(client, name, NIGHTLY, headers=headers)).status_code == 404


@VANISHED
async def test_who_comes_before_that_is_noticed_is_told_that_there_is_no_such_job(
    service: Service, run: jobcast.Run, redis_client: Redis, vanish: Vanish
) -> None:
    async with watched(service), service.client(ALICE) as client:
        last = await run.progress(40)
        await vanish(redis_client)
        gone = STATE

        async def has_vanished() -> bool:
            return not await redis_client.exists(gone)

        await eventually(has_vanished)
        for headers in ({}, {"Last-Event-ID": last}):
            assert (await call(client, "stream", NIGHTLY, headers=headers)).status_code == 404


async def test_a_job_of_which_much_is_published_is_found_to_be_gone_as_well(
    service: Service, run: jobcast.Run, redis_client: Redis
) -> None:
    async with watched(service) as stream:
        for percent in range(1, 20):
            await run.progress(percent)
        await redis_client.flushall()
        payload = '{"event":"note","data":{}}'

        async def is_sent_back() -> bool:
            await redis_client.publish(CHANNEL, payload)  # by one that does not know of it
            return not (await service.metrics())["jobcast_actors"]

        await eventually(is_sent_back, KEEPALIVE_S + SLACK_SECONDS)
        names = {event.name for event in await sent_back(stream)}
        assert names <= {"progress-update", "note"}


async def test_a_job_whose_log_alone_is_lost_goes_on(
    service: Service, run: jobcast.Run, redis_client: Redis
) -> None:
    first = await run.progress(40)
    async with watched(service) as stream:
        await redis_client.delete(LOG)
        second = await run.progress(50)
        assert (await stream.next()).id == second
        async with watch(service.url, NIGHTLY, session=ALICE, last_event_id=first) as anew:
            *_, reset, snapshot = await anew.until("progress-update")
            assert (reset.name, snapshot.id) == ("reset", second)
            end = await run.complete({"done": True})
            for each in (stream, anew):
                assert [event.id for event in await each.rest()] == [end]


async def test_a_retried_job_is_the_same_job_to_its_viewers(
    service: Service, run: jobcast.Run, jobs: jobcast.Jobs
) -> None:
    async with watched(service) as stream:
        await run.fail("x")
        assert [event.name for event in await stream.rest()] == ["failed"]
    async with service.client(ALICE) as client:
        assert (await call(client, "retry", NIGHTLY)).status_code == 200
    async with watched(service) as stream, jobs.run(NIGHTLY):
        assert (await stream.next()).name == "step-change"


async def bobs(jobs: jobcast.Jobs, redis: Redis) -> jobcast.Run:
    """Have bob create a job under the id, and run it with a publish-only part; return the run."""

    async def is_created() -> bool:
        try:
            await jobs.create("report", session_id=BOB, job_id=NIGHTLY)
        except jobcast.JobExists:  # alice's keys are about to expire
            return False
        return True

    await eventually(is_created)
    await redis.publish(CHANNEL, f'{{"event":"note","data":{{"text":"{SECRET}"}}}}')
    run = jobs.run(NIGHTLY)
    await run.start()
    await run.step(SECRET)
    return run


@VANISHED
async def test_the_former_owner_sees_nothing_of_another_job_under_the_id(
    service: Service, run: jobcast.Run, jobs: jobcast.Jobs, redis_client: Redis, vanish: Vanish
) -> None:
    last = await run.progress(40)
    async with watched(service) as former:
        seen = len(former.body)
        await vanish(redis_client)
        await (await bobs(jobs, redis_client)).complete({"result": SECRET})
        assert await sent_back(former) == []
        assert former.body[seen:].replace(b": keepalive\n\n", b"").startswith(b"retry: ")
    async with service.client(ALICE) as client:
        for headers in ({}, {"Last-Event-ID": last}):
            assert (await call(client, "stream", NIGHTLY, headers=headers)).status_code == 404


@VANISHED
async def test_the_owner_of_another_job_under_the_id_watches_it_at_once(
    service: Service, run: jobcast.Run, jobs: jobcast.Jobs, redis_client: Redis, vanish: Vanish
) -> None:
    await run.progress(40)
    async with watched(service) as former:
        await vanish(redis_client)
        anew = await bobs(jobs, redis_client)
        async with watched(service, BOB) as stream:
            await anew.emit("note", {"text": SECRET})
            assert (await stream.next()).data == {"text": SECRET}
            end = await anew.complete({"result": SECRET})
            assert [event.id for event in await stream.rest()] == [end]
        assert await sent_back(former) == []
        assert SECRET.encode() not in former.body


async def test_the_owner_of_another_job_under_the_id_sees_nothing_of_the_former_one(
    service: Service, run: jobcast.Run, jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    last = await run.step(SECRET)
    async with watched(service) as former:
        await redis_client.flushall()
        await jobs.create("report", session_id=BOB, job_id=NIGHTLY)
        async with (
            watched(service, BOB) as stream,
            watch(service.url, NIGHTLY, session=BOB, last_event_id=last) as resumed,
        ):
            await resumed.until("progress-update")
            end = await jobs.run(NIGHTLY).start()
            for each in (stream, resumed):
                assert (await each.next()).id == end
                assert SECRET.encode() not in each.body
        await sent_back(former)


async def test_the_same_owner_is_sent_back_too_and_is_shown_the_other_job_then(
    service: Service, run: jobcast.Run, jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    last = await run.progress(90)
    async with watched(service) as stream:
        await redis_client.delete(STATE, LOG)
        await jobs.create("report", session_id=ALICE, job_id=NIGHTLY)
        await jobs.run(NIGHTLY).start()
        assert await sent_back(stream) == []
    async with watch(service.url, NIGHTLY, session=ALICE, last_event_id=last) as stream:
        snapshot = (await stream.until("progress-update"))[-1]
        assert snapshot.data["progress"] == 0


async def test_a_publication_that_is_lost_is_made_good_within_a_keepalive_interval(
    service: Service, run: jobcast.Run, redis_client: Redis
) -> None:
    async with watched(service) as stream:
        await redis_client.acl_setuser("default", enabled=True, reset_channels=True)
        try:
            first = await run.progress(50)
        finally:
            await redis_client.acl_setuser("default", enabled=True, channels=["*"])
        assert (await stream.next(KEEPALIVE_S + SLACK_SECONDS)).id == first
