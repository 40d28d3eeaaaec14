"""The way from ASGI ``send`` to the socket, on the Hypercorn that is installed."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
import uvloop
from h2.connection import H2Connection
from h2.events import DataReceived

from actors.mailbox import Mailbox
from app.server.transport import Http2Stream, TransportOutlet, open_outlet
from app.streaming.outlets import HIGH_WATER, AsgiOutlet, Outlet
from schema.sse import OK, encode, raw_frame
from tests.support.hypercorn_server import serving
from tests.support.sse import WAIT_SECONDS, Parser, Stream, request
from tests.support.valkey import HOST

MOVED = (
    f"Hypercorn {version('hypercorn')} has another way from ASGI send to the socket. Streams still"
    " work, by ASGI send, at three times the cost an event. Look for the way to the connection's"
    " StreamWriter in its http_stream.py, h11.py and tcp_server.py, and put it into"
    " app/server/transport.py, server_behind and open_outlet."
)
EVENT_STREAM = [(b"content-type", b"text/event-stream")]


class Probe:
    """An application that begins a response and shows what outlet it would be written by."""

    def __init__(self, *headers: tuple[bytes, bytes], status: int = 200) -> None:
        self.headers = [*EVENT_STREAM, *headers]
        self.status = status
        self.direct = True
        self.outlet: Outlet | None = None
        self.mailbox: Mailbox | None = None
        self.begun = asyncio.Event()
        self.over = asyncio.Event()

    async def __call__(self, scope: Any, _receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI's
        head = {"type": "http.response.start", "status": self.status, "headers": self.headers}
        self.outlet = await open_outlet(scope, send, head, direct=self.direct)
        self.mailbox = Mailbox(10**9, self.outlet.offer, lambda: None)
        self.mailbox.put(raw_frame(OK))
        self.outlet.attach(self.mailbox)
        self.begun.set()
        await self.over.wait()
        await self.outlet.drain()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def put(self, *numbers: int, size: int = 2) -> None:
        assert self.mailbox is not None
        for number in numbers:
            self.mailbox.put(encode("note", b'"%b"' % (b"x" * size), f"{number}-0"))


@asynccontextmanager
async def begun(probe: Probe, **options: Any) -> AsyncIterator[Stream]:  # noqa: ANN401 - of request
    """Ask for the response and give it once its outlet was looked for."""
    async with serving(probe) as url, request(url, "/", **options) as response:
        assert response.status == probe.status
        await asyncio.wait_for(probe.begun.wait(), WAIT_SECONDS)
        try:
            yield response
        finally:
            probe.over.set()


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_the_way_to_the_socket_is_found(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def look() -> Outlet | None:
        probe = Probe()
        async with begun(probe):
            return probe.outlet

    with asyncio.Runner(loop_factory=new_loop) as runner:
        found = runner.run(look())
    assert isinstance(found, TransportOutlet), MOVED


async def test_it_is_not_taken_when_the_settings_forbid_it() -> None:
    probe = Probe()
    probe.direct = False
    async with begun(probe):
        assert type(probe.outlet) is AsgiOutlet


@pytest.mark.parametrize(
    ("probe", "options"),
    [
        (Probe(), {"version": "1.0"}),
        (Probe(), {"method": "HEAD"}),
        (Probe(), {"method": "POST"}),
    ],
    ids=["HTTP/1.0", "HEAD", "POST"],
)
async def test_a_response_that_is_not_chunked_is_left_to_the_server(
    probe: Probe, options: dict[str, Any]
) -> None:
    probe = Probe(*probe.headers[1:], status=probe.status)
    async with begun(probe, **options):
        assert type(probe.outlet) is AsgiOutlet


async def test_a_response_over_http_2_is_left_to_the_server() -> None:
    probe = Probe()
    client = H2Connection()
    client.initiate_connection()
    fields = [(":method", "GET"), (":path", "/"), (":scheme", "http"), (":authority", "x")]
    client.send_headers(1, fields, end_stream=True)
    data = b""
    async with serving(probe) as url:
        reader, writer = await asyncio.open_connection(HOST, urlsplit(url).port)
        writer.write(client.data_to_send())
        await asyncio.wait_for(probe.begun.wait(), WAIT_SECONDS)
        assert isinstance(probe.outlet, AsgiOutlet)
        assert isinstance(cast("Any", probe.outlet._send).__self__, Http2Stream)
        probe.put(1, 2)
        probe.over.set()
        async with asyncio.timeout(WAIT_SECONDS):
            while b"id: 2-0" not in data:
                events = client.receive_data(await reader.read(65536))
                data += b"".join(e.data for e in events if isinstance(e, DataReceived))
        writer.close()
    assert [event.id for event in Parser().feed(data)] == ["1-0", "2-0"]


@pytest.mark.parametrize("origin", [None, b"https://app.example.com"])
async def test_the_head_is_the_one_that_hypercorn_writes(
    monkeypatch: pytest.MonkeyPatch, origin: bytes | None
) -> None:
    for clock in ("app.server.heads.time.time", "hypercorn.config.time"):
        monkeypatch.setattr(clock, lambda: 1e9)
    further = [] if origin is None else [(b"access-control-allow-origin", origin)]
    ours = await head_of(Probe(*further), direct=True)
    assert b"transfer-encoding: chunked" in ours.lower()
    assert ours == await head_of(Probe(*further), direct=False)


async def test_the_head_has_the_date_of_its_second(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("app.server.heads.time.time", lambda: clock[0])
    monkeypatch.setattr("hypercorn.config.time", lambda: clock[0])
    dates = []
    for clock[0] in (1e9, 1e9 + 0.9, 1e9 + 1):
        head = await head_of(Probe(), direct=True)
        (date,) = (line for line in head.splitlines() if line.startswith(b"date:"))
        dates.append(date)
    assert dates[0] == dates[1] == b"date: Sun, 09 Sep 2001 01:46:40 GMT"
    assert dates[2] == b"date: Sun, 09 Sep 2001 01:46:41 GMT"


async def test_a_stream_is_the_last_one_of_a_connection_that_shall_close() -> None:
    probe = Probe()
    async with serving(probe) as url:
        reader, writer = await asyncio.open_connection(HOST, urlsplit(url).port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert b"connection: close" in (await reader.readuntil(b"\r\n\r\n")).lower()
        assert type(probe.outlet) is TransportOutlet
        probe.put(1)
        probe.over.set()
        async with asyncio.timeout(WAIT_SECONDS):
            assert (await reader.read()).endswith(b"0\r\n\r\n")
        writer.close()


async def head_of(probe: Probe, *, direct: bool) -> bytes:
    probe.direct = direct
    async with serving(probe) as url:
        reader, writer = await asyncio.open_connection(HOST, urlsplit(url).port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        async with asyncio.timeout(WAIT_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
        probe.over.set()
        writer.close()
    return head


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts segments")
async def test_the_head_and_what_follows_it_at_once_are_sent_together() -> None:
    probe = Probe()
    async with serving(probe) as url:
        reader, writer = await asyncio.open_connection(HOST, urlsplit(url).port)
        connection = writer.get_extra_info("socket")
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.readuntil(OK)
        assert segments_received(connection) == 1
        for number in (1, 2):  # and the rest is sent as it comes
            probe.put(number)
            await reader.readuntil(b"id: %d-0" % number)
            assert segments_received(connection) == 1 + number
        probe.over.set()
        writer.close()


def segments_received(connection: socket.socket) -> int:
    """Return how many segments with data have come: ``data_segs_in`` of Linux' ``tcp_info``."""
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160)
    return int.from_bytes(info[152:156], sys.byteorder)


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_what_is_written_arrives_whole(*, direct: bool, version: str) -> None:
    probe = Probe()
    probe.direct = direct
    async with begun(probe, version=version) as response:
        probe.put(1, 2, 3)
        assert [(await response.next()).id for _ in range(3)] == ["1-0", "2-0", "3-0"]
        probe.put(4)
        probe.over.set()
        assert [event.id for event in await response.rest()] == ["4-0"]
        assert not response.cut


