"""Viewers for load: thousands of open streams in one process, each chunk counted as it comes."""

import asyncio
import re
import time
from collections.abc import Sequence
from typing import Final, cast

from benchmarks.processes import HOST

_STAMP: Final = re.compile(rb'"stamp":(\d+)')


class _Viewer(asyncio.Protocol):
    def __init__(self, crowd: "Crowd", request: bytes) -> None:
        self._crowd = crowd
        self._request = request
        self._transport: asyncio.Transport | None = None
        self._live = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if not self._live:
            if data.startswith(b"HTTP/1.1 ") and not data.startswith(b"HTTP/1.1 200"):
                self._crowd.refused += 1
            if self._crowd.ready_mark in data:
                self._live = True
                self._crowd.note_live()
            return
        now = time.monotonic_ns()
        for match in _STAMP.finditer(data):
            self._crowd.delays_ns.append(now - int(match[1]))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._crowd.lost += 1


class Crowd:
    """All viewers of a run.

    Args:
        port: of the server.
        requests: one whole HTTP request for each viewer.
        ready_mark: what in an answer says that the viewer is live.
    """

    def __init__(self, port: int, requests: Sequence[bytes], ready_mark: bytes) -> None:
        self._port = port
        self._requests = requests
        self.ready_mark = ready_mark
        self.delays_ns: list[int] = []
        self.lost = self.refused = self._live = 0
        self._all_live = asyncio.Event()
        self._transports: list[asyncio.BaseTransport] = []

    async def join(self, at_once: int = 200, wait_s: float = 60) -> float:
        """Open all streams; return the seconds until every viewer was live.

        Raises:
            TimeoutError: not all were in time.
        """
        loop = asyncio.get_running_loop()
        gate = asyncio.Semaphore(at_once)

        async def open_one(request: bytes) -> None:
            async with gate:
                transport, _ = await loop.create_connection(
                    lambda: _Viewer(self, request), HOST, self._port
                )
                self._transports.append(transport)

        began = time.monotonic()
        await asyncio.gather(*(open_one(request) for request in self._requests))
        async with asyncio.timeout(wait_s):
            await self._all_live.wait()
        return time.monotonic() - began

    def leave(self) -> None:
        """Close all streams."""
        for transport in self._transports:
            transport.close()

    def note_live(self) -> None:
        """Count a viewer that has its first events."""
        self._live += 1
        if self._live == len(self._requests):
            self._all_live.set()


def request(target: str) -> bytes:
    """Return a GET request for an event stream."""
    return f"GET {target} HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\n\r\n".encode()
