import asyncio
import time
from collections.abc import Iterator

import pytest
from redis.asyncio import Redis

import jobcast
from tests.support.expiring import expiring
from tests.support.service import SESSION, WAYS, Service, Way
from tests.support.sse import Stream, request, watch
from tests.support.stored import cancel, retry
from tests.support.valkey import Valkey
from tests.support.waiting import after

MAX_AGE_S = 1.0
KEEPALIVE = b": keepalive\n\n"
KEEPALIVE_S = 1
REPORT_S = 0.1


def assert_sent_back(stream: Stream) -> None:
    """Check that the response ended in good order, and by a complete ``retry:`` block."""
    assert stream.ended
    assert not stream.cut
    assert stream.body.endswith(b"\n\n")
    last = stream.blocks[-1]
    assert last.startswith(b"retry: ")
    assert last.count(b"\n") == 2
    assert len(stream.parser.retries) == 1
    assert 1000 <= stream.parser.retries[0] <= 5000


@pytest.mark.parametrize("ending", ["complete", "failed", "cancelled"])
async def test_a_terminal_event_has_an_id_and_is_followed_by_the_end(
    writer: Service, jobs: jobcast.Jobs, job_id: str, redis_client: Redis, ending: str
) -> None:
    async with watch(writer.url, job_id) as stream:
        await stream.until("progress-update")
        if ending == "cancelled":
            await cancel(redis_client, job_id)
        else:
            run = jobs.run(job_id)
            await run.start()
            await (run.complete() if ending == "complete" else run.fail("No disk"))
        terminal = (await stream.rest())[-1]
    assert not stream.cut
    assert terminal.name == ("complete" if ending == "complete" else "failed")
    assert stream.blocks[-1].startswith(f"id: {terminal.id}\n".encode())
    assert stream.parser.retries == []
    async with watch(writer.url, job_id, last_event_id=terminal.id) as again:
        assert again.status == 204


async def test_a_connection_serves_a_further_request_after_its_stream_has_ended(
    writer: Service, jobs: jobcast.Jobs, job_id: str
) -> None:
    async with watch(writer.url, job_id) as stream:
        await stream.until("progress-update")
        async with jobs.run(job_id) as run:
            await run.emit("note", {"text": "x" * 200_000})
        last = (await stream.rest())[-1]
        target, headers = f"/api/v1/jobs/{job_id}/stream", {"x-session-id": SESSION}
        await stream.send_on("GET", target, headers)
        assert [event.id for event in await stream.rest()] == ["", last.id]
        await stream.send_on("GET", target, {**headers, "Last-Event-ID": last.id})
        assert stream.status == 204
        other = await jobs.create("anything", session_id=SESSION)
        await stream.send_on("GET", f"/api/v1/jobs/{other}/stream", headers)
        assert (await stream.until("progress-update"))[0].data["jobId"] == other


async def test_204_says_nothing_of_a_body_and_is_not_to_be_kept(
    writer: Service, jobs: jobcast.Jobs, job_id: str
) -> None:
    run = jobs.run(job_id)
    await run.start()
    last = await run.complete()
    async with watch(writer.url, job_id, last_event_id=last) as stream:
        assert stream.status == 204
        assert stream.headers.keys() == {"cache-control", "date"}
        assert stream.headers["cache-control"] == "no-store"
        await stream.send_on("GET", "/healthz")
        assert stream.status == 200


async def test_a_failed_job_that_is_retried_is_streamed_anew(
    service: Service, jobs: jobcast.Jobs, job_id: str, redis_client: Redis
) -> None:
    async with watch(service.url, job_id) as stream:
        await stream.until("progress-update")
        run = jobs.run(job_id)
        await run.start()
        await run.fail("No disk")
        failed = (await stream.rest())[-1]
    await retry(redis_client, job_id)
    async with watch(service.url, job_id, last_event_id=failed.id) as stream:
        assert (await stream.until("progress-update"))[-1].data["progress"] == 0
        async with jobs.run(job_id):
            pass
        assert [event.name for event in await stream.rest()] == ["step-change", "complete"]


@pytest.fixture(scope="module", params=WAYS)
def brief_service(valkey: Valkey, request: pytest.FixtureRequest) -> Iterator[Service]:
    """Return a service whose streams end soon, once with each way of writing."""
    age = str(MAX_AGE_S)
    with Service(valkey.url, way=request.param, JOBCAST_STREAM_MAX_AGE_S=age) as running:
        yield running


