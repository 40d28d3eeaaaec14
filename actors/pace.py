"""Spreads what comes all at once over turns of the event loop.

An event loop handles whatever has happened before it looks again. If a thousand viewers go within
a millisecond, an event that comes right after them waits for as long as all thousand take.
"""

import asyncio
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar, Self
from weakref import WeakKeyDictionary


class Pace:
    """Does so much of a kind in a turn of an event loop, and the rest in the next ones, in order.

    Attributes:
        most: how much in a turn.
        left: how much may still be done in this one; 0 as long as anything waits.
    """

    most: ClassVar[int]
    _of_loops: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, Any]]

    def __init_subclass__(cls) -> None:
        cls._of_loops = WeakKeyDictionary()

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)  # a strong one would keep it, and with it this, for ever
        self._waiting: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._counting = False
        self.left = self.most

    @classmethod
    def here(cls) -> Self:
        """Return that of the event loop that is running.

        Raises:
            RuntimeError: none is running.
        """
        loop = asyncio.get_running_loop()
        pace: Self | None = cls._of_loops.get(loop)
        if pace is None:
            pace = cls._of_loops[loop] = cls(loop)
        return pace

    def do(self, action: Callable[..., object], *arguments: Any) -> None:  # noqa: ANN401 - the action's
        """Do something now, or after everything that waits already."""
        if self.left:
            self._count()
            action(*arguments)
        else:
            self._waiting.append((action, arguments))

    def _count(self) -> None:
        self.left -= 1
        if not self._counting:
            self._counting = True
            self._turn_soon()

    def _turn(self) -> None:
        """Begin the next turn: the event loop's part, not for callers."""
        waiting, left = self._waiting, self.most
        try:
            while waiting and left:
                left -= 1
                action, arguments = waiting.popleft()
                action(*arguments)
        finally:
            self.left = 0 if waiting else left
            self._counting = left < self.most
            if self._counting:
                self._turn_soon()

    def _turn_soon(self) -> None:
        loop = self._loop()
        if loop is not None:
            loop.call_soon(self._turn)


class Endings(Pace):
    """Viewers whose streams end. Each takes up to half a millisecond in the next few turns."""

    most = 16


class Deliveries(Pace):
    """What of an event's viewers gets it in one go, and what an actor is told of its channel."""

    most = 24


class Pages(Pace):
    """Pages of logs that go to viewers: up to 64 frames each, half a millisecond or more."""

    most = 6
