import asyncio
import signal
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import jobcast
from tests.support.service import SESSION, WAYS, Service, Way
from tests.support.sse import Stream, watch
from tests.support.valkey import HOST
from tests.support.waiting import SLACK_SECONDS, eventually

Start = Callable[..., Service]
GRACEFUL_S = 15
"""Of hypercorn.toml: what an end takes that waits for somebody who never goes."""


@pytest.fixture
def start(redis_url: str) -> Iterator[Start]:
    """Return what starts a service that the test will end."""
    started: list[Service] = []

    def start(**settings: Any) -> Service:  # noqa: ANN401 - those of Service
        service = Service(redis_url, **settings)
        service.start()
        started.append(service)
        return service

    yield start
    for service in started:
        if service.runs:
            service.kill()


async def refuses(service: Service) -> bool:
    try:
        _, writer = await asyncio.open_connection(HOST, service.port)
    except (ConnectionRefusedError, ConnectionResetError):
        return True
    writer.close()
    return False


def assert_sent_back(stream: Stream) -> None:
    assert stream.ended
    assert not stream.cut
    assert stream.blocks[-1] == b"retry: %d\n\n" % stream.parser.retries[0]
    assert stream.body.endswith(stream.blocks[-1])
    assert 1000 <= stream.parser.retries[0] <= 5000


@pytest.mark.parametrize("way", WAYS)
async def test_a_shutdown_sends_every_viewer_back_and_exits_with_0(
    start: Start, jobs: jobcast.Jobs, job_id: str, way: Way
) -> None:
    async def view(number: int) -> Stream:
        version = "1.0" if number % 5 == 4 else "1.1"
        async with watch(service.url, job_id, version=version) as stream:
            await stream.until("progress-update")
            opened.release()
            await stream.rest()
        return stream

    service = start(way=way)
    opened = asyncio.Semaphore(0)
    async with asyncio.TaskGroup() as group:
        viewers = [group.create_task(view(number)) for number in range(60)]
        for _ in viewers:
            await opened.acquire()
        begun = time.monotonic()
        stopped = asyncio.create_task(asyncio.to_thread(service.stop))
    streams = [viewer.result() for viewer in viewers]
    for stream in streams:
        assert_sent_back(stream)
    assert len({stream.parser.retries[0] for stream in streams}) > 20
    assert await stopped == 0
    assert time.monotonic() - begun < GRACEFUL_S
    assert await refuses(service)


@pytest.mark.parametrize("way", WAYS)
async def test_new_connections_are_refused_as_soon_as_the_drain_has_begun(
    start: Start, job_id: str, way: Way
) -> None:
    service = start(way=way, JOBCAST_GRACE_S="5")
    with socket.create_connection((HOST, service.port)) as slow:
        slow.sendall(b"GET /healthz HTTP/1.1\r\n")
        async with watch(service.url, job_id) as stream:
            await stream.until("progress-update")
            service.send(signal.SIGTERM)
            await stream.rest()
            assert_sent_back(stream)
            await eventually(lambda: refuses(service))
    assert await asyncio.to_thread(service.wait) == 0


async def test_readyz_turns_503_before_the_listener_closes(start: Start, job_id: str) -> None:
    service = start(JOBCAST_NOTICE_S="60")
    async with service.client() as client, watch(service.url, job_id) as stream:
        await stream.until("progress-update")
        assert (await client.get("/readyz")).status_code == 200
        service.send(signal.SIGTERM)

        async def is_leaving() -> bool:
            return (await client.get("/readyz")).status_code == 503

        await eventually(is_leaving)
        assert (await client.get(f"/api/v1/jobs/{job_id}/status")).status_code == 200
        async with watch(service.url, job_id) as late:
            await late.until("progress-update")
            service.send(signal.SIGTERM)
            await late.rest()
        await stream.rest()
        assert_sent_back(stream)
        assert_sent_back(late)
    assert await asyncio.to_thread(service.wait) == 0


