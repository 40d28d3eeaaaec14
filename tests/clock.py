"""An event loop whose time goes by as soon as nothing else is left to do."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any


class _Jumping(selectors.DefaultSelector):
    """Looks once, and takes the time it was to wait for as gone by."""

    passed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("nothing will ever happen again")
        if not ready and timeout is not None:
            self.passed += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop that begins at some second and never waits; without threads, subprocesses, signals."""

    def __init__(self, begins_at: float = 1000.0) -> None:
        self._begins_at = begins_at
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Return the seconds that have gone by."""
        return self._begins_at + self._jumping.passed


def in_virtual_time(scenario: Coroutine[Any, Any, None], begins_at: float = 1000.0) -> None:
    """Run a scenario to its end, however long it lasts, at once."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(begins_at)) as runner:
        runner.run(scenario)
