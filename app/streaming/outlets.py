"""How frames get from a mailbox to a viewer's connection."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, Protocol

from actors.mailbox import Mailbox
from app.asgi import Send
from schema.sse import Frame

HIGH_WATER: Final = 64 * 1024
"""Bytes in the transport's buffer past which a viewer counts as slow."""


class Outlet(Protocol):
    """The way to one viewer.

    Attributes:
        wrote_at: when something was sent last, by the clock of the event loop.
    """

    wrote_at: float

    @property
    def closed(self) -> bool:
        """Whether the connection is known to be closed."""

    def attach(self, mailbox: Mailbox) -> None:
        """Send what waits in a mailbox, all of it together; from here on each frame by itself."""

    def offer(self, frame: Frame) -> bool:
        """Take a frame at once, or begin to work off the mailbox and say False."""

    async def drain(self) -> None:
        """Wait until the mailbox is empty or the viewer has disconnected."""

    def stop(self) -> None:
        """Write no more, and let the mailbox go, which holds this."""

    def abort(self) -> None:
        """Give up on a viewer that does not read: drop what it left in the buffer."""


class MailboxPump(ABC):
    """What both outlets do with frames that could not be sent at once: a task writes them."""

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
        """Write no more, and let the mailbox go, which holds this."""
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
            pass  # the viewer has disconnected; ``receive`` says so to the one who waits for it
        finally:
            self._pump = None

    @abstractmethod
    async def _write(self, data: bytes) -> None:
        """Write bytes, and return when there is room for more."""


class AsgiOutlet(MailboxPump):
    """Writes through ASGI ``send``, one task at a time while something waits.

    Args:
        send: takes the messages of the body.
        reset: closes the connection at once, where there is a way to it.
    """

    __slots__ = ("_reset", "_send")

    def __init__(self, send: Send, reset: Callable[[], None] | None = None) -> None:
        super().__init__()
        self._send = send
        self._reset = reset

    @property
    def closed(self) -> bool:
        """Never: ``receive`` alone says so."""
        return False

    def attach(self, mailbox: Mailbox) -> None:
        """Send what waits in a mailbox, all of it together; from here on each frame by itself."""
        self._mailbox = mailbox
        self.wrote_at = asyncio.get_running_loop().time()
        if len(mailbox):
            self._start_pump()

    def offer(self, frame: Frame) -> bool:  # noqa: ARG002 - nothing can be sent at once here
        """Begin to work off the mailbox and say False."""
        self._start_pump()
        return False

    def abort(self) -> None:
        """Give up on a viewer that does not read: drop what it left in the buffer.

        Without a way to the connection, the server closes it once that has been read.
        """
        self.stop()
        if self._reset is not None:
            self._reset()

    async def _write(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})
