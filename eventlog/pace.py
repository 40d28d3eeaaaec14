"""Spreading of simultaneous work over iterations of the event loop.

An event loop handles all ready callbacks before it polls again. If a thousand viewers disconnect
within a millisecond, an event right after that is delayed until all of them are handled.

The work of an iteration (a turn) is bounded by a number, which shrinks while turns take long: on a
slow or busy machine.
"""

import asyncio
import weakref
from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import Any, ClassVar, Final, Self
from weakref import WeakKeyDictionary

_LONG_S: Final = 0.008
"""Duration of a turn above which the next one does less."""

_SHORT_S: Final = 0.004
_LEAST: Final = 2


class Pace:
    """Bounds one kind of work in a turn of an event loop; defers the rest, in order.

    Attributes:
        most: maximum of actions in a turn.
        left: actions left in this turn; 0 while any are deferred.
    """

    most: ClassVar[int]
    _of_loops: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, Any]]

    def __init_subclass__(cls) -> None:
        cls._of_loops = WeakKeyDictionary()

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)  # a strong reference would keep both forever
        self._waiting: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._share = self.left = self.most
        self._counting = False
        self._began = 0.0

    @classmethod
    def here(cls) -> Self:
        """Return the pace of the running event loop.

        Raises:
            RuntimeError: there is none.
        """
        loop = asyncio.get_running_loop()
        pace: Self | None = cls._of_loops.get(loop)
        if pace is None:
            pace = cls._of_loops[loop] = cls(loop)
        return pace

    def do(self, action: Callable[..., object], *arguments: Any) -> None:  # noqa: ANN401 - the action's
        """Do something now, or after all deferred actions."""
        if self.left:
            self.count()
            action(*arguments)
        else:
            self._waiting.append((action, arguments))

    async def turn(self) -> None:
        """Wait until an action may be done, and count it."""
        may_act = asyncio.get_running_loop().create_future()
        self.do(_resolve, may_act)
        await may_act

    def count(self) -> None:
        """Count an action that the caller does itself, having checked ``left``."""
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
        """Begin the next turn; called by the event loop."""
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
        """Adapt the share of the next turn to the duration of a full one."""
        if took_s > _LONG_S:
            self._share = max(min(_LEAST, self.most), self._share * 3 // 4)
        elif took_s < _SHORT_S:
            self._share = min(self.most, self._share + 2)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():  # it may be cancelled
        future.set_result(None)


class Arrivals(Pace):
    """Connects, requests and disconnects: each takes up to 0.5 ms in the next few turns."""

    most = 8


class Deliveries(Pace):
    """Deliveries of events to parts of the viewers, and of messages to actors."""

    most = 24


class Pages(Pace):
    """Pages of logs for viewers, and groups of jobs for streams of many: 0.5 ms or more each."""

    most = 6