@pytest.fixture
def brief(brief_service: Service, redis_url: str) -> Service:
    """Return it on an empty Redis."""
    assert redis_url
    return brief_service


@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_an_old_stream_ends_with_a_retry_and_its_viewer_misses_nothing(
    brief: Service, jobs: jobcast.Jobs, job_id: str, version: str
) -> None:
    run = jobs.run(job_id)
    first = await run.start()
    begun = time.monotonic()
    async with watch(brief.url, job_id, last_event_id=first, version=version) as stream:
        connected = await stream.next()
        assert connected.data["maxAgeSeconds"] == MAX_AGE_S
        ids = [await run.progress(10), await run.emit("note", {})]
        events = await stream.rest()
        assert time.monotonic() - begun >= MAX_AGE_S * 0.95
    seen = [event.id for event in events]
    assert seen == ids[: len(seen)]  # a slow worker's come after the end of a stream of a second
    assert_sent_back(stream)
    missed = [*ids[len(seen) :], await run.progress(20), await run.complete()]
    async with watch(brief.url, job_id, last_event_id=[first, *seen][-1]) as stream:
        assert [event.id for event in await stream.rest()][1:] == missed


async def test_streams_that_began_together_end_apart_and_return_apart(
    brief: Service, job_id: str
) -> None:
    async def age() -> tuple[float, int]:
        async with watch(brief.url, job_id) as stream:
            begun = time.monotonic()
            await stream.rest()
        return time.monotonic() - begun, stream.parser.retries[0]

    async with asyncio.TaskGroup() as group:
        viewers = [group.create_task(age()) for _ in range(20)]
    ages, retries = zip(*(viewer.result() for viewer in viewers), strict=True)
    assert max(ages) - min(ages) > 0.01
    assert len(set(retries)) > 10


async def test_a_stream_ends_when_its_token_expires(service: Service, jobs: jobcast.Jobs) -> None:
    job_id = await jobs.create("anything", user_id="user-1")
    target = f"/api/v1/jobs/{job_id}/stream"
    async with expiring(service.url, target) as (stream, headers, expires):
        assert (await stream.next()).data["maxAgeSeconds"] == 600
        await stream.rest()
        assert time.time() - expires > -0.1
    assert_sent_back(stream)
    async with request(service.url, target, headers=headers) as stream:
        assert stream.status == 401


@pytest.mark.parametrize("way", ["direct", "uvicorn"])
async def test_keepalives_come_after_their_time_and_only_in_silence(
    jobs: jobcast.Jobs, redis_url: str, way: Way
) -> None:
    """That they come within a second of it is tried where nothing else takes time."""

    async def is_kept_alive(job_id: str, delay_s: float) -> None:
        await after(delay_s)
        begun = time.monotonic()
        async with watch(service.url, job_id) as stream:
            assert (await stream.next()).data["keepaliveSeconds"] == KEEPALIVE_S
            await stream.until("progress-update")
            greeting = stream.body
            for number in (1, 2):
                await stream.received(KEEPALIVE * number)
                assert time.monotonic() - begun >= number * KEEPALIVE_S - 0.05
            assert stream.body == greeting + KEEPALIVE * stream.body.count(KEEPALIVE)

    async def reports(run: jobcast.Run) -> None:
        await run.start()
        for number in range(30):
            await run.progress(number)
            await after(REPORT_S)

    silent, busy = [await jobs.create("anything", session_id=SESSION) for _ in range(2)]
    with Service(redis_url, way=way, JOBCAST_KEEPALIVE_S=str(KEEPALIVE_S)) as service:
        async with watch(service.url, busy) as busy_stream, asyncio.TaskGroup() as group:
            for number in range(10):
                group.create_task(is_kept_alive(silent, number / 10))
            group.create_task(reports(jobs.run(busy)))
            await busy_stream.received(b'{"progress":29,')
            assert_kept_alive_in_silence_only(busy_stream)


def assert_kept_alive_in_silence_only(stream: Stream) -> None:
    """Check the gap around each keepalive by the ids of the events, whoever was slow meanwhile."""
    before_ms: int | None = None
    is_kept_alive = False
    for block in stream.blocks:
        if block == KEEPALIVE:
            is_kept_alive = True
        elif block.startswith(b"id: "):
            ms = int(block[4:].partition(b"-")[0])
            if is_kept_alive and before_ms is not None:
                assert ms - before_ms > KEEPALIVE_S * 1000 / 2
            before_ms, is_kept_alive = ms, False
