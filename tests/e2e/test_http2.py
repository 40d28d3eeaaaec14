import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest
from h2.errors import ErrorCodes

import jobcast
from tests.support.certificate import Certificate
from tests.support.http2 import Http2Connection, Http2Stream, http2
from tests.support.service import SESSION, Service
from tests.support.sse import watch
from tests.support.valkey import Valkey
from tests.support.waiting import eventually

STREAMS = 100
MAILBOX_BYTES = 64 * 1024
WINDOW_BYTES = 65_535  # what a stream may hold unread until its client says more: RFC 9113 §6.9.2
MEBIBYTE = 1024 * 1024
# Hypercorn's own buffer and one write of ours, each with what one event can add to it.
IN_FLIGHT_BYTES = WINDOW_BYTES + MAILBOX_BYTES + 512 * 1024


@pytest.fixture(scope="module")
def tls_service(valkey: Valkey, certificate: Certificate) -> Iterator[Service]:
    """Return a service with TLS of its own, which keeps little for a viewer that does not read."""
    bound = str(MAILBOX_BYTES)
    with Service(valkey.url, certificate=certificate, JOBCAST_MAILBOX_BYTES=bound) as running:
        yield running


@pytest.fixture
def tls(tls_service: Service, redis_url: str) -> Service:
    """Return it on an empty Redis."""
    assert redis_url
    return tls_service


@pytest.fixture
def context(certificate: Certificate) -> ssl.SSLContext:
    return certificate.client_context("h2", "http/1.1")


@pytest.fixture
async def connection(tls: Service, context: ssl.SSLContext) -> AsyncIterator[Http2Connection]:
    async with http2(tls.url, context) as opened:
        yield opened


async def streams_of(service: Service) -> float:
    return (await service.metrics())["jobcast_streams"]


async def test_the_head_is_that_of_http_1_without_what_belongs_to_its_connection(
    connection: Http2Connection, job_id: str
) -> None:
    stream = await connection.watch(job_id)
    assert stream.status == 200
    assert stream.headers.pop("date")
    assert stream.headers == {
        "content-type": "text/event-stream",
        "cache-control": "no-cache, no-transform",
        "x-accel-buffering": "no",
    }


@pytest.mark.parametrize("secure", [True, False], ids=["TLS", "prior knowledge"])
async def test_each_of_many_streams_of_a_connection_gets_the_bytes_that_http_1_gets(
    tls: Service, service: Service, context: ssl.SSLContext, jobs: jobcast.Jobs, *, secure: bool
) -> None:
    async def work(job_id: str, number: int) -> None:
        async with jobs.run(job_id) as run:
            await run.progress(number, f"é {number}", eta=1.5)
            await run.emit("note", {"number": number, "text": "x" * 100 * number})

    url, certified = (tls.url, context) if secure else (service.url, None)
    job_ids = [await jobs.create("anything", session_id=SESSION) for _ in range(STREAMS)]
    async with http2(url, certified) as connection:
        streams = [await connection.watch(job_id) for job_id in job_ids]
        firsts = [(await stream.until("progress-update"))[-1].id for stream in streams]
        async with asyncio.TaskGroup() as group:
            for number, job_id in enumerate(job_ids):
                group.create_task(work(job_id, number))
        for stream, job_id, first in zip(streams, job_ids, firsts, strict=True):
            names = [event.name for event in await stream.rest()]
            assert names == ["step-change", "progress-update", "note", "complete"]
            assert not stream.cut
            async with watch(service.url, job_id, last_event_id=first) as plain:
                await plain.rest()
            assert stream.blocks[3:] == plain.blocks[2:]


async def test_an_end_ends_its_own_stream_and_no_other(
    connection: Http2Connection, jobs: jobcast.Jobs
) -> None:
    ending, staying = [await jobs.create("anything", session_id=SESSION) for _ in range(2)]
    streams = {job_id: await connection.watch(job_id) for job_id in (ending, staying)}
    for stream in streams.values():
        await stream.until("progress-update")
    async with jobs.run(ending):
        pass
    last = (await streams[ending].rest())[-1]
    assert (last.name, streams[ending].cut) == ("complete", False)
    again = await connection.watch(ending, last.id)
    assert (again.status, await again.rest()) == (204, [])
    run = jobs.run(staying)
    assert await run.start() == (await streams[staying].next()).id
    await run.complete()
    assert (await streams[staying].rest())[-1].name == "complete"


