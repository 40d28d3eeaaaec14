"""An HTTP/2 client for tests: many streams on one connection, each of them read or not."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)

from tests.support.service import SESSION
from tests.support.sse import WAIT_SECONDS, Stream

_CONNECTION_WINDOW = 2**30
"""Flow-control window of the connection: so large that an unread stream blocks no other."""


class Http2Stream(Stream):
    """One open response of a connection.

    Attributes:
        number: number of the stream.
        reads: whether to let the server send more than the first window.
        reset: error code with which the server reset the stream; None if it did not.
    """

    def __init__(self, connection: "Http2Connection", number: int, *, reads: bool) -> None:
        self.incoming = asyncio.StreamReader(limit=2**24)
        super().__init__(self.incoming, connection.writer)
        self._connection = connection
        self._headed = asyncio.Event()
        self._unread = 0
        self.number = number
        self.reads = reads
        self.reset: ErrorCodes | int | None = None

    async def read_head(self) -> None:
        """Wait for status and headers."""
        async with asyncio.timeout(WAIT_SECONDS):
            await self._headed.wait()

    def read_on(self) -> None:
        """Read the data so far, and all that follows."""
        self.reads = True
        self._connection.take(self.number, self._unread)

    def close(self) -> None:
        """Close this stream only, as a browser does when its EventSource is closed."""
        self._connection.give_up(self.number)

    def happened(self, event: Event) -> None:
        """Handle an event of the connection for this stream."""
        match event:
            case ResponseReceived(headers=headers):
                self._connection.answered()
                given = {bytes(k).decode(): bytes(v).decode() for k, v in headers or ()}
                self.status = int(given.pop(":status"))
                self.headers = given
                self._headed.set()
            case DataReceived(data=data, flow_controlled_length=length):
                self.incoming.feed_data(bytes(data or b""))
                if self.reads:
                    self._connection.take(self.number, length or 0)
                else:
                    self._unread += length or 0
            case StreamEnded():
                self.incoming.feed_eof()
            case StreamReset(error_code=code):
                self.reset = code
                self.over()

    def over(self) -> None:
        """Mark the stream as cut: it ended before its regular end."""
        self.cut = True
        self.incoming.feed_eof()
        self._headed.set()


class Http2Connection(asyncio.Protocol):
    """One connection; ``terminated`` once the server has sent GOAWAY."""

    def __init__(self) -> None:
        self._h2 = H2Connection(H2Configuration(header_encoding=None))
        self._streams: dict[int, Http2Stream] = {}
        self._window_opened = asyncio.Event()
        self._authority = self._scheme = ""
        self.terminated = False
        self.writer: Any = None

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - asyncio's
        """Begin the connection."""
        self.writer = transport
        tls = transport.get_extra_info("ssl_object")
        host, port = transport.get_extra_info("peername")[:2]
        self._authority, self._scheme = f"{host}:{port}", "https" if tls else "http"
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(_CONNECTION_WINDOW)
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Pass events to their streams."""
        for event in self._h2.receive_data(data):
            number = getattr(event, "stream_id", None)
            if isinstance(event, ConnectionTerminated):
                self.terminated = True
            elif isinstance(event, WindowUpdated):
                self._window_opened.set()
            elif number in self._streams:
                self._streams[number].happened(event)
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        """Cut all streams that have not ended."""
        for stream in self._streams.values():
            if not stream.incoming.at_eof():
                stream.over()

    def request(
        self,
        target: str,
        *,
        method: str = "GET",
        headers: dict[str, str] | None = None,
        uploads: bool = False,
        reads: bool = True,
    ) -> Http2Stream:
        """Send a request or, if it ``uploads`` a body, its head."""
        number = self._h2.get_next_available_stream_id()
        stream = self._streams[number] = Http2Stream(self, number, reads=reads)
        own = {":method": method}
        if method != "CONNECT":
            own.update({":path": target, ":scheme": self._scheme})
        given = {name.lower(): value for name, value in (headers or {}).items()}
        head = {**own, ":authority": self._authority, "x-session-id": SESSION, **given}
        pairs = [
            (name.encode(), value.encode(errors="surrogateescape")) for name, value in head.items()
        ]
        self._h2.send_headers(number, pairs, end_stream=not uploads)
        self._flush()
        return stream

    async def upload(self, stream: Http2Stream, body: bytes) -> None:
        """Send a body until the server has responded, as fast as the server takes it."""
        async with asyncio.timeout(WAIT_SECONDS):
            while body:
                self._window_opened.clear()
                room = self._h2.local_flow_control_window(stream.number)
                part = body[: min(room, self._h2.max_outbound_frame_size)]
                if part:
                    body = body[len(part) :]
                    self._h2.send_data(stream.number, part, end_stream=not body)
                    self._flush()
                elif stream.status:
                    return
                else:
                    await self._window_opened.wait()

    async def get(self, target: str, **options: Any) -> Http2Stream:  # noqa: ANN401 - of request
        """Send a request and wait for the head of the response."""
        stream = self.request(target, **options)
        await stream.read_head()
        return stream

    async def watch(
        self, job_id: str, last_event_id: str | None = None, *, reads: bool = True
    ) -> Http2Stream:
        """Open a job's stream."""
        headers = {} if last_event_id is None else {"last-event-id": last_event_id}
        return await self.get(f"/api/v1/jobs/{job_id}/stream", headers=headers, reads=reads)

    def answered(self) -> None:
        """Wake an upload, because the response has arrived."""
        self._window_opened.set()

    def take(self, number: int, length: int) -> None:
        """Acknowledge data, so that the server may send as much again on a stream."""
        if length:
            self._h2.acknowledge_received_data(length, number)
            self._flush()

    def give_up(self, number: int) -> None:
        """Reset one stream."""
        self._h2.reset_stream(number, ErrorCodes.CANCEL)
        self._flush()

    def _flush(self) -> None:
        self.writer.write(self._h2.data_to_send())


@asynccontextmanager
async def http2(url: str, context: ssl.SSLContext | None = None) -> AsyncIterator[Http2Connection]:
    """Open a connection: over TLS with a context, else in clear text with prior knowledge."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    transport, connection = await asyncio.get_running_loop().create_connection(
        Http2Connection, parts.hostname, parts.port, ssl=context
    )
    if context is not None:
        assert transport.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
    try:
        yield connection
    finally:
        transport.abort()
