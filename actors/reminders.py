"""What is to be done later, in the order in which it is due.

A timer for each would be thirty objects for every viewer that goes, and when a crowd has gone, as
many calls in one turn of the event loop some seconds later.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

_AT_ONCE: Final = 50
"""Calls in a turn of the event loop."""

_Due = tuple[float, Callable[..., object], tuple[Any, ...]]


class Reminders:
    """One timer for each delay, however many wait."""

    def __init__(self) -> None:
        self._waiting: dict[float, deque[_Due]] = {}

    def __len__(self) -> int:
        """Count what waits."""
        return sum(map(len, self._waiting.values()))

    def add(self, delay_s: float, call: Callable[..., object], *arguments: Any) -> None:  # noqa: ANN401 - the call's
        """Call something later."""
        waiting = self._waiting.setdefault(delay_s, deque())
        loop = asyncio.get_running_loop()
        due = loop.time() + delay_s
        if not waiting:
            loop.call_at(due, self._fire, delay_s)
        waiting.append((due, call, arguments))

    def _fire(self, delay_s: float) -> None:
        waiting = self._waiting[delay_s]
        loop = asyncio.get_running_loop()
        now, left = loop.time(), _AT_ONCE
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
