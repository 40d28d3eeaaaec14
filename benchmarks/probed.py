"""The service with a probe in its event loop: ``/probe`` says how long the loop has stood still.

Only the benchmarks serve this application. The probe is a timer that is due every 2 ms; how late it
is, is how long nothing else could happen either.
"""

import asyncio
import gc
import time
from array import array
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct
from quart import Quart

import app

ADDRESS: Final = "/probe"
"""Answers a ``Pauses`` of the time since it was asked before."""

_TICK_S: Final = 0.002
_NS_PER_MS: Final = 1e6


class Pauses(Struct):
    """How long an event loop stood still.

    Attributes:
        longest_ms: at the worst.
        busy_ms: the most that it was at work meanwhile. A process that was not given its core stood
            still for longer.
        p999_ms: the 99.9th percentile of all looks.
        looks: how many there were.
        collections: those of the collector, by generation: how many, and ms of CPU of the longest.
    """

    longest_ms: float
    busy_ms: float
    p999_ms: float
    looks: int
    collections: dict[int, tuple[int, float]]


class Probe:
    """Looks how late a timer is, again and again."""

    def __init__(self) -> None:
        self._late_ns = array("q")
        self._busy_ns = 0
        self._collections: dict[int, tuple[int, float]] = {}
        self._collecting_since = 0
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Begin to look."""
        if self._task is None:
            gc.callbacks.append(self._collected)
            self._task = asyncio.create_task(self._look())

    def take(self) -> Pauses:
        """Return what was seen, and forget it."""
        late = sorted(self._late_ns)
        seen = Pauses(
            (late[-1] if late else 0) / _NS_PER_MS,
            self._busy_ns / _NS_PER_MS,
            (late[int(len(late) * 0.999)] if late else 0) / _NS_PER_MS,
            len(late),
            self._collections,
        )
        self._late_ns, self._busy_ns, self._collections = array("q"), 0, {}
        return seen

    async def _look(self) -> None:
        while True:
            cpu, due = time.thread_time_ns(), time.monotonic_ns() + int(_TICK_S * 1e9)
            await asyncio.sleep(_TICK_S)
            self._late_ns.append(max(0, time.monotonic_ns() - due))
            self._busy_ns = max(self._busy_ns, time.thread_time_ns() - cpu)

    def _collected(self, phase: Literal["start", "stop"], info: dict[str, int]) -> None:
        if phase == "start":
            self._collecting_since = time.thread_time_ns()
            return
        took_ms = (time.thread_time_ns() - self._collecting_since) / _NS_PER_MS
        count, longest_ms = self._collections.get(info["generation"], (0, 0.0))
        self._collections[info["generation"]] = count + 1, max(longest_ms, took_ms)


def create_app() -> Quart:
    """Make the application."""
    made, probe = app.create_app(), Probe()
    application: Any = made.asgi_app

    async def outer(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI's
        probe.begin()
        if scope["type"] != "http" or scope["path"] != ADDRESS:
            await application(scope, receive, send)
            return
        body = msgspec.json.encode(probe.take())
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    made.asgi_app = outer  # type: ignore[method-assign]
    return made
