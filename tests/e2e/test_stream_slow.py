import asyncio
import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

import jobcast
from tests.support.service import SESSION, WAYS, Service
from tests.support.sse import Parser, watch
from tests.support.valkey import HOST, Valkey
from tests.support.waiting import eventually

MAILBOX_BYTES = 64 * 1024
MEBIBYTE = 1024 * 1024
SPARE_FILES = 3  # connections to Redis that come and go by themselves
# What the kernel takes on both sides without the viewer having read anything, and more.
FLOOD_BYTES = 12 * MEBIBYTE


@pytest.fixture(scope="module", params=WAYS)
def strict_service(valkey: Valkey, request: pytest.FixtureRequest) -> Iterator[Service]:
    """Return a service that keeps little for a viewer that does not read."""
    bound = str(MAILBOX_BYTES)
    with Service(valkey.url, way=request.param, JOBCAST_MAILBOX_BYTES=bound) as running:
        yield running


@pytest.fixture
def strict(strict_service: Service, redis_url: str) -> Service:
    """Return it on an empty Redis."""
    assert redis_url
    return strict_service


class SlowViewer:
    """A viewer that reads only when it is told to, with a small window."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.bytes = bytearray()

    async def first_byte(self) -> None:
        """Wait until the response has begun."""
        self.bytes += await asyncio.get_running_loop().sock_recv(self._connection, 1)

    async def all(self) -> bytes:
        """Read to the end of the response and return its body."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(30):
            while not self.bytes.endswith(b"\r\n0\r\n\r\n"):
                part = await loop.sock_recv(self._connection, 1 << 20)
                assert part, "the response was cut"
                self.bytes += part
        chunks, at = [], self.bytes.index(b"\r\n\r\n") + 4
        while at < len(self.bytes):
            begin = self.bytes.index(b"\r\n", at) + 2
            at = begin + int(self.bytes[at:begin], 16) + 2
            chunks.append(self.bytes[begin : at - 2])
        return b"".join(chunks)


@asynccontextmanager
async def slow_viewer(
    service: Service, job_id: str, last_event_id: str = "", query: str = ""
) -> AsyncIterator[SlowViewer]:
    request = (
        f"GET /api/v1/jobs/{job_id}/stream?{query} HTTP/1.1\r\nHost: a\r\n"
        f"x-session-id: {SESSION}\r\nLast-Event-ID: {last_event_id}\r\n\r\n"
    )
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.setblocking(False)  # noqa: FBT003 - the standard library's
        loop = asyncio.get_running_loop()
        await loop.sock_connect(connection, (HOST, service.port))
        await loop.sock_sendall(connection, request.encode())
        viewer = SlowViewer(connection)
        await viewer.first_byte()
        yield viewer


async def no_streams(service: Service) -> bool:
    return (await service.metrics())["jobcast_streams"] == 0


