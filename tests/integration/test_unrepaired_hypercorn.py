"""Hypercorn without the repairs: a test that fails here says that a repair is no longer needed."""

import asyncio
import gc
import socket
import subprocess
import sys
import weakref
from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import h11
import pytest
from h2.events import DataReceived, RequestReceived
from h11._headers import Headers
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import AsyncioSingleTask
from hypercorn.events import Closed
from hypercorn.protocol.h2 import H2Protocol

from app.server.repairs import _ORIGINALS, REPAIRED
from tests.support.hypercorn_server import serving
from tests.support.loop_turns import LoopTurns
from tests.support.sse import WAIT_SECONDS
from tests.support.valkey import HOST
from tests.support.waiting import until

NOT_NEEDED = "Hypercorn has mended this: remove the repair from app/server"


@pytest.fixture(autouse=True)
def _unrepaired(monkeypatch: pytest.MonkeyPatch) -> None:
    for owner, name in REPAIRED:
        monkeypatch.setattr(owner, name, _ORIGINALS[name])
    monkeypatch.setattr("hypercorn.asyncio.tcp_server.AsyncioSingleTask", AsyncioSingleTask)
    monkeypatch.setattr("hypercorn.asyncio.run.asyncio", asyncio)


@pytest.fixture
def uncollected() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def answer(_scope: Any, _receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI's
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok", "more_body": False})


async def test_an_idle_connection_outlives_its_client() -> None:
    handled = list[object]()

    async def handle(event: object) -> None:
        handled.append(event)

    reader = asyncio.StreamReader()
    reader.feed_eof()
    # The idle task would be stopped here; without one, that would be an error.
    server: Any = SimpleNamespace(reader=reader, protocol=SimpleNamespace(handle=handle))
    await TCPServer._read_data(server)
    assert [type(event) for event in handled] == [Closed], NOT_NEEDED


async def test_a_late_body_ends_an_http_2_connection() -> None:
    protocol = SimpleNamespace(streams={}, connection=None, _flush=None)
    late = DataReceived(stream_id=1, data=b"late", flow_controlled_length=4)
    with pytest.raises(KeyError):
        await _ORIGINALS["_handle_events"](protocol, [late])


async def test_a_method_that_is_not_ascii_ends_an_http_2_connection() -> None:
    context = SimpleNamespace(terminated=asyncio.Event())
    protocol: Any = SimpleNamespace(context=context)
    protocol._create_stream = partial(H2Protocol._create_stream, protocol)
    odd = RequestReceived(stream_id=1, headers=[(b":method", b"\xff"), (b":path", b"/")])
    with pytest.raises(UnicodeDecodeError):
        await _ORIGINALS["_handle_events"](protocol, [odd])


async def test_a_connection_is_closed_while_its_client_still_sends() -> None:
    sent = list[object]()

    async def note(event: object = None) -> None:
        sent.append(event)

    protocol = SimpleNamespace(
        stream=object(),
        context=SimpleNamespace(terminated=asyncio.Event()),
        connection=SimpleNamespace(our_state=h11.DONE, their_state=h11.SEND_BODY),
        can_read=SimpleNamespace(set=note),
        send=note,
        _close_stream=note,
    )
    await _ORIGINALS["_maybe_recycle"](protocol)
    assert type(sent[-1]) is Closed, NOT_NEEDED


@pytest.mark.usefixtures("uncollected")
async def test_a_connection_leaves_cyclic_garbage(monkeypatch: pytest.MonkeyPatch) -> None:
    servers = list[weakref.ref[TCPServer]]()
    begin: Any = TCPServer.__init__

    def noted(server: TCPServer, *arguments: object) -> None:
        begin(server, *arguments)
        servers.append(weakref.ref(server))

    monkeypatch.setattr(TCPServer, "__init__", noted)
    async with serving(answer, keep_alive_timeout=0.05) as url:
        reader, writer = await asyncio.open_connection(HOST, urlsplit(url).port)
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
    assert servers[0]() is not None, NOT_NEEDED
    gc.collect()
    assert servers[0]() is None


async def test_headers_are_iterated_over_by_a_call_for_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = list[int]()
    get: Any = Headers.__getitem__

    def note(headers: Headers, index: int) -> object:
        calls.append(index)
        return get(headers, index)

    monkeypatch.setattr(Headers, "__getitem__", note)
    request = h11.Request(method="GET", target="/", headers=[("Host", "any"), ("Accept", "any")])
    assert list(request.headers) == [(b"host", b"any"), (b"accept", b"any")]
    assert len(calls) > len(request.headers), NOT_NEEDED


async def test_a_task_waits_for_idleness_from_the_beginning() -> None:
    async def wait() -> None:
        await asyncio.Event().wait()

    single = AsyncioSingleTask()
    async with asyncio.timeout(WAIT_SECONDS), asyncio.TaskGroup() as tasks:
        group: Any = SimpleNamespace(_task_group=tasks)
        await single.restart(group, wait)
        assert single._handle is not None, NOT_NEEDED
        await single.stop()


async def test_a_crowd_is_accepted_in_one_turn() -> None:
    came = LoopTurns()

    async def note(_reader: object, writer: asyncio.StreamWriter) -> None:
        came.note()
        writer.close()

    server = await asyncio.start_server(note, HOST, 0, backlog=300)
    port = server.sockets[0].getsockname()[1]
    clients = [socket.create_connection((HOST, port), WAIT_SECONDS) for _ in range(200)]
    await until(lambda: came.total == len(clients))
    assert came.most > 100, NOT_NEEDED
    for client in clients:
        client.close()
    server.close()
    await server.wait_closed()


ONLY_HYPERCORN = """
import asyncio
from hypercorn.asyncio import run, tcp_server
from hypercorn.asyncio.lifespan import Lifespan
from app import Settings, create_app
from app.server.repairs import _ORIGINALS, REPAIRED, at_lifespan

def repaired():
    parts = [getattr(owner, name) is not _ORIGINALS[name] for owner, name in REPAIRED]
    parts.append(run.asyncio is not asyncio)
    parts.append(tcp_server.AsyncioSingleTask.__module__ != "hypercorn.asyncio.worker_context")
    assert len(set(parts)) == 1, parts
    return parts[0]

class Other:
    async def receive(self):
        pass

async def send(message):
    pass

create_app(Settings(jwt_secret="s" * 32))
assert not repaired()
assert at_lifespan(Other().receive, send) is send
assert not repaired()
hypercorn = Lifespan.__new__(Lifespan)
hypercorn.config = object()
assert at_lifespan(hypercorn.asgi_receive, send) is send
assert repaired()
"""


def test_hypercorn_is_repaired_only_where_it_serves() -> None:
    subprocess.run([sys.executable, "-c", ONLY_HYPERCORN], check=True, timeout=60)
