"""The rate limit of progress events."""

import asyncio
import math
from time import monotonic
from typing import Final

from jobcast.protocol.append import Append

PROGRESS_PER_S: Final = 20.0
"""Progress events per second, at most, while a run sends no other events."""

_TURN_S: Final = 0.005
"""Seconds for which calls that send nothing may keep the event loop."""


class Pace:
    """When the next progress event may be sent: ``interval_s`` seconds after the last."""

    def __init__(self, interval_s: float) -> None:
        self.interval_s = interval_s
        self._sent_s = -math.inf

    def note(self) -> None:
        """Record that a progress event is sent now."""
        self._sent_s = monotonic()

    @property
    def due_in_s(self) -> float:
        """Seconds until the next one may be sent; not above 0 if that is now."""
        if not self.interval_s:
            return 0.0
        return self._sent_s + self.interval_s - monotonic()


class Turns:
    """Yields to the event loop, for a caller that awaits nothing but calls of a run."""

    def __init__(self) -> None:
        self._until_s = -math.inf

    async def pass_on(self) -> None:
        """Let other tasks run if this one has run for a while: one of them renews the lease."""
        if monotonic() >= self._until_s:
            await asyncio.sleep(0)
            self._until_s = monotonic() + _TURN_S


def merged(newer: Append, older: Append | None) -> Append:
    """Return one progress event that has the effect of two, sent one after the other.

    The percentage is the higher one, to which the append script would have raised the newer.
    """
    if older is None or not older.number:
        return newer
    if not newer.number or int(newer.number) < int(older.number):
        return newer._replace(number=older.number)
    return newer