async def test_the_connection_serves_another_request_after_a_stream() -> None:
    probe = Probe()
    async with begun(probe) as response:
        probe.put(1)
        probe.over.set()
        assert [event.id for event in await response.rest()] == ["1-0"]
        probe.begun.clear()
        probe.over.clear()
        await response.send_on("GET", "/")
        assert response.status == 200
        await asyncio.wait_for(probe.begun.wait(), WAIT_SECONDS)
        probe.put(2)
        probe.over.set()
        assert [event.id for event in await response.rest()] == ["2-0"]


async def test_a_client_that_does_not_read_fills_no_more_than_the_buffer() -> None:
    probe = Probe()
    async with begun(probe) as response:
        assert isinstance(probe.outlet, TransportOutlet), MOVED
        size = 32 * 1024
        probe.put(*range(1, 601), size=size)
        assert probe.outlet._transport.get_write_buffer_size() <= HIGH_WATER + 2 * size
        assert probe.mailbox
        probe.over.set()
        ids = [event.id for event in await response.rest()]
        assert ids == [f"{number}-0" for number in range(1, 601)]
        assert not response.cut


@pytest.mark.parametrize("direct", [True, False])
async def test_a_connection_can_be_dropped(*, direct: bool) -> None:
    probe = Probe()
    probe.direct = direct
    async with begun(probe) as response:
        assert probe.outlet is not None
        probe.outlet.abort()
        await response.rest()
        assert response.cut
