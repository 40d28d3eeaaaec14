"""Which actors have messages waiting, and their turns to handle them."""

import asyncio
import threading
import weakref
from collections import deque
from typing import ClassVar, Final, Protocol, Self
from weakref import WeakKeyDictionary

_AT_ONCE: Final = 25
"""Turns in one callback: 1 to 2 ms of work. After a reconnect, every actor has something to do."""


class Handler(Protocol):
    """Something that has work waiting."""

    def take_turn(self) -> None:
        """Do a fair share of it, and ask for another turn if there is more."""


class Turns:
    """The turns of all actors of one event loop: one callback serves all that are due.

    A callback for each actor would cost more than the message that it is for; one for all of
    thousands would hold up everything else.
    """

    _of_loops: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, Self]] = WeakKeyDictionary()

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)  # a strong one would keep it, and with it this, for ever
        self._thread = threading.get_ident()
        self._due: deque[Handler] = deque()
        self._scheduled = False

    @classmethod
    def here(cls) -> Self:
        """Return those of the event loop that is running.

        Raises:
            RuntimeError: none is running.
        """
        loop = asyncio.get_running_loop()
        turns = cls._of_loops.get(loop)
        if turns is None:
            turns = cls._of_loops[loop] = cls(loop)
        return turns

    def ask(self, handler: Handler) -> None:
        """Give a handler a turn soon; from any thread."""
        self._due.append(handler)
        if self._scheduled:
            return
        loop = self._loop()
        if loop is None:
            return
        if threading.get_ident() == self._thread:
            self._scheduled = True
            loop.call_soon(self.run)
        else:
            loop.call_soon_threadsafe(self.run)

    def run(self) -> None:
        """Give turns to those that are due, not to all at once: the event loop's part."""
        self._scheduled = False
        due = self._due
        try:
            for _ in range(min(len(due), _AT_ONCE)):
                due.popleft().take_turn()
        finally:
            if due and not self._scheduled:  # more, or an exception that ends more than an actor
                self._scheduled = True
                asyncio.get_running_loop().call_soon(self.run)
