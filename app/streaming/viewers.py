"""All open streams of this process: their number, their keepalives, their end at a drain."""

import asyncio
import contextlib
import random
from collections import defaultdict
from typing import Final

from app.settings import Settings
from app.streaming.viewer import RETRY_MS, Viewer

_TICK_S: Final = 1.0
"""Keepalives are looked after this often, so one is late by as much at the most."""


_AT_ONCE: Final = 25
"""Viewers that are looked after in a turn of the event loop: half a millisecond of keepalives."""


class Viewers:
    """The open streams.

    Attributes:
        leaving: whether a drain is about to begin: no further requests should be sent here.
        draining: whether it has begun.
        total: streams opened since the start.

    One clock serves the keepalives of all: every viewer stands in the slot of the tick at which it
    would be due if nothing were sent until then, and is moved on when something was. So a viewer
    costs one look in each keepalive interval, however many there are.
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

    def open(self, viewer: Viewer) -> None:
        """Count a stream as open, and keep it alive."""
        self._open.add(viewer)
        if self.draining:
            viewer.send_back()
        self.total += 1
        now = asyncio.get_running_loop().time()
        self._slots[int(now + self._settings.keepalive_s) + 1].append(viewer)

    def close(self, viewer: Viewer) -> None:
        """Count a stream no more."""
        self._open.discard(viewer)
        if not self._open and self._all_closed is not None:
            self._all_closed.set()

    async def keep_alive(self) -> None:
        """Run the clock of all keepalives until cancelled."""
        loop = asyncio.get_running_loop()
        done = int(loop.time())
        while True:
            now = loop.time()
            await asyncio.sleep(int(now) + _TICK_S - now)  # a slot is over as its second start
            now = loop.time()
            for slot in range(done, int(now) + 1):
                for number, viewer in enumerate(self._slots.pop(slot, ()), 1):
                    if not number % _AT_ONCE:
                        await asyncio.sleep(0)  # a crowd that came together is due together
                    if viewer not in self._open:
                        continue
                    viewer.keep_alive(now - self._settings.keepalive_s)
                    wrote_at = now if viewer.outlet is None else viewer.outlet.wrote_at
                    self._slots[max(self._slot(wrote_at), slot + 1)].append(viewer)
            done = int(now) + 1

    async def drain(self, grace_s: float) -> None:
        """Send every viewer back, a few at a time, and wait until all are gone.

        Their waits are spread evenly, in random order, so that no more of them come again in a
        second than the settings allow.

        Args:
            grace_s: when to stop waiting.
        """
        self.draining = True
        viewers = list(self._open)
        random.shuffle(viewers)
        least_ms, most_ms = RETRY_MS
        spread_ms = max(most_ms - least_ms, 1000 * len(viewers) / self._settings.reconnects_per_s)
        for number, viewer in enumerate(viewers):
            place = (number + random.random()) / len(viewers)  # noqa: S311 - spread, not secrecy
            viewer.send_back(least_ms + int(spread_ms * place))
            if not (number + 1) % _AT_ONCE:
                await asyncio.sleep(0)
        if self._open:
            self._all_closed = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await self._all_closed.wait()

    def _slot(self, wrote_at: float) -> int:
        return int(wrote_at + self._settings.keepalive_s) + 1
