"""All open streams of this process: their number, their keepalives, their end at a drain."""

import asyncio
import contextlib
import random
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Final

from app.errors import ProcessFull, ServiceUnavailable, TooManyStreams
from app.settings import Settings
from app.streaming.viewer import RETRY_MS, Viewer
from schema.owner import Owner

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
        self._of_owner: Counter[str] = Counter()
        self._of_job: Counter[str] = Counter()
        self._open: set[Viewer] = set()
        self._slots: defaultdict[int, list[Viewer]] = defaultdict(list)
        self._reserved = 0
        self._all_gone: asyncio.Event | None = None
        self.leaving = False
        self.draining = False
        self.total = 0

    def __len__(self) -> int:
        """Count the open streams."""
        return len(self._open)

    def reserved(self, job_id: str, owner: Owner) -> "Place":
        """Take a place for a stream.

        Raises:
            TooManyStreams: the owner or the job has as many as it may.
            ProcessFull: this process has as many as it may.
            ServiceUnavailable: this process is about to end.
        """
        limits, names = self._settings, _names(owner)
        if self.draining:
            raise ServiceUnavailable
        if self._of_job[job_id] >= limits.streams_per_job:
            raise TooManyStreams("Too many open streams of this job")
        if any(self._of_owner[name] >= limits.streams_per_owner for name in names):
            raise TooManyStreams("Too many open streams of this owner")
        if self._reserved >= limits.streams_per_process:
            raise ProcessFull
        self._reserved += 1
        self._of_job[job_id] += 1
        for name in names:
            self._of_owner[name] += 1
        return Place(self, job_id, owner)

    def free(self, job_id: str, owner: Owner) -> None:
        """Give a place back."""
        self._reserved -= 1
        _decrease(self._of_job, (job_id,))
        _decrease(self._of_owner, _names(owner))

    def open(self, viewer: Viewer) -> None:
        """Count a stream as open, and keep it alive."""
        self._open.add(viewer)
        if self.draining:
            viewer.send_back()
        self.total += 1
        now = asyncio.get_running_loop().time()
        self._slots[self._slot(now)].append(viewer)

    def close(self, viewer: Viewer) -> None:
        """Count a stream no more."""
        self._open.discard(viewer)
        if not self._open and self._all_gone is not None:
            self._all_gone.set()

    async def keep_alive(self) -> None:
        """Run the clock of all keepalives until cancelled."""
        loop = asyncio.get_running_loop()
        done = int(loop.time())
        while True:
            now = loop.time()
            await asyncio.sleep(int(now) + _TICK_S - now)  # a slot is over as its second begins
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
            self._all_gone = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await self._all_gone.wait()

    def _slot(self, wrote_at: float) -> int:
        return int(wrote_at + self._settings.keepalive_s) + 1


class Place:
    """A place that one stream holds until the context ends, or until it is freed."""

    __slots__ = ("_job_id", "_owner", "_viewers")

    def __init__(self, viewers: Viewers, job_id: str, owner: Owner) -> None:
        self._viewers = viewers
        self._job_id = job_id
        self._owner = owner

    def free(self) -> None:
        """Give the place back."""
        self._viewers.free(self._job_id, self._owner)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_error: object) -> None:
        self.free()


def _names(owner: Owner) -> list[str]:
    names = []
    if owner.user_id is not None:
        names.append(f"user:{owner.user_id}")
    if owner.session_id is not None:
        names.append(f"session:{owner.session_id}")
    return names


def _decrease(counter: Counter[str], names: Iterable[str]) -> None:
    for name in names:
        counter[name] -= 1
        if not counter[name]:
            del counter[name]
