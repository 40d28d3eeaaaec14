"""Spreads what comes all at once over turns of the event loop.

An event loop handles whatever has happened before it looks again. If a thousand viewers go within
a millisecond, an event that comes right after them waits for as long as all thousand take.

How much is done in a turn is bounded by a number, and less while turns take long: one machine is
slower than another, or has others to serve.
"""

import asyncio
import weakref
from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import Any, ClassVar, Final, Self
from weakref import WeakKeyDictionary

_LONG_S: Final = 0.008
"""What a turn of the event loop may take before less is done in the next one."""

_SHORT_S: Final = 0.004
_LEAST: Final = 2


class Pace:
    """Does so much of a kind in a turn of an event loop, and the rest in the next ones, in order.

    Attributes:
        most: how much in a turn at the most.
        left: how much may still be done in this one; 0 as long as anything waits.
    """

    most: ClassVar[int]
    _of_loops: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, Any]]

    def __init_subclass__(cls) -> None:
        cls._of_loops = WeakKeyDictionary()

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)  # a strong one would keep it, and with it this, for ever
        self._waiting: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._share = self.left = self.most
        self._counting = False
        self._began = 0.0

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
            self.count()
            action(*arguments)
        else:
            self._waiting.append((action, arguments))

    def count(self) -> None:
        """Count something that its caller does, who has seen that some is ``left``."""
        self.left -= 1
        if not self._counting:
            self._count_turn(perf_counter())

    def _count_turn(self, began: float) -> None:
        loop = self._loop()
        if loop is not None:
            self._counting = True
            self._began = began
            loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Begin the next turn: the event loop's part, not for callers."""
        self._counting = False
        now = perf_counter()
        if not self.left:
            self._adapt(now - self._began)
        waiting, left = self._waiting, self._share
        try:
            while waiting and left:
                left -= 1
                action, arguments = waiting.popleft()
                action(*arguments)
        finally:
            self.left = 0 if waiting else left
            if left < self._share:
                self._count_turn(now)

    def _adapt(self, took_s: float) -> None:
        """Take what a full turn has taken as the measure of the next."""
        if took_s > _LONG_S:
            self._share = max(min(_LEAST, self.most), self._share * 3 // 4)
        elif took_s < _SHORT_S:
            self._share = min(self.most, self._share + 2)


class Comings(Pace):
    """Viewers that come, ask and go. Each takes up to half a millisecond in the next few turns."""

    most = 8


class Deliveries(Pace):
    """What of an event's viewers gets it in one go, and what an actor is told of its channel."""

    most = 24


class Pages(Pace):
    """Pages of logs that go to viewers: up to 64 frames each, half a millisecond or more."""

    most = 6
