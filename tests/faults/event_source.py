"""An EventSource as browsers have it, and a page that keeps one open until its job is over.

Source: HTML Living Standard, §9.2 "Server-sent events"; where browsers agree on something else
(the last event id outlives a connection, whatever the next one begins with), that.
"""

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit

from tests.faults.history import History, Shown, Source, Visit
from tests.support.service import SESSION
from tests.support.sse import Parser, Stream, request
from tests.support.waiting import after

_OK = 200
_UNKNOWN = 404
_FOREVER_S = 3600.0
_DEFAULT_RETRY_MS = 3000
"""What Chromium waits when it was not told."""


class EventSource:
    """Follows one job's stream until it gives up, and notes what it was shown.

    Args:
        url: the job's stream.
        haste: by what every wait is multiplied; 1 is a browser's.
    """

    def __init__(self, url: str, *, haste: float = 1) -> None:
        self.seen = Source()
        self._url = urlsplit(url)
        self._haste = haste
        self._cursor = ""
        self._retry_ms = _DEFAULT_RETRY_MS
        self._stream: Stream | None = None

    async def follow(self) -> None:
        """Come again until an answer is anything but a stream."""
        while await self._visit():
            await after(self._retry_ms / 1000 * self._haste)
        self.seen.closed = True

    def interrupt(self) -> None:
        """Lose the connection, as a machine does that changes its network."""
        if self._stream is not None:
            self._stream.abort()

    async def _visit(self) -> bool:
        """Make one request; say whether there is to be another."""
        visit = Visit(self._cursor)
        self.seen.visits.append(visit)
        headers = {"x-session-id": SESSION, "Accept": "text/event-stream"}
        if self._cursor:
            headers["Last-Event-ID"] = self._cursor
        origin = f"{self._url.scheme}://{self._url.netloc}"
        with suppress(OSError, EOFError, TimeoutError):
            async with request(origin, self._url.path, headers=headers) as stream:
                visit.status = stream.status
                visit.content_type = stream.headers.get("content-type", "")
                if not _is_stream(visit):
                    return False
                stream.parser = Parser(self._cursor, _id=self._cursor)
                self._stream = stream
                try:
                    await self._read(stream, visit)
                finally:
                    self._stream = None
        return True

    async def _read(self, stream: Stream, visit: Visit) -> None:
        try:
            while True:
                event = await stream.next(_FOREVER_S)
                visit.shown.append(Shown(time.time(), event.name, event.data, event.id))
                self._cursor = event.id
        finally:
            self._cursor = stream.parser.last_event_id
            self._retry_ms = (stream.parser.retries or [self._retry_ms])[-1]


def _is_stream(visit: Visit) -> bool:
    return visit.status == _OK and visit.content_type.partition(";")[0] == "text/event-stream"


class Page:
    """Watches one job to its end, with a new EventSource when the one before gave up too early.

    Args:
        viewer: a name for messages.
        url: address of the service.
        job_id: the job.
        end: returns the id of the job's last entry once nothing more will happen to it; empty for a
            job that is lost.
        haste: by what every wait is multiplied.
    """

    def __init__(
        self,
        viewer: str,
        url: str,
        job_id: str,
        end: Callable[[], str | None],
        *,
        haste: float = 1,
    ) -> None:
        self.history = History(viewer, job_id)
        self._url = url
        self._end = end
        self._haste = haste
        self._source: EventSource | None = None
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin to watch."""
        self._task = asyncio.create_task(self._watch())

    async def closed(self, within_s: float) -> None:
        """Wait until it has seen the end; past the time, stop as things are."""
        assert self._task is not None
        await asyncio.wait([self._task], timeout=within_s)
        await self._stop()

    async def leave(self) -> None:
        """Close the page."""
        self.history.gone = True
        await self._stop()

    def interrupt(self) -> None:
        """Lose the connection, if there is one."""
        if self._source is not None:
            self._source.interrupt()

    async def _stop(self) -> None:
        assert self._task is not None
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _watch(self) -> None:
        target = f"{self._url}/api/v1/jobs/{self.history.job_id}/stream"
        while True:
            self._source = EventSource(target, haste=self._haste)
            self.history.sources.append(self._source.seen)
            await self._source.follow()
            last = self._source.seen.visits[-1]
            end = self._end()
            if end is not None and (last.status == _UNKNOWN or (end and last.cursor == end)):
                return
            # Chance is the page's own, and has no part in what a seed decides.
            await after(random.uniform(0.2, 1) * self._haste)  # noqa: S311
