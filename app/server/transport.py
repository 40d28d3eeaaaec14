"""How frames get to a viewer: straight to the server's transport, or by ASGI ``send``.

Hypercorn's way from ASGI ``send`` to the socket costs more than all the rest of a delivery. Once
the head of an HTTP/1.1 response is out, a chunk needs nothing of it, and ``send`` leads to the
connection's ``StreamWriter``. That path is private to Hypercorn, so it is looked for at run time
(``app.server.behind_send``) and taken only where it is there; everywhere else ``send`` is used.
"""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.http_stream import HTTPStream

from actors.mailbox import Mailbox
from app.server.behind_send import Send, abort_behind, is_chunked, server_behind, socket_of
from schema.sse import Frame, chunked

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

HIGH_WATER: Final = 64 * 1024
"""Bytes in the transport's buffer past which a viewer counts as slow."""


class AsgiOutlet:
    """Writes through ASGI ``send``, one task at a time while something waits.

    Args:
        send: of the request.
        reset: closes the connection at once, where there is a way to it.
    """

    __slots__ = ("_mailbox", "_pump", "_reset", "_send", "wrote_at")

    def __init__(self, send: Send, reset: Callable[[], None] | None = None) -> None:
        self._send = send
        self._reset = reset
        self._pump: asyncio.Task[None] | None = None
        self._mailbox: Mailbox | None = None
        self.wrote_at = 0.0

    def attach(self, mailbox: Mailbox) -> None:
        """Serve a mailbox."""
        self._mailbox = mailbox
        self.wrote_at = asyncio.get_running_loop().time()

    def release(self) -> None:
        """Send what came since ``attach``, all of it together; from here on each by itself."""

    def offer(self, frame: Frame) -> bool:  # noqa: ARG002 - nothing can be sent at once here
        """Take a frame at once, or begin to work off the mailbox and say False."""
        self._begin()
        return False

    @property
    def gone(self) -> bool:
        """Whether the connection is known to be closed."""
        return False

    async def drained(self) -> None:
        """Wait until the mailbox is empty or the viewer is gone."""
        if self._mailbox and len(self._mailbox):
            self._begin()
        if self._pump is not None:
            await asyncio.wait({self._pump})

    def stop(self) -> None:
        """Write no more, and let the mailbox go, which holds this."""
        self._mailbox = None
        if self._pump is not None:
            self._pump.cancel()

    def abort(self) -> None:
        """Give up on a viewer that does not read: drop what it left in the buffer.

        Without a way to the connection, the server closes it once that has been read.
        """
        self.stop()
        if self._reset is not None:
            self._reset()

    def _begin(self) -> None:
        if self._pump is None and self._mailbox is not None:
            self._pump = asyncio.create_task(self._work_off())

    async def _work_off(self) -> None:
        mailbox = self._mailbox
        try:
            while mailbox is not None and (frames := mailbox.take(HIGH_WATER)):
                await self._write(b"".join(frame.data for frame in frames))
                self.wrote_at = asyncio.get_running_loop().time()
        except (OSError, RuntimeError):
            pass  # the viewer is gone; ``receive`` says so to the one who waits for it
        finally:
            self._pump = None

    async def _write(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})


