"""When Python looks for cyclic garbage: among what is young, seldom among all, never in a rush.

By default the collector walks over all that a crowd of viewers brought, again for every few
thousand that come: pauses of 0.2 s for 5,000 of them, and a seventh of the cost of their arrival.
What they bring stays, so there is nothing to be found.
"""

import asyncio
import gc
import time
from collections.abc import Callable
from typing import Final, Literal

_YOUNG: Final = 20_000
"""Objects that have come and not gone before the young are looked at: a pause of some 7 ms."""

_NEVER: Final = 2**30
_TICK_S: Final = 5.0
_CALM: Final = 2
"""Looks at the young within a tick, at the most, that are no rush."""

_ENOUGH: Final = 10
"""Looks at the young after which looking at all is worth while: 200,000 objects stayed."""

_RUSH: Final = 50
"""Viewers that came since the last look at the young, from which on it is spared: some 7,000 of
its 20,000 objects are theirs."""

_TOO_MANY: Final = 300
"""As many, after which a rush is no reason to wait."""

_SHARE: Final = 1000
"""All are looked at for one in so many parts of the time at the most."""


class Garbage:
    """Looks after the collector of a process.

    Args:
        viewers: how many have come so far.
    """

    def __init__(self, viewers: Callable[[], int]) -> None:
        self._viewers = viewers
        self._came = 0
        self._stayed = 0
        self._lately = 0
        self._next = 0.0

    async def run(self) -> None:
        """Look after it until cancelled, and leave it as it was."""
        before = gc.get_threshold()
        gc.collect()
        gc.freeze()
        gc.set_threshold(_YOUNG, _NEVER, _NEVER)
        gc.callbacks.append(self._note)
        try:
            while True:
                await asyncio.sleep(_TICK_S)
                self.look_if_due(time.monotonic())
        finally:
            gc.callbacks.remove(self._note)
            gc.set_threshold(*before)
            gc.unfreeze()

    def look_if_due(self, now: float) -> None:
        """Look at all if much has stayed since the last time, and this is no rush."""
        calm, self._lately = self._lately <= _CALM, 0
        if now < self._next or self._stayed < (_ENOUGH if calm else _TOO_MANY):
            return
        gc.unfreeze()
        gc.collect()
        self._next = now + _SHARE * (time.monotonic() - now)

    def _note(self, phase: Literal["start", "stop"], info: dict[str, int]) -> None:
        """Learn that the collector begins, or has ended, a look."""
        if phase == "start" and info["generation"] == 0:
            came, self._came = self._viewers() - self._came, self._viewers()
            if came >= _RUSH:
                gc.freeze()  # leaves nothing to look at; the next look at all sees it again
        elif phase == "stop" and info["generation"] == 0:
            self._stayed += 1
            self._lately += 1
        elif phase == "stop":
            self._stayed = 0
