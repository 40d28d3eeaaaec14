"""The open streams of this process: their number, keepalives and drain."""

import asyncio
import contextlib
import logging
import random
from collections import defaultdict
from typing import Final

from app.settings import Settings
from app.streaming.viewer import RETRY_MS, Viewer
from jobcast.redis.outages import Outages

_failures: Final = Outages(logging.getLogger("jobcast.streaming"), level=logging.ERROR)

_TICK_S: Final = 1.0
"""Resolution of the keepalives, and so their maximum delay."""

_BATCH: Final = 25
"""Viewers handled before yielding to the event loop: 0.5 ms of keepalives."""


class Viewers:
    """The open streams.

    Keepalives use a timer wheel: each viewer is in the slot of the second at which it is due if
    nothing is sent until then. If something was sent, it moves to a later slot. So a viewer is
    checked once in each keepalive interval.

    Attributes:
        leaving: whether a drain will begin soon, so that load balancers should stop routing here.
        draining: whether the drain has begun.
        total: streams opened since the start.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._open: set[Viewer] = set()
        self._slots: defaultdict[int, list[Viewer]] = defaultdict(list)
        self._all_closed: asyncio.Event | None = None
        self.leaving = False
        self.draining = False
        self.total = 0

    def __len__(self) -> int:
        """Count the open streams."""
        return len(self._open)

    def add(self, viewer: Viewer) -> None:
        """Add a stream, and schedule its keepalives."""
        self._open.add(viewer)
        if self.draining:
            viewer.send_back()
        self.total += 1
        now = asyncio.get_running_loop().time()
        self._slots[int(now + self._settings.keepalive_s) + 1].append(viewer)

    def remove(self, viewer: Viewer) -> None:
        """Remove a stream."""
        self._open.discard(viewer)
        if not self._open and self._all_closed is not None:
            self._all_closed.set()

    async def keep_alive(self) -> None:
        """Send keepalives until cancelled."""
        loop = asyncio.get_running_loop()
        done = int(loop.time())
        while True:
            now = loop.time()
            await asyncio.sleep(int(now) + _TICK_S - now)  # until the next second
            now = loop.time()
            for slot in range(done, int(now) + 1):
                for number, viewer in enumerate(self._slots.pop(slot, ()), 1):
                    if not number % _BATCH:
                        await asyncio.sleep(0)  # many may be due at once
                    if viewer not in self._open:
                        continue
                    try:
                        viewer.keep_alive(now - self._settings.keepalive_s)
                    except Exception as error:  # noqa: BLE001 - the others of this second are due
                        _failures.add(f"a viewer got no keepalive: {error}", error=error)
                    wrote_at = now if viewer.outlet is None else viewer.outlet.wrote_at
                    self._slots[max(self._slot(wrote_at), slot + 1)].append(viewer)
            done = int(now) + 1

    async def drain(self, grace_s: float) -> None:
        """Send every viewer back, a few at a time, and wait until all streams are closed.

        The reconnect delays are spread evenly, in random order, over 4 s or more: so long that at
        most ``reconnects_per_s`` viewers reconnect per second.

        Args:
            grace_s: seconds to wait for the streams to close.
        """
        self.draining = True
        viewers = list(self._open)
        random.shuffle(viewers)
        min_ms, max_ms = RETRY_MS
        spread_ms = max(max_ms - min_ms, 1000 * len(viewers) / self._settings.reconnects_per_s)
        for number, viewer in enumerate(viewers):
            position = (number + random.random()) / len(viewers)  # noqa: S311 - spread, not secrecy
            viewer.send_back(min_ms + int(spread_ms * position))
            if not (number + 1) % _BATCH:
                await asyncio.sleep(0)
        if self._open:
            self._all_closed = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await self._all_closed.wait()

    def _slot(self, wrote_at: float) -> int:
        return int(wrote_at + self._settings.keepalive_s) + 1
