"""Garbage-collection policy: the young generation often, everything only while that is little.

By default the collector walks over everything again and again: 0.2 s with 1,000 viewers, in which
no event moves. Viewers leave no cyclic garbage (``app.server.repairs``), so it would find
nothing.
"""

import asyncio
import gc
import sys
from typing import Final

YOUNG: Final = 5_000
"""Objects that have come and not gone when the young generation is collected: 0.5 to 2 ms."""

_NEVER: Final = 2**30
_TICK_S: Final = 0.05
"""The young generation is collected this often in any case. It grows without being counted while
as many old objects go as young ones come."""

_TICKS: Final = 1200
"""Between two collections of everything, if there are any: a minute."""

_LITTLE: Final = 50_000
"""Blocks of memory in use, without those of the start, up to which everything is collected: 5 ms.
That is for cycles that nobody has foreseen, and holds up to some 200 viewers."""


class Garbage:
    """Sets and follows the policy of this process."""

    def __init__(self) -> None:
        self._thresholds = gc.get_threshold()
        self._loaded = 0

    def begin(self) -> None:
        """Set the policy. What the start has loaded stays, so no collection looks at it again."""
        gc.freeze()
        gc.set_threshold(YOUNG, _NEVER, _NEVER)
        self._loaded = sys.getallocatedblocks()

    async def run(self) -> None:
        """Collect what Python does not collect by itself, until cancelled."""
        while True:
            for _ in range(_TICKS):
                await asyncio.sleep(_TICK_S)
                _collect(0)
            if sys.getallocatedblocks() - self._loaded <= _LITTLE:
                _collect(2)

    def end(self) -> None:
        """Leave the process as it was."""
        gc.set_threshold(*self._thresholds)
        gc.unfreeze()


def _collect(generation: int) -> None:
    if gc.isenabled():  # who has switched it off means it
        gc.collect(generation)
