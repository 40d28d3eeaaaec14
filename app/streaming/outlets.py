"""Writing of frames from a mailbox to a viewer's connection."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, Protocol

from actors.mailbox import Mailbox
from app.asgi import Send
from schema.sse import Frame

HIGH_WATER: Final = 64 * 1024
"""Bytes in the transport's buffer above which a viewer counts as slow."""


class Outlet(Protocol):
    """Writes the frames of one viewer.

    Attributes:
        wrote_at: time of the last write, by the clock of the event loop.
    """

    wrote_at: float

    @property
    def closed(self) -> bool:
        """Whether the connection is known to be closing or closed."""

    def attach(self, mailbox: Mailbox) -> None:
        """Begin to write: first the frames in the mailbox, then those that follow."""

    def offer(self, frame: Frame) -> bool:
        """Write a frame at once and return True, or return False: the mailbox must keep it.

        It is written after ``attach``, by the pump if the connection does not take it now. Also
        True if the connection is closing: the frame needs no buffer.
        """

    async def drain(self) -> None:
        """Wait until the mailbox is empty or the viewer has disconnected."""

    def stop(self) -> None:
        """Stop writing, and break the reference cycle with the mailbox."""

    def abort(self) -> None:
        """Disconnect a viewer that does not read, and discard its buffer."""


class MailboxPump(ABC):
    """Base of the outlets. A task, the pump, writes frames that could not be written at once."""

    __slots__ = ("_mailbox", "_pump", "wrote_at")

    def __init__(self) -> None:
        self._pump: asyncio.Task[None] | None = None
        self._mailbox: Mailbox | None = None
        self.wrote_at = 0.0

    async def drain(self) -> None:
        """Wait until the mailbox is empty or the viewer has disconnected."""
        if self._mailbox and len(self._mailbox):
            self._start_pump()
        if self._pump is not None:
            await asyncio.wait({self._pump})

    def stop(self) -> None:
        """Stop writing, and break the reference cycle with the mailbox."""
        self._mailbox = None
        if self._pump is not None:
            self._pump.cancel()

    def _start_pump(self) -> None:
        if self._pump is None and self._mailbox is not None:
            self._pump = asyncio.create_task(self._run_pump())

    async def _run_pump(self) -> None:
        mailbox = self._mailbox
        try:
            while mailbox is not None and (frames := mailbox.take(HIGH_WATER)):
                await self._write(b"".join(frame.data for frame in frames))
                self.wrote_at = asyncio.get_running_loop().time()
        except (OSError, RuntimeError):
            pass  # the viewer has disconnected, which ``receive`` reports too
        finally:
            self._pump = None

    @abstractmethod
    async def _write(self, data: bytes) -> None:
        """Write bytes, and wait until the connection takes more."""


class AsgiOutlet(MailboxPump):
    """Writes by ASGI ``send``, always in the pump.

    Args:
        send: ASGI ``send``.
        reset: closes the connection at once; None if the server can't.
    """

    __slots__ = ("_reset", "_send")

    def __init__(self, send: Send, reset: Callable[[], None] | None = None) -> None:
        super().__init__()
        self._send = send
        self._reset = reset

    @property
    def closed(self) -> bool:
        """Always False: only ``receive`` reports a disconnect."""
        return False

    def attach(self, mailbox: Mailbox) -> None:
        """Begin to write the mailbox, in the pump."""
        self._mailbox = mailbox
        self.wrote_at = asyncio.get_running_loop().time()
        if len(mailbox):
            self._start_pump()

    def offer(self, frame: Frame) -> bool:  # noqa: ARG002 - the pump takes it from the mailbox
        """Start the pump and return False."""
        self._start_pump()
        return False

    def abort(self) -> None:
        """Disconnect a viewer that does not read.

        Without ``reset``, the server closes the connection once its buffer has been read.
        """
        self.stop()
        if self._reset is not None:
            self._reset()

    async def _write(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})