async def test_a_viewer_that_returns_on_the_same_connection_gets_what_it_missed(
    connection: Http2Connection, jobs: jobcast.Jobs, job_id: str
) -> None:
    run = jobs.run(job_id)
    seen = [await run.start()]
    ids = list(seen)
    for number in range(20):
        stream = await connection.watch(job_id, seen[-1])
        ids += [await run.emit("note", {"n": number}) for _ in range(3)]
        await stream.next()
        seen += [(await stream.next()).id for _ in range(2)]
        stream.close()
    ids.append(await run.complete())
    seen += [event.id for event in (await (await connection.watch(job_id, seen[-1])).rest())[1:]]
    assert seen == ids


async def test_a_stream_that_its_client_resets_is_missed_and_no_other(
    tls: Service, connection: Http2Connection, jobs: jobcast.Jobs, job_id: str
) -> None:
    async def one_left() -> bool:
        return await streams_of(tls) == 1

    staying = await connection.watch(job_id)
    leaving = [await connection.watch(job_id) for _ in range(5)]
    for stream in (staying, *leaving):
        await stream.until("progress-update")
    for stream in leaving:
        stream.close()
    await eventually(one_left)
    async with jobs.run(job_id):
        pass
    assert [event.name for event in await staying.rest()] == ["step-change", "complete"]


async def test_head_and_204_have_no_body_and_a_foreign_job_is_not_found(
    connection: Http2Connection, jobs: jobcast.Jobs, job_id: str
) -> None:
    target = f"/api/v1/jobs/{job_id}/stream"
    head = await connection.get(target, method="HEAD")
    assert (head.status, head.headers["content-type"]) == (200, "text/event-stream")
    await head.rest()
    assert (head.body, head.cut) == (b"", False)
    foreign = await connection.get(target, headers={"x-session-id": "foreign"})
    assert foreign.status == 404


