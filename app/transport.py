"""How frames get to a viewer: straight to the server's transport, or by ASGI ``send``.

Hypercorn's way from ASGI ``send`` to the socket costs more than all the rest of a delivery. Once
the head of an HTTP/1.1 response is out, a chunk needs nothing of it, and ``send`` leads to the
connection's ``StreamWriter``. That path is private to Hypercorn, so it is looked for at run time
and taken only where each step is what is expected; everywhere else ``send`` is used. This is the
only module that knows of it.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from actors.mailbox import Mailbox
from schema.sse import Frame, chunked

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Any], Awaitable[None]]

HIGH_WATER: Final = 64 * 1024
"""Bytes in the transport's buffer past which a viewer counts as slow."""


class AsgiOutlet:
    """Writes through ASGI ``send``, one task at a time while something waits."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._pump: asyncio.Task[None] | None = None
        self._mailbox: Mailbox | None = None
        self.wrote_at = 0.0

    def attach(self, mailbox: Mailbox) -> None:
        """Serve a mailbox."""
        self._mailbox = mailbox
        self.wrote_at = asyncio.get_running_loop().time()

    def offer(self, frame: Frame) -> bool:  # noqa: ARG002 - nothing can be sent at once here
        """Take a frame at once, or begin to work off the mailbox and say False."""
        self._begin()
        return False

    async def drained(self) -> None:
        """Wait until the mailbox is empty or the viewer is gone."""
        if self._mailbox and len(self._mailbox):
            self._begin()
        if self._pump is not None:
            await asyncio.wait({self._pump})

    def stop(self) -> None:
        """Write no more."""
        if self._pump is not None:
            self._pump.cancel()

    def abort(self) -> None:
        """Give up on a viewer that does not read; the server closes what it can't finish."""
        self.stop()

    def _begin(self) -> None:
        if self._pump is None:
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
    """Writes chunks straight to the transport of an HTTP/1.1 connection."""

    def __init__(self, send: Send, writer: asyncio.StreamWriter) -> None:
        super().__init__(send)
        self._writer = writer
        self._transport = writer.transport
        self._transport.set_write_buffer_limits(high=HIGH_WATER)
        self._now = asyncio.get_running_loop().time

    def offer(self, frame: Frame) -> bool:
        """Take a frame at once, or begin to work off the mailbox and say False."""
        transport = self._transport
        if transport.is_closing():
            return True
        if self._pump is not None or transport.get_write_buffer_size() > HIGH_WATER:
            self._begin()
            return False
        transport.write(frame.chunk)
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


def outlet_for(scope: Scope, send: Send, *, direct: bool) -> AsgiOutlet:
    """Return the best way to write a response whose head is out.

    Args:
        scope: of the request.
        send: its ASGI ``send``.
        direct: whether the transport may be used.
    """
    writer = _writer_behind(scope, send) if direct else None
    return AsgiOutlet(send) if writer is None else DirectOutlet(send, writer)


def _writer_behind(scope: Scope, send: Send) -> asyncio.StreamWriter | None:
    """Find Hypercorn's writer: app_send, then H11Protocol.stream_send, then TCPServer."""
    if scope.get("http_version") != "1.1" or scope.get("method") != "GET":
        return None
    stream = getattr(send, "__self__", None)
    protocol = getattr(getattr(stream, "send", None), "__self__", None)
    server = getattr(getattr(protocol, "send", None), "__self__", None)
    names = tuple(type(owner).__name__ for owner in (stream, protocol, server))
    if names != ("HTTPStream", "H11Protocol", "TCPServer"):
        return None
    writer = getattr(server, "writer", None)
    if not isinstance(writer, asyncio.StreamWriter) or not _is_chunked(stream):
        return None
    if writer.transport.is_closing():
        return None
    return writer


def _is_chunked(stream: Any) -> bool:  # noqa: ANN401 - Hypercorn's own
    response = getattr(stream, "response", None)
    if not isinstance(response, dict) or response.get("status") != 200:  # noqa: PLR2004
        return False
    return all(name.lower() != b"content-length" for name, _ in response.get("headers", ()))
