"""The way to a viewer over the server's own connection.

Hypercorn's way from ASGI ``send`` to the socket costs more than all the rest of a delivery. Once
the head of an HTTP/1.1 response is out, a chunk needs nothing of it, and ``send`` leads to the
connection's ``StreamWriter``. That path is private to Hypercorn, so it is looked for at run time
and taken only where it is there; everywhere else ``send`` is used.
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
from app.server.heads import begin
from app.streaming.outlets import HIGH_WATER, AsgiOutlet, MailboxPump, Outlet
from schema.sse import Frame, chunked

_CHUNK: Final = attrgetter("chunk")


class TransportOutlet(MailboxPump):
    """Writes chunks straight to the transport of an HTTP/1.1 connection.

    Args:
        writer: of the connection.
        head: what is to be written before the first chunk.
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
    def gone(self) -> bool:
        """Whether the connection is known to be closed."""
        return self._transport.is_closing()

    def attach(self, mailbox: Mailbox) -> None:
        """Send what waits in a mailbox, all of it together; from here on each frame by itself."""
        self._mailbox = mailbox
        self.wrote_at = self._now()
        if self._transport.is_closing():
            return
        frames = mailbox.take(HIGH_WATER)
        if data := self._head + b"".join(map(_CHUNK, frames)):
            self._transport.write(data)
        self._head = b""
        if len(mailbox):
            self._begin()

    def offer(self, frame: Frame) -> bool:
        """Take a frame at once, or begin to work off the mailbox and say False."""
        transport = self._transport
        if transport.is_closing():
            return True
        if self._mailbox is None:
            return False
        waiting = transport.get_write_buffer_size()
        if self._pump is not None or waiting > HIGH_WATER:
            self._begin()
            return False
        chunk, sent = frame.chunk, 0
        if not waiting and self._socket is not None:  # nothing that this could overtake
            try:  # noqa: SIM105 - a context manager would cost half as much as the writing
                sent = os.write(self._socket, chunk)
            except OSError:
                pass
        if sent < len(chunk):  # the socket is full, or broken, which the transport has to learn
            # Not a copy for each of a thousand viewers of a large event.
            transport.write(memoryview(chunk)[sent:] if sent else chunk)
        self.wrote_at = self._now()
        return True

    def abort(self) -> None:
        """Give up on a viewer that does not read: drop what it left in the buffer."""
        self.stop()
        self._transport.abort()

    async def _work_off(self) -> None:
        try:
            await self._writer.drain()
        except OSError:
            self._pump = None
            return
        await super()._work_off()

    async def _write(self, data: bytes) -> None:
        self._writer.write(chunked(data))
        await self._writer.drain()


class Http2Stream:
    """One stream of an HTTP/2 connection, which takes no more than its client does.

    Hypercorn 0.18 buffers without bound for a stream whose client gives it no window: each look at
    the stream counts as if something had been sent, and lets ``send`` return. So this waits until
    that buffer is empty. Not reported upstream.
    """

    def __init__(self, send: Send, protocol: H2Protocol, number: int) -> None:
        self._send = send
        self._protocol = protocol
        self._number = number
        self._resetting: asyncio.Task[None] | None = None

    async def send(self, message: Message) -> None:
        """Send a message, and wait until the client has taken it."""
        await self._send(message)
        buffer = self._protocol.stream_buffers.get(self._number)
        if buffer is not None:
            await buffer.drain()

    def reset(self) -> None:
        """End this stream, and no other."""
        self._resetting = asyncio.create_task(self._reset())

    async def _reset(self) -> None:
        """End this stream alone, and have Hypercorn forget what it buffers for it."""
        with contextlib.suppress(ProtocolError, OSError):
            self._protocol.connection.reset_stream(self._number, ErrorCodes.CANCEL)
            await self._protocol._window_updated(self._number)  # noqa: SLF001 - what this module is for
            await self._protocol._flush()  # noqa: SLF001 - the same


async def opened(scope: Scope, send: Send, head: Message, *, direct: bool) -> Outlet:
    """Send the head of a stream, and return the best way to write what follows.

    A head whose frames go straight to the transport goes out with the first of them (``attach``):
    saves one ``send`` system call, about 5 % of a connect.

    Args:
        scope: of the request.
        send: its ASGI ``send``.
        head: the first message of its response: a 200 without ``Content-Length``.
        direct: whether frames may be written to the transport.
    """
    may_be_chunked = scope.get("http_version") == "1.1" and scope.get("method") == "GET"
    server = server_behind(send) if direct and may_be_chunked else None
    if server is None:
        await send(head)
        return outlet_for(send)
    data = begin(cast("Any", send).__self__, head)
    if data is None:
        await send(head)
    return TransportOutlet(server.writer, data or b"")


def outlet_for(send: Send) -> AsgiOutlet:
    """Return how to write the body of a response by its ASGI ``send``, and to give it up."""
    stream = getattr(send, "__self__", None)
    protocol = getattr(getattr(stream, "send", None), "__self__", None)
    if isinstance(stream, HTTPStream) and isinstance(protocol, H2Protocol):
        http2 = Http2Stream(send, protocol, stream.stream_id)
        return AsgiOutlet(http2.send, http2.reset)
    server = server_behind(send)
    # Of Uvicorn, ``send`` belongs to a cycle with a transport.
    transport = getattr(stream, "transport", None) if server is None else server.writer.transport
    return AsgiOutlet(send, getattr(transport, "abort", None))


def server_behind(send: Send) -> Any:  # noqa: ANN401 - Hypercorn's own
    """Find who has Hypercorn's writer: HTTPStream.app_send, H11Protocol.stream_send, TCPServer."""
    stream = getattr(send, "__self__", None)
    if not isinstance(stream, HTTPStream):
        return None
    protocol = getattr(getattr(stream, "send", None), "__self__", None)
    server = getattr(getattr(protocol, "send", None), "__self__", None)
    if not (isinstance(protocol, H11Protocol) and isinstance(server, TCPServer)):
        return None
    return server if isinstance(getattr(server, "writer", None), asyncio.StreamWriter) else None