async def test_events_of_others_pass_a_stream_whose_window_is_used_up(
    tls: Service, connection: Http2Connection, jobs: jobcast.Jobs, job_id: str
) -> None:
    starved_id = await jobs.create("anything", session_id=SESSION)
    starved_run, run = jobs.run(starved_id), jobs.run(job_id)
    cursor, first = await starved_run.start(), await run.start()
    starved = await connection.watch(starved_id, cursor, reads=False)
    brisk = await connection.watch(job_id, first)
    await brisk.next()
    for number in range(4 * MEBIBYTE // 50_000):
        await starved_run.progress(number, text="x" * 50_000)
        sent = await run.emit("note", {"n": number})
        assert (await brisk.next()).id == sent
    assert not starved.cut
    last = await starved_run.complete()
    starved.read_on()
    shown = (await starved.rest())[1:]
    assert shown[-1].id == last
    progress = [event.data["progress"] for event in shown[:-1]]
    assert progress == sorted(progress)
    assert len(progress) < 4 * MEBIBYTE // 50_000
    assert len(starved.body) < IN_FLIGHT_BYTES


async def test_a_starved_stream_is_sent_back_when_its_events_pass_the_bound(
    tls: Service, connection: Http2Connection, jobs: jobcast.Jobs, job_id: str
) -> None:
    run = jobs.run(job_id)
    first = await run.start()
    starved = await connection.watch(job_id, first, reads=False)
    brisk = await connection.watch(job_id, first)
    await brisk.next()
    ids = []
    for number in range(2 * MEBIBYTE // 50_000):
        ids.append(await run.emit("note", {"n": number, "text": "x" * 50_000}))
        assert (await brisk.next()).id == ids[-1]
    starved.read_on()
    seen = [event.id for event in await starved.rest()][1:]
    assert 0 < len(seen) < len(ids)
    assert seen == ids[: len(seen)]
    assert re.search(rb"\n\nretry: [1-5]\d{3}\n\n\Z", starved.body)
    assert len(starved.body) < IN_FLIGHT_BYTES


async def test_starved_streams_that_are_let_go_of_are_reset_and_take_no_place(
    tls: Service, connection: Http2Connection, jobs: jobcast.Jobs, job_id: str
) -> None:
    async def one_left() -> bool:
        return await streams_of(tls) == 1

    run = jobs.run(job_id)
    first = await run.start()
    brisk = await connection.watch(job_id, first)
    await brisk.next()
    starved = [await connection.watch(job_id, first, reads=False) for _ in range(20)]
    for stream in starved:
        await stream.received(b"connected")
    before = tls.resident_bytes()
    for number in range(60):
        last = await run.emit("note", {"n": number, "text": "x" * 100_000})
        assert (await brisk.next()).id == last
    await eventually(one_left)
    for stream in starved:
        await stream.rest()
        assert stream.reset is not None
    assert tls.resident_bytes() - before < 20 * MEBIBYTE
    others = [await connection.watch(job_id, last) for _ in range(STREAMS - 1)]
    assert {stream.status for stream in others} == {200}


async def test_a_stream_outlives_any_number_of_requests_on_its_connection(
    connection: Http2Connection, jobs: jobcast.Jobs, job_id: str
) -> None:
    stream = await connection.watch(job_id)
    await stream.until("progress-update")
    for _ in range(1100):
        answer = await connection.get("/healthz")
        await answer.rest()
    assert not connection.terminated
    async with jobs.run(job_id):
        pass
    assert [event.name for event in await stream.rest()] == ["step-change", "complete"]


async def test_a_request_that_is_refused_before_its_end_harms_no_stream_of_its_connection(
    connection: Http2Connection, jobs: jobcast.Jobs, job_id: str
) -> None:
    stream = await connection.watch(job_id)
    await stream.until("progress-update")
    for _ in range(3):
        body = b"x" * 3 * MEBIBYTE
        refused = connection.request("/api/v1/jobs", method="POST", uploads=True)
        await connection.upload(refused, body)
        await refused.read_head()
        assert refused.status == 400
    async with jobs.run(job_id):
        pass
    assert [event.name for event in await stream.rest()] == ["step-change", "complete"]


@pytest.mark.parametrize(
    ("method", "target"), [("GET", "/\udcff"), ("G\udcff", "/"), ("CONNECT", "")]
)
async def test_a_request_that_cant_be_read_harms_no_stream_of_its_connection(
    connection: Http2Connection, jobs: jobcast.Jobs, job_id: str, method: str, target: str
) -> None:
    stream = await connection.watch(job_id)
    await stream.until("progress-update")
    for _ in range(2):
        refused = connection.request(target, method=method)
        await refused.read_head()
        assert refused.reset == ErrorCodes.PROTOCOL_ERROR
    assert not connection.terminated
    async with jobs.run(job_id):
        pass
    assert [event.name for event in await stream.rest()] == ["step-change", "complete"]


async def test_a_shutdown_sends_back_every_stream_of_a_connection(
    redis_url: str, certificate: Certificate, context: ssl.SSLContext, jobs: jobcast.Jobs
) -> None:
    job_ids = [await jobs.create("anything", session_id=SESSION) for _ in range(20)]
    with Service(redis_url, certificate=certificate) as service:
        async with AsyncExitStack() as stack:
            opened = await stack.enter_async_context(http2(service.url, context))
            streams: list[Http2Stream] = [await opened.watch(job_id) for job_id in job_ids]
            for stream in streams:
                await stream.until("progress-update")
            stopped = asyncio.create_task(asyncio.to_thread(service.stop))
            for stream in streams:
                await stream.rest()
                assert not stream.cut
                assert stream.blocks[-1] == b"retry: %d\n\n" % stream.parser.retries[0]
            assert await stopped == 0


async def test_a_query_may_hold_any_byte(connection: Http2Connection, job_id: str) -> None:
    query = "limit=5&x=\udcff&\udcc3"
    for target, status in (
        (f"/api/v1/jobs?{query}", 200),
        ("/api/v1/jobs?limit=\udcff", 400),
        (f"/api/v1/jobs/{job_id}/status?{query}", 200),
        (f"/api/v1/jobs/{job_id}/stream?{query}", 200),
        (f"/?{query}", 200),
    ):
        answer = await connection.get(target)
        assert answer.status == status
        if "/stream" in target:
            answer.close()  # the others have ended
