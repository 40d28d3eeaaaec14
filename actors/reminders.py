"""Delayed calls that share timers.

A timer each would be thirty objects for every viewer that disconnects, and after a crowd has
disconnected, as many calls in one iteration of the event loop.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

_BATCH: Final = 50
"""Calls before yielding to the event loop."""

_Reminder = tuple[float, Callable[..., object], tuple[Any, ...]]


class Reminders:
    """Delayed calls, with one timer for each length of delay."""

    def __init__(self) -> None:
        self._waiting: dict[float, deque[_Reminder]] = {}

    def __len__(self) -> int:
        """Count the pending calls."""
        return sum(map(len, self._waiting.values()))

    def add(self, delay_s: float, call: Callable[..., object], *arguments: Any) -> None:  # noqa: ANN401 - the call's
        """Call something after a delay."""
        waiting = self._waiting.setdefault(delay_s, deque())
        loop = asyncio.get_running_loop()
        due = loop.time() + delay_s
        if not waiting:
            loop.call_at(due, self._fire, delay_s)
        waiting.append((due, call, arguments))

    def _fire(self, delay_s: float) -> None:
        waiting = self._waiting[delay_s]
        loop = asyncio.get_running_loop()
        now, left = loop.time(), _BATCH
        while waiting and waiting[0][0] <= now and left:
            left -= 1
            _, call, arguments = waiting.popleft()
            call(*arguments)
        if not waiting:
            del self._waiting[delay_s]
        elif left:
            loop.call_at(waiting[0][0], self._fire, delay_s)
        else:
            loop.call_soon(self._fire, delay_s)