class DirectOutlet(AsgiOutlet):
    """Writes chunks straight to the transport of an HTTP/1.1 connection.

    Args:
        send: of the request.
        writer: of the connection.
        head: what is to be written before the first chunk.
    """

    __slots__ = ("_held", "_now", "_socket", "_transport", "_writer")

    def __init__(self, send: Send, writer: asyncio.StreamWriter, head: bytes = b"") -> None:
        super().__init__(send, writer.transport.abort)
        self._held: bytes | None = head  # until the release
        self._socket = socket_of(writer.transport)
        self._writer = writer
        self._transport = writer.transport
        self._transport.set_write_buffer_limits(high=HIGH_WATER)
        self._now = asyncio.get_running_loop().time

    def release(self) -> None:
        """Send what came since ``attach``, all of it together; from here on each by itself."""
        head, self._held = self._held or b"", None
        if self._mailbox is None or self._transport.is_closing():
            return
        frames = self._mailbox.take(HIGH_WATER)
        if data := head + b"".join(frame.chunk for frame in frames):
            self._transport.write(data)
        if len(self._mailbox):
            self._begin()

    def offer(self, frame: Frame) -> bool:
        """Take a frame at once, or begin to work off the mailbox and say False."""
        transport = self._transport
        if transport.is_closing():
            return True
        if self._held is not None:
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

    @property
    def gone(self) -> bool:
        """Whether the connection is known to be closed."""
        return self._transport.is_closing()

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


class Http2Outlet(AsgiOutlet):
    """Writes to one stream of an HTTP/2 connection, no more than its client takes.

    Hypercorn 0.18 buffers without bound for a stream whose client gives it no window: each look at
    the stream counts as if something had been sent, and lets ``send`` return. So this waits until
    that buffer is empty before it takes more from the mailbox.
    """

    __slots__ = ("_number", "_protocol", "_resetting")

    def __init__(self, send: Send, protocol: H2Protocol, number: int) -> None:
        super().__init__(send)
        self._protocol = protocol
        self._number = number
        self._resetting: asyncio.Task[None] | None = None

    async def _write(self, data: bytes) -> None:
        await super()._write(data)
        buffer = self._protocol.stream_buffers.get(self._number)
        if buffer is not None:
            await buffer.drain()

    def abort(self) -> None:
        """Give up on a viewer that does not read: end this stream, and no other."""
        self.stop()
        self._resetting = asyncio.create_task(self._give_up())

    async def _give_up(self) -> None:
        """End this stream alone, and have Hypercorn forget what it buffers for it."""
        with contextlib.suppress(ProtocolError, OSError):
            self._protocol.connection.reset_stream(self._number, ErrorCodes.CANCEL)
            await self._protocol._window_updated(self._number)  # noqa: SLF001 - what this module is for
            await self._protocol._flush()  # noqa: SLF001 - the same


async def opened(scope: Scope, send: Send, head: Message, *, direct: bool) -> AsgiOutlet:
    """Send the head of a response, and return the best way to write what follows.

    A head whose frames go straight to the transport goes out with the first of them (``release``):
    a system call that sends is a twentieth of what it costs when a viewer comes.

    Args:
        scope: of the request.
        send: its ASGI ``send``.
        head: the first message of its response.
        direct: whether frames may be written to the transport.
    """
    may_be_chunked = scope.get("http_version") == "1.1" and scope.get("method") == "GET"
    server = server_behind(send) if direct and may_be_chunked else None
    if server is None:
        await send(head)
        return outlet_for(send)
    writer, aside = server.writer, _Aside(server.writer)
    server.writer = aside
    try:
        await send(head)
    finally:
        server.writer = writer
    if is_chunked(getattr(send, "__self__", None)) and not writer.transport.is_closing():
        return DirectOutlet(send, writer, aside.data)
    writer.write(aside.data)
    return outlet_for(send)


class _Aside:
    """A connection's writer that puts what it is given aside."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data

    async def drain(self) -> None:
        pass

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever Hypercorn asks for
        return getattr(self._writer, name)


def outlet_for(send: Send) -> AsgiOutlet:
    """Return how to write the body of a response by its ASGI ``send``, and to give it up."""
    stream = getattr(send, "__self__", None)
    protocol = getattr(getattr(stream, "send", None), "__self__", None)
    if isinstance(stream, HTTPStream) and isinstance(protocol, H2Protocol):
        return Http2Outlet(send, protocol, stream.stream_id)
    server = server_behind(send)
    return AsgiOutlet(send, server.writer.transport.abort if server else abort_behind(send))
