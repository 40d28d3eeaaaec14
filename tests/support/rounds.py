"""Counts what happens in a turn of the event loop, whatever the time."""

import asyncio
from collections import Counter


class Rounds:
    """Turns of the running event loop, and how often something was noted in each."""

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
        if self._counting:  # so that it comes first in each turn until one is quiet
            self._begin()
        self._number += 1

    @property
    def total(self) -> int:
        """How often something was noted."""
        return self._counts.total()

    @property
    def most(self) -> int:
        """How often at the most in a turn."""
        return max(self._counts.values(), default=0)