async def test_a_thousand_streams_end_in_time_and_come_back_no_faster_than_the_settings_allow(
    start: Start, job_id: str
) -> None:
    grace_s = 10
    service = start(
        JOBCAST_RECONNECTS_PER_S="100", JOBCAST_GRACE_S=str(grace_s), JOBCAST_NOTICE_S="60"
    )

    async def view() -> int:
        async with watch(service.url, job_id) as stream:
            await stream.until("progress-update")
            opened.release()
            await stream.rest()
        assert not stream.cut
        return stream.parser.retries[0]

    opened = asyncio.Semaphore(0)
    async with asyncio.TaskGroup() as group:
        viewers = [group.create_task(view()) for _ in range(1000)]
        for _ in viewers:
            await opened.acquire()
        async with service.client() as client:

            async def is_leaving() -> bool:
                return (await client.get("/readyz")).status_code == 503

            service.send(signal.SIGTERM)
            await eventually(is_leaving)
        assert not any(viewer.done() for viewer in viewers)
        assert not await refuses(service)
        begun = time.monotonic()
        service.send(signal.SIGTERM)  # waits no longer for those who ask /readyz
        stopped = asyncio.create_task(asyncio.to_thread(service.wait))
    times = sorted(viewer.result() for viewer in viewers)
    assert await stopped == 0
    assert time.monotonic() - begun < grace_s + SLACK_SECONDS
    assert times[0] >= 1000
    assert times[-1] <= 11_000
    in_a_second = [sum(start <= time < start + 1000 for time in times) for start in times]
    assert max(in_a_second) <= 102


@pytest.mark.parametrize("way", WAYS)
async def test_a_viewer_that_is_sent_back_misses_nothing(
    start: Start, service: Service, jobs: jobcast.Jobs, job_id: str, way: Way
) -> None:
    ending = start(way=way)
    run = jobs.run(job_id)
    first = await run.start()
    seen: list[str] = []
    ids: list[str] = []

    async def work() -> None:
        for number in range(200):
            ids.append(await run.emit("note", {"n": number}))  # noqa: PERF401 - read meanwhile
        ids.append(await run.complete())

    async with watch(ending.url, job_id, last_event_id=first) as stream:
        await stream.next()
        async with asyncio.TaskGroup() as group:
            group.create_task(work())
            seen.append((await stream.next()).id)
            ending.send(signal.SIGTERM)
            seen += [event.id for event in await stream.rest()]
    assert not stream.cut
    async with watch(service.url, job_id, last_event_id=seen[-1]) as stream:
        if stream.status == 200:
            seen += [event.id for event in await stream.rest()][1:]
    assert seen == ids
    assert await asyncio.to_thread(ending.wait) == 0


async def test_neither_a_viewer_that_does_not_read_nor_a_second_signal_harms_a_shutdown(
    start: Start, jobs: jobcast.Jobs, job_id: str
) -> None:
    service = start(JOBCAST_GRACE_S="2")
    run = jobs.run(job_id)
    first = await run.start()
    request = (
        f"GET /api/v1/jobs/{job_id}/stream HTTP/1.1\r\nHost: a\r\n"
        f"x-session-id: {SESSION}\r\nLast-Event-ID: {first}\r\n\r\n"
    )
    with socket.socket() as stalled:
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stalled.connect((HOST, service.port))
        stalled.sendall(request.encode())
        assert stalled.recv(1)
        async with watch(service.url, job_id, last_event_id=first) as stream:
            await stream.next()
            for _ in range(12):
                await run.emit("note", {"text": "x" * 500_000})
                await stream.next()
            begun = time.monotonic()
            service.send(signal.SIGTERM)
            await stream.rest()
            assert_sent_back(stream)
        service.send(signal.SIGTERM)
        assert await asyncio.to_thread(service.wait) == 0
        assert time.monotonic() - begun < 20
    assert "Traceback" not in service.log
