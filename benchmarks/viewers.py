"""Viewers for load: thousands of open streams in one process, and how old events are there."""

import asyncio
import re
import time
from array import array
from collections.abc import Callable, Sequence
from typing import Final, cast

from benchmarks.processes import HOST

_KEEPALIVE: Final = b": keepalive"
_REFUSAL: Final = re.compile(rb"HTTP/1\.1 (?!200)")
_STAMP: Final = re.compile(rb'@(\d{16})"')


class Viewer(asyncio.Protocol):
    """One open stream, which notes how old every event is when it comes."""

    def __init__(self, crowd: "Crowd", request: bytes) -> None:
        self._crowd = crowd
        self._request = request
        self._transport: asyncio.Transport | None = None
        self._live = False
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the request."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Look at what came; a line that is cut is kept for the rest of it."""
        if self._rest:
            data, self._rest = self._rest + data, b""
        if not data.endswith(b"\n"):
            data, _, self._rest = data.rpartition(b"\n")
        if self._live:
            self.look(data)
        elif data:
            self._look_at_head(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Count the stream as lost, or as refused if it had not begun."""
        if self._live:
            self._crowd.lost += 1
        else:
            self._crowd.note_refused()

    def look(self, data: bytes) -> None:
        """Note the age of each event."""
        if _KEEPALIVE in data:
            self._crowd.keepalives += 1
        now = time.monotonic_ns()
        for stamp in _STAMP.findall(data):
            self._crowd.ages_ns.append(now - int(stamp))

    def _look_at_head(self, data: bytes) -> None:
        if self._crowd.ready_mark in data:
            self._live = True
            self._crowd.note_live()
        elif _REFUSAL.match(data) and self._transport is not None:
            self._transport.close()


class Onlooker(Viewer):
    """A viewer that notes how old what it shows has become, each time before it shows newer."""

    _shown = 0

    def look(self, data: bytes) -> None:
        """Note the age of what was shown so far."""
        stamp = _STAMP.match(data, max(0, data.rfind(b"@")))
        if stamp is None:
            return
        if self._shown:
            self._crowd.ages_ns.append(time.monotonic_ns() - self._shown)
        self._shown = int(stamp[1])
        self._crowd.newest_ns[id(self)] = self._shown


class Crowd:
    """All viewers of a run.

    Args:
        port: of the server.
        requests: one whole HTTP request for each viewer.
        ready_mark: what in an answer says that the viewer is live.
        viewer: what each is.

    Attributes:
        ages_ns: nanoseconds from an event's stamp to its arrival, for each arrival.
        newest_ns: stamp of the newest event of each onlooker.
        live: streams that began.
        refused: connections that were refused or reset, and answers other than 200.
        lost: streams that ended.
        keepalives: those that came, events aside.
    """

    def __init__(
        self,
        port: int,
        requests: Sequence[bytes],
        ready_mark: bytes,
        viewer: Callable[["Crowd", bytes], Viewer] = Viewer,
    ) -> None:
        self._port = port
        self._requests = requests
        self._viewer = viewer
        self.ready_mark = ready_mark
        self.ages_ns = array("q")
        self.newest_ns: dict[int, int] = {}
        self.live = self.lost = self.refused = self.keepalives = 0
        self._all_answered = asyncio.Event()
        self._transports: list[asyncio.BaseTransport] = []

    async def join(self, at_once: int = 200, wait_s: float = 60) -> float:
        """Open all streams; return the seconds until every viewer was live, or refused.

        Args:
            at_once: connections that may be in the making.
            wait_s: when to give up.

        Raises:
            TimeoutError: not all were answered in time.
        """
        gate = asyncio.Semaphore(at_once)
        began = time.monotonic()
        try:
            async with asyncio.timeout(wait_s):
                async with asyncio.TaskGroup() as opening:
                    for request in self._requests:
                        opening.create_task(self._open(request, gate))
                await self._all_answered.wait()
        except TimeoutError:
            said = f"{self.live} of {len(self._requests)} viewers live, {self.refused} refused"
            raise TimeoutError(said) from None
        return time.monotonic() - began

    def leave(self) -> None:
        """Close all streams."""
        for transport in self._transports:
            transport.close()

    def note_live(self) -> None:
        """Count a viewer that has its first events."""
        self.live += 1
        self._look_round()

    def note_refused(self) -> None:
        """Count a viewer that was answered badly, or not at all."""
        self.refused += 1
        self._look_round()

    def _look_round(self) -> None:
        if self.live + self.refused >= len(self._requests):
            self._all_answered.set()

    async def _open(self, request: bytes, gate: asyncio.Semaphore) -> None:
        async with gate:
            try:
                transport, _ = await asyncio.get_running_loop().create_connection(
                    lambda: self._viewer(self, request), HOST, self._port
                )
            except OSError:
                self.note_refused()
            else:
                self._transports.append(transport)


def percentile(values: Sequence[int], percent: float) -> int:
    """Return a percentile; 0 of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else 0
