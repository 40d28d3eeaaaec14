"""Counts of events in each turn of the event loop, independent of time."""

import asyncio
from collections import Counter


class LoopTurns:
    """Turns of the running event loop, and the number of calls of ``note`` in each."""

    def __init__(self) -> None:
        self._number = 0
        self._counts: Counter[int] = Counter()
        self._begin()

    def note(self, *_: object) -> None:
        """Note that something happened."""
        self._counts[self._number] += 1
        if not self._counting:
            self._begin()

    def _begin(self) -> None:
        self._counting = True
        asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        self._counting = self._counts[self._number] > 0
        if self._counting:  # runs first in each turn, until a turn without a note
            self._begin()
        self._number += 1

    @property
    def total(self) -> int:
        """Number of notes."""
        return self._counts.total()

    @property
    def most(self) -> int:
        """Largest number of notes in one turn."""
        return max(self._counts.values(), default=0)
