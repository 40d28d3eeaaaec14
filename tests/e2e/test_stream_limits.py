import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest

import jobcast
from tests.support.service import SESSION, WAYS, Service, token
from tests.support.sse import Stream, request, watch
from tests.support.valkey import Valkey
from tests.support.waiting import eventually

OF_JOB, OF_OWNER, OF_PROCESS = 2, 3, 4


@pytest.fixture(scope="module", params=WAYS)
def small_service(valkey: Valkey, request: pytest.FixtureRequest) -> Iterator[Service]:
    """Return a service that takes few streams."""
    with Service(
        valkey.url,
        way=request.param,
        JOBCAST_STREAMS_PER_JOB=str(OF_JOB),
        JOBCAST_STREAMS_PER_OWNER=str(OF_OWNER),
        JOBCAST_STREAMS_PER_PROCESS=str(OF_PROCESS),
    ) as running:
        yield running


@pytest.fixture
async def small(small_service: Service, redis_url: str) -> Service:
    """Return it on an empty Redis, with no stream open."""

    async def empty() -> bool:
        return (await small_service.metrics())["jobcast_streams"] == 0

    assert redis_url
    await eventually(empty)
    return small_service


@pytest.fixture
async def opened() -> AsyncIterator[AsyncExitStack]:
    """Return what keeps streams open until the test ends."""
    async with AsyncExitStack() as stack:
        yield stack


async def fill(stack: AsyncExitStack, service: Service, job_id: str, number: int) -> list[Stream]:
    streams = [await stack.enter_async_context(watch(service.url, job_id)) for _ in range(number)]
    assert [stream.status for stream in streams] == [200] * number
    return streams


async def assert_refused(stream: Stream, status: int, message: str) -> None:
    await stream.rest()
    title = {429: "Too many requests", 503: "Service unavailable"}[status]
    assert stream.status == status
    assert int(stream.headers["retry-after"]) > 0
    assert stream.headers["content-type"] == "application/json"
    expected = (
        f'{{"success":false,"error":"{title}","message":"{message}","code":"TOO_MANY_STREAMS"}}'
    )
    assert stream.body.decode() == expected


async def assert_put_off(stream: Stream) -> None:
    await stream.rest()
    assert stream.status == 200
    assert stream.headers["content-type"] == "text/event-stream"
    assert not stream.cut
    assert stream.blocks == [stream.body]
    comment, retry, *end = stream.body.split(b"\n")
    assert (comment, end) == (b": unavailable", [b"", b""])
    assert retry == b"retry: %d" % stream.parser.retries[0]
    assert 1000 <= stream.parser.retries[0] <= 5000


async def test_a_job_has_only_so_many_streams(
    small: Service, opened: AsyncExitStack, job_id: str
) -> None:
    await fill(opened, small, job_id, OF_JOB)
    async with watch(small.url, job_id) as stream:
        await assert_refused(stream, 429, "Too many open streams of this job")
    for version in ("1.1", "1.0"):
        async with watch(small.url, job_id, last_event_id="1-1", version=version) as stream:
            await assert_put_off(stream)


async def test_an_owner_has_only_so_many_streams(
    small: Service, opened: AsyncExitStack, jobs: jobcast.Jobs, job_id: str
) -> None:
    other = await jobs.create("anything", session_id=SESSION)
    await fill(opened, small, job_id, OF_JOB)
    await fill(opened, small, other, OF_OWNER - OF_JOB)
    async with watch(small.url, other) as stream:
        await assert_refused(stream, 429, "Too many open streams of this owner")
    async with watch(small.url, other, last_event_id="1-1") as stream:
        await assert_put_off(stream)


async def test_a_process_has_only_so_many_streams_whoever_asks(
    small: Service, opened: AsyncExitStack, jobs: jobcast.Jobs, job_id: str
) -> None:
    await fill(opened, small, job_id, OF_JOB)
    of_others = [await jobs.create("anything", user_id=f"user-{n}") for n in range(OF_PROCESS)]
    for number, other in enumerate(of_others):
        headers = {"Authorization": f"Bearer {token(f'user-{number}')}"}
        target = f"/api/v1/jobs/{other}/stream"
        stream = await opened.enter_async_context(request(small.url, target, headers=headers))
        if number < OF_PROCESS - OF_JOB:
            assert stream.status == 200
            continue
        await assert_refused(stream, 503, "This process has as many open streams as it may")
        headers["Last-Event-ID"] = "1-1"
        async with request(small.url, target, headers=headers) as again:
            await assert_put_off(again)


async def test_a_full_service_says_401_and_404_all_the_same(
    small: Service, opened: AsyncExitStack, job_id: str
) -> None:
    await fill(opened, small, job_id, OF_JOB)
    for cursor in (None, "1-1"):
        async with watch(small.url, job_id, session="foreign", last_event_id=cursor) as stream:
            assert stream.status == 404
        async with watch(small.url, job_id, session="null", last_event_id=cursor) as stream:
            assert stream.status == 401
        async with watch(small.url, "unknown", last_event_id=cursor) as stream:
            assert stream.status == 404


async def test_a_full_service_still_shows_finished_jobs(
    small: Service, opened: AsyncExitStack, jobs: jobcast.Jobs
) -> None:
    others = [await jobs.create("anything", session_id=SESSION) for _ in range(2)]
    finished = await jobs.create("anything", session_id=SESSION)
    run = jobs.run(finished)
    await run.start()
    last = await run.complete()
    await fill(opened, small, others[0], OF_JOB)
    await fill(opened, small, others[1], OF_OWNER - OF_JOB)
    async with watch(small.url, finished) as stream:
        assert [event.id for event in await stream.rest()] == ["", last]
    async with watch(small.url, finished, last_event_id=last) as stream:
        assert stream.status == 204


async def test_a_head_request_takes_no_place(
    small: Service, opened: AsyncExitStack, job_id: str
) -> None:
    for _ in range(3 * OF_PROCESS):
        async with watch(small.url, job_id, method="HEAD") as stream:
            assert stream.status == 200
    await fill(opened, small, job_id, OF_JOB)
    async with watch(small.url, job_id, method="HEAD") as stream:
        assert stream.status == 429


@pytest.mark.parametrize("leave", ["close", "abort", "end"])
async def test_a_place_is_free_again_when_its_viewer_has_left(
    small: Service, opened: AsyncExitStack, jobs: jobcast.Jobs, job_id: str, leave: str
) -> None:
    async def taken_again() -> bool:
        stream = await opened.enter_async_context(watch(small.url, job_id))
        return stream.status == 200

    leaving, staying = await fill(opened, small, job_id, OF_JOB)
    if leave == "end":
        async with jobs.run(job_id):
            pass
        await leaving.rest()
        await staying.rest()
        other = await jobs.create("anything", session_id=SESSION)
        await fill(opened, small, other, OF_JOB)
        return
    leaving.close() if leave == "close" else leaving.abort()
    await eventually(taken_again)
    async with watch(small.url, job_id) as stream:
        assert stream.status == 429


async def test_of_a_crowd_that_comes_at_once_exactly_as_many_are_let_in_as_there_are_places(
    small: Service, opened: AsyncExitStack, job_id: str
) -> None:
    async with asyncio.TaskGroup() as group:
        crowd = [
            group.create_task(opened.enter_async_context(watch(small.url, job_id)))
            for _ in range(40)
        ]
    statuses = [viewer.result().status for viewer in crowd]
    assert sorted(statuses) == [200] * OF_JOB + [429] * (40 - OF_JOB)
