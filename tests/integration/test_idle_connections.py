"""Connections over which nothing is asked: they are closed in time, and cost little until then."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypercorn.asyncio.tcp_server import TCPServer

from app.server.idle_connections import LateTask, begin_idle_tasks_late
from tests.support.hypercorn_server import serving
from tests.support.valkey import HOST
from tests.support.waiting import until

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(autouse=True)
def _late() -> None:
    begin_idle_tasks_late()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[TCPServer]:
    """Return the connections for the end of whose idleness somebody has begun to wait."""
    begun: list[TCPServer] = []
    wait = TCPServer._idle_timeout

    async def noted(server: TCPServer) -> None:
        begun.append(server)
        await wait(server)

    monkeypatch.setattr(TCPServer, "_idle_timeout", noted)
    return begun


async def answer(_scope: Any, _receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI's
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok", "more_body": False})


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(HOST, urlsplit(url).port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def test_who_never_asks_is_closed(waits: list[TCPServer]) -> None:
    async with serving(answer, keep_alive_timeout=0.1) as url, connected(url) as (reader, _):
        assert await reader.read() == b""
    assert len(waits) == 1


async def test_who_asks_no_more_is_closed(waits: list[TCPServer]) -> None:
    async with serving(answer, keep_alive_timeout=0.1) as url, connected(url) as (reader, writer):
        writer.write(REQUEST)
        assert (await reader.read()).endswith(b"ok")
    assert len(waits) == 1


async def test_who_is_idle_at_the_servers_end_is_closed(waits: list[TCPServer]) -> None:
    async with connected_to_one_that_ends() as reader:
        assert (await reader.read()).endswith(b"ok")
    assert len(waits) == 1


@asynccontextmanager
async def connected_to_one_that_ends() -> AsyncIterator[asyncio.StreamReader]:
    async with serving(answer, graceful_timeout=10) as url:
        reader, writer = await asyncio.open_connection(HOST, urlsplit(url).port)
        writer.write(REQUEST)
        await reader.readuntil(b"o")
    yield reader
    writer.close()


async def test_nobody_waits_while_something_is_answered(waits: list[TCPServer]) -> None:
    begun, over = asyncio.Event(), asyncio.Event()

    async def answer_late(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI's
        begun.set()
        await over.wait()
        await answer(scope, receive, send)

    async with serving(answer_late) as url, connected(url) as (reader, writer):
        writer.write(REQUEST)
        await begun.wait()
        assert waits == []
        over.set()
        await reader.readuntil(b"ok")
        await until(lambda: len(waits) == 1)


async def test_a_connection_that_ends_meanwhile_needs_no_task() -> None:
    began: list[bool] = []

    async def action() -> None:
        began.append(True)

    class Ended:
        def create_task(self, _waiting: object) -> None:
            raise RuntimeError("the group has ended")

    class Group:
        _task_group = Ended()

    task = LateTask()
    await task.restart(Group(), action)
    await until(lambda: task._timer is None)
    await task.stop()
    assert began == []
