"""Writing of frames straight to the server's transport.

Hypercorn's path from ASGI ``send`` to the socket takes more CPU than the rest of a delivery, and an
HTTP/1.1 chunk needs none of it. The connection's ``StreamWriter`` is private to Hypercorn, so it is
looked up at run time; without it, ``send`` is used.
"""

import asyncio
import contextlib
import os
from operator import attrgetter
from typing import Any, Final, cast

from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.protocol.http_stream import HTTPStream

from actors.mailbox import Mailbox
from app.asgi import Message, Scope, Send
from app.server.heads import begin_response
from app.streaming.outlets import HIGH_WATER, AsgiOutlet, MailboxPump, Outlet
from schema.sse import Frame, chunked

_CHUNK: Final = attrgetter("chunk")


class TransportOutlet(MailboxPump):
    """Writes chunks straight to the transport of an HTTP/1.1 connection.

    Args:
        writer: the connection's writer.
        head: bytes to write before the first chunk.
    """

    __slots__ = ("_head", "_now", "_socket", "_transport", "_writer")

    def __init__(self, writer: asyncio.StreamWriter, head: bytes = b"") -> None:
        super().__init__()
        self._head = head
        self._writer = writer
        transport = self._transport = writer.transport
        transport.set_write_buffer_limits(high=HIGH_WATER)
        socket = transport.get_extra_info("socket")
        is_plain = socket is not None and transport.get_extra_info("sslcontext") is None
        self._socket: int | None = socket.fileno() if is_plain else None
        self._now = asyncio.get_running_loop().time

    @property
    def closed(self) -> bool:
        """Whether the connection is closing or closed."""
        return self._transport.is_closing()

    def attach(self, mailbox: Mailbox) -> None:
        """Write the frames in the mailbox in one call; later frames are written one by one."""
        self._mailbox = mailbox
        self.wrote_at = self._now()
        if self._transport.is_closing():
            return
        frames = mailbox.take(HIGH_WATER)
        if data := self._head + b"".join(map(_CHUNK, frames)):
            self._transport.write(data)
        self._head = b""
        if len(mailbox):
            self._start_pump()

    def offer(self, frame: Frame) -> bool:
        """Write a frame at once and return True, or return False: the mailbox must keep it.

        It is written after ``attach``, by the pump if the connection does not take it now. Also
        True if the connection is closing: the frame needs no buffer.
        """
        transport = self._transport
        if transport.is_closing():
            return True
        if self._mailbox is None:
            return False
        waiting = transport.get_write_buffer_size()
        if self._pump is not None or waiting > HIGH_WATER:
            self._start_pump()
            return False
        chunk, sent = frame.chunk, 0
        if not waiting and self._socket is not None:  # the buffer is empty, so the order is kept
            try:  # noqa: SIM105 - a context manager would cost half as much as the write
                sent = os.write(self._socket, chunk)
            except OSError:
                pass
        if sent < len(chunk):  # the socket is full or broken; the transport handles either
            # A view: a large event would otherwise be copied for each of a thousand viewers.
            transport.write(memoryview(chunk)[sent:] if sent else chunk)
        self.wrote_at = self._now()
        return True

    def abort(self) -> None:
        """Disconnect a viewer that does not read, and discard its buffer."""
        self.stop()
        self._transport.abort()

    async def _run_pump(self) -> None:
        try:
            await self._writer.drain()
        except OSError:
            self._pump = None
            return
        await super()._run_pump()

    async def _write(self, data: bytes) -> None:
        self._writer.write(chunked(data))
        await self._writer.drain()


class Http2Stream:
    """One stream of an HTTP/2 connection, with flow control.

    If the client's flow-control window is closed, Hypercorn 0.18 buffers without limit: its
    ``send`` returns after an attempt to send. So ``send`` here waits until that buffer is empty.
    Not reported upstream.
    """

    def __init__(self, send: Send, protocol: H2Protocol, number: int) -> None:
        self._send = send
        self._protocol = protocol
        self._number = number
        self._resetting: asyncio.Task[None] | None = None

    async def send(self, message: Message) -> None:
        """Send a message, and wait until all of it fitted into the client's window."""
        await self._send(message)
        buffer = self._protocol.stream_buffers.get(self._number)
        if buffer is not None:
            await buffer.drain()

    def reset(self) -> None:
        """Reset this stream only."""
        self._resetting = asyncio.create_task(self._reset())

    async def _reset(self) -> None:
        """Reset the stream, and make Hypercorn discard its buffer."""
        with contextlib.suppress(ProtocolError, OSError):
            self._protocol.connection.reset_stream(self._number, ErrorCodes.CANCEL)
            await self._protocol._window_updated(self._number)  # noqa: SLF001 - no public way
            await self._protocol._flush()  # noqa: SLF001 - no public way


async def open_outlet(scope: Scope, send: Send, head: Message, *, direct: bool) -> Outlet:
    """Begin a stream's response, and return its outlet.

    A ``TransportOutlet`` writes the head together with the first frames (``attach``), which saves
    one ``send`` system call: about 5 % of the CPU of a connect.

    Args:
        scope: ASGI scope of the request.
        send: its ASGI ``send``.
        head: the first message of the response: a 200 without ``Content-Length``.
        direct: whether frames may be written straight to the transport.
    """
    may_be_chunked = scope.get("http_version") == "1.1" and scope.get("method") == "GET"
    server = server_behind(send) if direct and may_be_chunked else None
    if server is None:
        await send(head)
        return outlet_for(send)
    data = begin_response(cast("Any", send).__self__, head)
    if data is None:
        await send(head)
    return TransportOutlet(server.writer, data or b"")


def outlet_for(send: Send) -> AsgiOutlet:
    """Return an outlet that writes by ASGI ``send`` and can abort the response."""
    stream = getattr(send, "__self__", None)
    protocol = getattr(getattr(stream, "send", None), "__self__", None)
    if isinstance(stream, HTTPStream) and isinstance(protocol, H2Protocol):
        http2 = Http2Stream(send, protocol, stream.stream_id)
        return AsgiOutlet(http2.send, http2.reset)
    server = server_behind(send)
    # Uvicorn's ``send`` is a method of its request cycle, which has the transport.
    transport = getattr(stream, "transport", None) if server is None else server.writer.transport
    return AsgiOutlet(send, getattr(transport, "abort", None))


def server_behind(send: Send) -> Any:  # noqa: ANN401 - Hypercorn's own
    """Return the TCPServer of an HTTP/1 request's ``send``; None if it is not Hypercorn's.

    It is reached by the methods ``HTTPStream.app_send`` and ``H11Protocol.stream_send``.
    """
    stream = getattr(send, "__self__", None)
    if not isinstance(stream, HTTPStream):
        return None
    protocol = getattr(getattr(stream, "send", None), "__self__", None)
    server = getattr(getattr(protocol, "send", None), "__self__", None)
    if not (isinstance(protocol, H11Protocol) and isinstance(server, TCPServer)):
        return None
    return server if isinstance(getattr(server, "writer", None), asyncio.StreamWriter) else None
