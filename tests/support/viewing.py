"""A viewer within the test's process, which records what it is sent, and when."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from actors.mailbox import Ending, Mailbox
from app.streaming.viewer import COMMENT, Viewer
from app.streaming.viewers import Viewers
from schema.sse import Frame, encode
from tests.support.sse import Parser

START = "http.response.start"


class Visit:
    """One stream over ASGI.

    Attributes:
        sent: parts of the body, with the times at which they were sent.
        over: whether the response has ended.
        watching: whether the stream is registered for the job's events.
        open: while cleared, ``send`` blocks.
    """

    def __init__(
        self,
        *,
        lifetime_s: float = 600,
        mailbox_bytes: int = 10_000,
        keepalive: Frame = COMMENT,
    ) -> None:
        self.sent: list[tuple[float, bytes]] = []
        self.over = self.watching = False
        self.open = asyncio.Event()
        self.open.set()
        self._gone = asyncio.Event()
        self._sending = asyncio.Lock()
        self.viewer = Viewer(
            self._watch,
            lifetime_s=lifetime_s,
            mailbox_bytes=mailbox_bytes,
            direct=True,
            keepalive=keepalive,
        )
        self._task: asyncio.Task[None] | None = None

    @property
    def mailbox(self) -> Mailbox:
        """Return the viewer's mailbox."""
        assert self.viewer.mailbox is not None
        return self.viewer.mailbox

    @property
    def body(self) -> bytes:
        """Return the body so far."""
        return b"".join(data for _, data in self.sent)

    @property
    def retries(self) -> list[int]:
        """Return the ``retry:`` delays that were sent, in milliseconds."""
        parser = Parser()
        parser.feed(self.body)
        return parser.retries

    def begin(self, viewers: Viewers | None = None) -> None:
        """Serve the stream in a background task."""
        self._task = asyncio.create_task(self._serve(viewers))

    async def ended(self) -> float:
        """Wait for the end of the stream and return its time."""
        assert self._task is not None
        await self._task
        return asyncio.get_running_loop().time()

    def leave(self) -> None:
        """Disconnect, which ``receive`` reports."""
        self._gone.set()

    def happens(self, number: int, size: int = 10) -> None:
        """Put an event of the job into the mailbox."""
        self.mailbox.put(encode("note", b'"%b"' % (b"x" * size), f"{number}-0"))

    def finish(self) -> None:
        """End the mailbox, as at the end of the job."""
        self.mailbox.end(Ending.FINISHED)

    @contextmanager
    def _watch(self, mailbox: Mailbox) -> Iterator[None]:
        assert mailbox is self.mailbox
        self.watching = True
        try:
            yield
        finally:
            self.watching = False

    async def _serve(self, viewers: Viewers | None) -> None:
        scope = {"type": "http", "http_version": "1.1", "method": "GET"}
        with ExitStack() as place:
            if viewers is not None:
                viewers.add(self.viewer)
                place.callback(viewers.remove, self.viewer)
            await self.viewer.serve(scope, self._receive, self._send, {"type": START})

    async def _receive(self) -> dict[str, Any]:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:  # noqa: ANN401 - ASGI's
        if message["type"] == START:
            return
        assert not self._sending.locked(), "two sends at once"
        async with self._sending:
            await self.open.wait()
            assert not self.over
            self.sent.append((asyncio.get_running_loop().time(), message["body"]))
            self.over = not message["more_body"]
