"""The viewer that all scenarios rely on does what browsers do."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from tests.faults.event_source import EventSource
from tests.support.valkey import HOST
from tests.support.waiting import until

STREAM = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\n"
SEEN = "HTTP/1.1 204 No Content\r\n\r\n"
CONNECTED = "event: connected\ndata: {}\n\n"


@asynccontextmanager
async def answering(*answers: str) -> AsyncIterator[tuple[str, list[str]]]:
    """Serve one answer after the other; yields the address and the heads of the requests."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with suppress(asyncio.IncompleteReadError):  # it disconnects before it has asked
            asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
            writer.write(answers[len(asked) - 1].encode())
        writer.close()

    asked: list[str] = []
    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(answer, HOST, 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://{HOST}:{port}/stream", asked
    finally:
        server.close()
        for writer in writers:
            writer.close()
            await writer.wait_closed()


async def followed(*answers: str) -> tuple[EventSource, list[str]]:
    """Let an EventSource in a hurry follow answers to its end."""
    async with answering(*answers) as (url, asked):
        source = EventSource(url, haste=0.001)
        async with asyncio.timeout(10):
            await source.follow()
    return source, asked


def cursor_of(head: str) -> str | None:
    lines = [line.split(": ", 1)[1] for line in head.split("\r\n") if "Last-Event-ID" in line]
    return lines[0] if lines else None


@pytest.mark.parametrize("status", ["204 No Content", "404 Not Found", "503 Service Unavailable"])
async def test_any_status_but_200_is_the_end(status: str) -> None:
    source, asked = await followed(f"HTTP/1.1 {status}\r\n\r\n")
    assert source.seen.closed
    assert len(asked) == 1


async def test_another_type_than_a_stream_is_the_end() -> None:
    source, _ = await followed("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>")
    assert source.seen.closed
    assert source.seen.shown == []


async def test_it_comes_again_from_the_last_id_that_was_dispatched() -> None:
    first = f"{STREAM}{CONNECTED}id: 7-0\nevent: note\ndata: 1\n\nid: 8-0\ndata: 2\n"
    source, asked = await followed(first, SEEN)
    assert [shown.id for shown in source.seen.shown] == ["7-0"]
    assert [cursor_of(head) for head in asked] == [None, "7-0"]


async def test_a_stream_without_any_id_leaves_the_cursor_where_it_was() -> None:
    first = f"{STREAM}id: 7-0\nevent: note\ndata: 1\n\n"
    _, asked = await followed(first, f"{STREAM}: ok\n\n{CONNECTED}", STREAM, SEEN)
    assert [cursor_of(head) for head in asked] == [None, "7-0", "7-0", "7-0"]


async def test_it_waits_as_long_as_it_was_told(waits: Callable[[], list[float]]) -> None:
    await followed(STREAM, f"{STREAM}retry: 1500\n\n", f"{STREAM}retry: 9", SEEN)
    assert waits() == pytest.approx([3.0, 1.5, 1.5])


async def test_a_refused_connection_is_tried_again() -> None:
    async with answering(SEEN) as (url, _):
        pass
    source = EventSource(url, haste=0.001)
    following = asyncio.create_task(source.follow())
    await until(lambda: len(source.seen.visits) > 2)
    following.cancel()
    assert {visit.status for visit in source.seen.visits} == {0}
    assert not source.seen.closed


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[float]]:
    """Return what the EventSource waited, in a browser's seconds."""
    noted: list[float] = []

    async def after(seconds: float) -> None:
        noted.append(seconds * 1000)
        await asyncio.sleep(0)

    monkeypatch.setattr("tests.faults.event_source.after", after)
    return lambda: noted
