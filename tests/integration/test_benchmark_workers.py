import asyncio
import re
from collections.abc import Awaitable, Callable

import pytest

from benchmarks.native import compiler_missing
from benchmarks.processes import HOST
from benchmarks.wire import (
    AppendScript,
    ChainedPublish,
    FloorLine,
    NchanPost,
    RawPublish,
    Wire,
    resp,
)
from benchmarks.workers import Workers
from tests.support.needs import COMPILER

pytestmark = pytest.mark.skipif(compiler_missing() is not None, reason=COMPILER)

JOBS = ["job-0", "job-1"]
EVENTS = 40
CHAIN = re.compile(rb"9999999999999-(\d{8})")
WIRES: list[Wire] = [AppendScript("0" * 40), RawPublish(), ChainedPublish(), NchanPost()]


class Server:
    """Keeps what it gets, and answers each event with some bytes, each byte by itself."""

    def __init__(self, wire: Wire, answer: bytes) -> None:
        self._size = len(wire.template(JOBS[0]))
        self._answer = answer
        self.events: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                self.events.append(await reader.readexactly(self._size))
                for byte in self._answer:
                    writer.write(bytes((byte,)))
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


async def publish(wire: Wire, answer: bytes) -> tuple[Workers, list[bytes]]:
    server = Server(wire, answer)
    async with await _listening(server.serve) as listener:
        port = listener.sockets[0].getsockname()[1]
        async with Workers(wire, JOBS, port) as workers:
            await workers.connect()
            await workers.publish(per_s=2000, seconds=EVENTS / 2000)
            return workers, server.events


async def _listening(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> asyncio.Server:
    return await asyncio.start_server(serve, HOST)


def answer_to(wire: Wire) -> bytes:
    if wire.answers == "http":
        return b"HTTP/1.1 201 Created\r\nContent-Length: 8\r\n\r\nHTTP/1.1"
    return b"*4\r\n$3\r\n-\r\n\r\n:-1\r\n$-1\r\n*1\r\n+OK\r\n"


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: type(wire).__name__)
async def test_every_event_is_sent_and_its_answer_counted(wire: Wire) -> None:
    workers, events = await publish(wire, answer_to(wire))
    assert (workers.sent, workers.refused, len(events)) == (EVENTS, 0, EVENTS)


@pytest.mark.parametrize(
    ("wire", "refusal"),
    [(RawPublish(), b"-NOJOB there is none\r\n"), (NchanPost(), b"HTTP/1.1 507 Full\r\n\r\n")],
    ids=["resp", "http"],
)
async def test_refusals_are_counted(wire: Wire, refusal: bytes) -> None:
    workers, _ = await publish(wire, refusal)
    assert workers.refused == EVENTS


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: type(wire).__name__)
async def test_no_place_is_left_unfilled(wire: Wire) -> None:
    workers, events = await publish(wire, answer_to(wire))
    assert not any(place in event for event in events for place in b"\x01\x02\x03\x04")
    assert f"@{workers.last_ns:019d}".encode() in b"".join(events)


async def test_chained_events_of_a_job_follow_each_other() -> None:
    _, events = await publish(ChainedPublish(), b":1\r\n")
    for job_id in JOBS:
        ids = [CHAIN.findall(event) for event in events if f"jobs:{job_id}:".encode() in event]
        assert ids == [[b"%08d" % (turn + 1), b"%08d" % turn] for turn in range(EVENTS // 2)]


async def test_the_floor_answers_nothing_and_that_is_enough() -> None:
    wire = FloorLine()
    server = Server(wire, b"")
    async with await _listening(server.serve) as listener:
        port = listener.sockets[0].getsockname()[1]
        async with Workers(wire, JOBS, port) as workers:
            await workers.connect()
            assert await workers.publish(per_s=2000, seconds=EVENTS / 2000) == EVENTS


def test_a_redis_command_says_its_lengths() -> None:
    assert resp("PUBLISH", "ä") == b"*2\r\n$7\r\nPUBLISH\r\n$2\r\n\xc3\xa4\r\n"