async def test_to_a_viewer_that_does_not_read_reports_are_conflated_and_others_never_notice(
    strict: Service, jobs: jobcast.Jobs, job_id: str
) -> None:
    run = jobs.run(job_id)
    first = await run.start()
    ids, notes = [], []
    async with (
        slow_viewer(strict, job_id, first) as slow,
        watch(strict.url, job_id, last_event_id=first) as brisk,
    ):
        await brisk.next()
        for number in range(FLOOD_BYTES // 50_000):
            ids.append(await run.progress(number * 100 // 260, text="x" * 50_000))
            assert (await brisk.next()).id == ids[-1]
            if number % 20 == 10:
                notes.append(await run.emit("note", {"n": number}))
                ids.append(notes[-1])
                assert (await brisk.next()).id == ids[-1]
        ids.append(await run.complete())
        assert [event.id for event in await brisk.rest()] == ids[-1:]
        body = await slow.all()
    shown = Parser().feed(body)[1:]
    assert [event.id for event in shown if event.name == "note"] == notes
    assert shown[-1].id == ids[-1]
    assert [event.id for event in shown] == [i for i in ids if i in {e.id for e in shown}]
    assert len(shown) < len(ids)
    progress = [event.data["progress"] for event in shown if event.name == "progress-update"]
    assert progress == sorted(progress)


async def test_custom_events_are_never_dropped_the_viewer_resumes_from_the_log(
    strict: Service, jobs: jobcast.Jobs, job_id: str
) -> None:
    run = jobs.run(job_id)
    first = await run.start()
    async with (
        slow_viewer(strict, job_id, first) as slow,
        watch(strict.url, job_id, last_event_id=first) as brisk,
    ):
        await brisk.next()
        ids = []
        for number in range(FLOOD_BYTES // 50_000):
            ids.append(await run.emit("note", {"n": number, "text": "x" * 50_000}))
            assert (await brisk.next()).id == ids[-1]
        body = await slow.all()
        parser = Parser()
        seen = [event.id for event in parser.feed(body)][1:]
        assert 0 < len(seen) < len(ids)
        assert seen == ids[: len(seen)]
        assert re.search(rb"\n\nretry: [1-5]\d{3}\n\n\Z", body)
        ids.append(await run.complete())
        assert [event.id for event in await brisk.rest()] == ids[-1:]
    for _ in range(200):
        async with watch(strict.url, job_id, last_event_id=seen[-1]) as again:
            if again.status == 204:
                break
            more = [event.id for event in await again.rest()][1:]
            assert more
            assert not again.cut
            seen += more
    assert seen == ids


async def test_a_viewer_that_never_reads_is_let_go_of_and_leaves_nothing_behind(
    strict: Service, jobs: jobcast.Jobs, job_id: str
) -> None:
    run = jobs.run(job_id)
    first = await run.start()
    await eventually(lambda: no_streams(strict))
    files = strict.open_files()
    async with AsyncExitStack() as stack:
        for _ in range(2 * SPARE_FILES):
            await stack.enter_async_context(slow_viewer(strict, job_id, first))
        async with watch(strict.url, job_id, last_event_id=first) as brisk:
            await brisk.next()
            for number in range(FLOOD_BYTES // 500_000):  # these end no stream
                sent = await run.progress(number, text="x" * 500_000)
                assert (await brisk.next()).id == sent
            for number in range(2):
                await run.emit("note", {"n": number, "text": "x" * MAILBOX_BYTES})
                await brisk.next()
        await eventually(lambda: no_streams(strict))

        async def closed() -> bool:
            return strict.open_files() <= files + SPARE_FILES

        await eventually(closed)


async def test_what_waits_for_slow_viewers_is_bounded(
    strict: Service, jobs: jobcast.Jobs, job_id: str
) -> None:
    run = jobs.run(job_id)
    first = await run.start()
    async with watch(strict.url, job_id, last_event_id=first) as brisk:
        await brisk.next()
        for _ in range(20):  # what is allocated once
            last = await run.progress(0, text="x" * 100_000)
            assert (await brisk.next()).id == last
    before = strict.resident_bytes()
    async with (
        slow_viewer(strict, job_id, first),
        slow_viewer(strict, job_id, first),
        slow_viewer(strict, job_id, first),
        watch(strict.url, job_id, last_event_id=last) as brisk,
    ):
        await brisk.next()
        for number in range(2 * FLOOD_BYTES // 100_000):
            last = await run.progress(number * 100 // 260, text="x" * 100_000)
            assert (await brisk.next()).id == last
        assert strict.resident_bytes() - before < FLOOD_BYTES


async def test_the_long_history_of_a_finished_job_is_sent_whole(
    strict: Service, jobs: jobcast.Jobs, job_id: str
) -> None:
    run = jobs.run(job_id)
    seen = await run.start()
    ids = [await run.emit("note", {"n": n, "text": "x" * 500_000}) for n in range(40)]
    ids.append(await run.complete())
    async with watch(strict.url, job_id, last_event_id=seen) as stream:
        assert [event.id for event in (await stream.rest())[1:]] == ids
        assert not stream.cut
        assert not stream.parser.retries
    async with watch(strict.url, job_id, last_event_id=ids[-1]) as stream:
        assert stream.status == 204


async def read_whole(service: Service, job_id: str, ids: list[str]) -> None:
    """Read all of an attempt as fast as it comes."""
    async with watch(service.url, job_id, query="from=start") as brisk:
        assert [(await brisk.next()).id for _ in range(1 + len(ids))][1:] == ids


@pytest.mark.parametrize("ends", [False, True], ids=["running", "finished"])
async def test_who_wants_the_whole_attempt_and_reads_slowly_misses_nothing(
    strict: Service, jobs: jobcast.Jobs, job_id: str, *, ends: bool
) -> None:
    """Not even progress: the log is read no faster than the viewer reads.

    Three would take three times its size. Each may hold a page of it.
    """
    size = 2 * FLOOD_BYTES
    run = jobs.run(job_id)
    ids = [await run.start()]
    for number in range(size // 50_000):
        ids += [await run.progress(number * 100 // 510, text="x" * 50_000)]
    if ends:
        ids.append(await run.complete())
    await read_whole(strict, job_id, ids)  # or what one who reads takes would be counted as well
    before = strict.resident_bytes()
    async with AsyncExitStack() as stack:
        slow = [
            await stack.enter_async_context(slow_viewer(strict, job_id, query="from=start"))
            for _ in range(3)
        ]
        await read_whole(strict, job_id, ids)
        assert strict.resident_bytes() - before < size
        if not ends:
            ids.append(await run.complete())
        bodies = await asyncio.gather(*(viewer.all() for viewer in slow))
    for body in bodies:
        assert [event.id for event in Parser().feed(body)[1:]] == ids
