"""A crowd that comes or goes at once, on a real listener: what of it is handled in a turn."""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from app.server.descriptors import _is_accept_error
from app.server.paced_server import OnConnection, PacedServer, start_server
from app.server.repairs import install
from eventlog.pace import Arrivals
from tests.support.http2 import http2
from tests.support.hypercorn_server import serving as serving_hypercorn
from tests.support.loop_turns import LoopTurns
from tests.support.sse import WAIT_SECONDS
from tests.support.valkey import HOST
from tests.support.waiting import until

CROWD = 300


class Echo:
    """Reads each connection to its end, and notes what happens to it."""

    def __init__(self) -> None:
        self.came, self.read, self.went = LoopTurns(), LoopTurns(), LoopTurns()
        self.received: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.came.note()
        with suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                self.read.note()
                self.received.append(data)
        self.went.note()
        writer.close()


@asynccontextmanager
async def serving(
    on_connection: OnConnection,
) -> AsyncIterator[tuple[PacedServer, int]]:
    listener = socket.create_server((HOST, 0))
    port = listener.getsockname()[1]
    server = await start_server(on_connection, sock=listener, backlog=1000)
    try:
        yield server, port
    finally:
        server.close()
        await server.wait_closed()


def crowd(port: int, say: bytes = b"") -> list[socket.socket]:
    """Have clients connect and say something while the loop does nothing."""
    clients = [socket.create_connection((HOST, port), WAIT_SECONDS) for _ in range(CROWD)]
    for client in clients:
        client.sendall(say)
    return clients


async def test_a_crowd_that_comes_at_once_is_taken_in_a_few_at_a_time() -> None:
    echo = Echo()
    async with serving(echo) as (_, port):
        clients = crowd(port, b"hello")
        await until(lambda: echo.read.total == CROWD)
        assert echo.came.total == CROWD
        assert echo.came.most <= Arrivals.most
        assert echo.read.most <= 2 * Arrivals.most
        for client in clients:
            client.close()
        await until(lambda: echo.went.total == CROWD)


@pytest.mark.parametrize("leave", ["close", "reset"])
async def test_a_crowd_that_goes_at_once_is_let_go_a_few_at_a_time(leave: str) -> None:
    echo = Echo()
    async with serving(echo) as (_, port):
        clients = crowd(port)
        await until(lambda: echo.came.total == CROWD)
        for client in clients:
            if leave == "reset":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()
        await until(lambda: echo.went.total == CROWD)
        assert echo.went.most <= 2 * Arrivals.most


async def test_what_somebody_says_comes_whole_and_before_its_end() -> None:
    echo = Echo()
    async with serving(echo) as (_, port):
        others = crowd(port, b"")
        speaker = socket.create_connection((HOST, port), WAIT_SECONDS)
        said = b"".join(b"%d," % number for number in range(200_000))

        def speak() -> None:
            speaker.sendall(said)
            speaker.close()

        speaking = asyncio.create_task(asyncio.to_thread(speak))
        for client in others:
            client.close()
        await speaking
        await until(lambda: echo.went.total == CROWD + 1)
        assert b"".join(echo.received) == said


async def test_a_client_whose_words_wait_is_not_read_on() -> None:
    echo = Echo()
    async with serving(echo) as (_, port):
        client = socket.create_connection((HOST, port), WAIT_SECONDS)
        await until(lambda: echo.came.total == 1)
        pace = Arrivals.here()
        for _ in range(2 * Arrivals.most):  # more than this turn's share
            pace.do(lambda: None)
        kept = len(pace._waiting)
        client.setblocking(False)  # noqa: FBT003 - its signature
        sent = 0
        with suppress(BlockingIOError):
            while True:
                sent += client.send(b"x" * 65536)
        while len(pace._waiting) >= kept:
            await asyncio.sleep(0)
            assert len(pace._waiting) <= kept + 1
        await until(lambda: sum(map(len, echo.received)) == sent)
        client.close()
        await until(lambda: echo.went.total == 1)


async def test_without_room_for_a_connection_it_says_so_and_tries_again_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    accepts = 0

    class Full(socket.socket):
        def accept(self) -> tuple[socket.socket, object]:
            nonlocal accepts
            accepts += 1
            if accepts <= 3:
                raise OSError(errno.EMFILE, "Too many open files")
            return super().accept()

    monkeypatch.setattr("app.server.paced_server._PAUSE_S", 0.02)
    listener = Full(socket.AF_INET)
    listener.bind((HOST, 0))
    echo = Echo()
    server = await start_server(echo, sock=listener)
    told: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(context))
    client = socket.create_connection(listener.getsockname(), WAIT_SECONDS)
    await until(lambda: echo.came.total == 1)
    assert len(told) == 3
    assert all(_is_accept_error(context) for context in told)
    client.close()
    await until(lambda: echo.went.total == 1)
    server.close()


async def test_a_closed_server_refuses_and_what_it_has_accepted_goes_on() -> None:
    echo = Echo()
    async with serving(echo) as (server, port):
        client = socket.create_connection((HOST, port), WAIT_SECONDS)
        await until(lambda: echo.came.total == 1)
        server.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((HOST, port), WAIT_SECONDS)
        client.sendall(b"still here")
        await until(lambda: echo.received == [b"still here"])
        client.close()
        await until(lambda: echo.went.total == 1)


async def test_requests_that_come_together_on_one_connection_are_begun_a_few_at_a_time() -> None:
    async def answer(_scope: Any, _receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI's
        begun.note()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    install()
    begun = LoopTurns()
    async with serving_hypercorn(answer) as url, http2(url) as connection:
        streams = [connection.request("/") for _ in range(90)]
        for stream in streams:
            await stream.read_head()
            assert stream.status == 204
        assert begun.most <= 20
