"""Event loops whose clocks don't depend on the speed of the machine."""

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Final, ParamSpec

P = ParamSpec("P")

_LOOK_S: Final = 0.01


class _Jumping(selectors.DefaultSelector):
    """Polls once; if nothing is ready, its clock jumps ahead by the timeout."""

    passed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("nothing will ever happen again")
        if not ready and timeout is not None:
            self.passed += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose clock jumps instead of waiting; not for threads, subprocesses or signals.

    Args:
        begins_at: first time of the clock, in seconds.
    """

    def __init__(self, begins_at: float = 1000.0) -> None:
        self._begins_at = begins_at
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._begins_at + self._jumping.passed


def in_virtual_time(scenario: Coroutine[Any, Any, None], begins_at: float = 1000.0) -> None:
    """Run a scenario in virtual time: however long it lasts, it takes no real time."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(begins_at)) as runner:
        runner.run(scenario)


class _Waiting(selectors.DefaultSelector):
    """Its clock advances by elapsed timeouts, and by at most ``_LOOK_S`` for each other wait."""

    passed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        began = time.monotonic()
        ready = super().select(timeout)
        if ready or timeout is None:
            # It may have been ready long ago, while the machine ran other processes.
            self.passed += min(time.monotonic() - began, _LOOK_S)
        else:
            self.passed += timeout
        return ready


class PatientLoop(asyncio.SelectorEventLoop):
    """A loop whose clock advances only while it waits and nothing is ready.

    For code that talks to real servers with a timeout, which a busy machine could exceed.
    """

    def __init__(self) -> None:
        self._waiting = _Waiting()
        super().__init__(self._waiting)

    def time(self) -> float:
        """Return the seconds that the loop has waited."""
        return self._waiting.passed


def in_patient_time(scenario: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an asynchronous test in a ``PatientLoop``."""

    @wraps(scenario)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=PatientLoop) as runner:
            runner.run(scenario(*args, **kwargs))

    return run
