"""How often progress is sent."""

import asyncio
import math
from time import monotonic
from typing import Final

from jobcast.protocol.append import Append

PROGRESS_PER_S: Final = 20.0
"""Progress events a second, at the most, of a run that says nothing else."""

_TURN_S: Final = 0.005
"""How long calls that send nothing may keep the event loop."""


class Pace:
    """When the next progress event may be sent, at least ``interval_s`` after the last."""

    def __init__(self, interval_s: float) -> None:
        self.interval_s = interval_s
        self._sent_s = -math.inf

    def note(self) -> None:
        """Take in that one is sent now."""
        self._sent_s = monotonic()

    @property
    def due_in_s(self) -> float:
        """In how many seconds the next one may be sent."""
        if not self.interval_s:
            return 0.0
        return self._sent_s + self.interval_s - monotonic()


class Turns:
    """Turns of the event loop, for a caller whose loop may await nothing but calls of a run."""

    def __init__(self) -> None:
        self._until_s = -math.inf

    async def pass_on(self) -> None:
        """Let other tasks run if this one has for a while: one of them renews the lease."""
        if monotonic() >= self._until_s:
            await asyncio.sleep(0)
            self._until_s = monotonic() + _TURN_S


def merged(newer: Append, older: Append | None) -> Append:
    """Return one progress event that leaves the job as the two would, sent one after the other.

    The percentage is the higher one, to which the append script would have raised the newer.
    """
    if older is None or not older.number:
        return newer
    if not newer.number or int(newer.number) < int(older.number):
        return newer._replace(number=older.number)
    return newer
