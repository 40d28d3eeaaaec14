"""Event loops whose time a slow machine can't upset."""

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Final, ParamSpec

P = ParamSpec("P")

_LOOK_S: Final = 0.01


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


class _Waiting(selectors.DefaultSelector):
    """Takes for gone by what it has waited in vain, and little else."""

    passed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        began = time.monotonic()
        ready = super().select(timeout)
        if ready or timeout is None:
            # It may have come long ago, while the machine had others run.
            self.passed += min(time.monotonic() - began, _LOOK_S)
        else:
            self.passed += timeout
        return ready


class PatientLoop(asyncio.SelectorEventLoop):
    """A loop whose time goes by only while it waits in vain.

    For what talks to real servers, and gives up after a time that a machine may need which others
    use as well, or many scenarios at once.
    """

    def __init__(self) -> None:
        self._waiting = _Waiting()
        super().__init__(self._waiting)

    def time(self) -> float:
        """Return the seconds that have gone by."""
        return self._waiting.passed


def in_patient_time(scenario: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an asynchronous test in a loop of that kind."""

    @wraps(scenario)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=PatientLoop) as runner:
            runner.run(scenario(*args, **kwargs))

    return run
