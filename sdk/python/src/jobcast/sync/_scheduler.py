"""A daemon thread that runs tasks when due: it renews leases, retries events, sends progress."""

import heapq
import itertools
import logging
import threading
from collections.abc import Callable
from time import monotonic
from typing import Final

LINGER_S: Final = 5.0
"""Seconds that the thread waits for another task before it ends."""

_log: Final = logging.getLogger("jobcast")

Task = Callable[[], float | None]
"""Does its work and returns in how many seconds it is due again; None means never."""


class Scheduler:
    """Runs tasks when they are due, one after another, in a thread that the first one starts.

    Tasks must not raise. As a daemon, the thread does not keep a process from ending.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.forget()

    def forget(self) -> None:
        """Drop all tasks and the thread, which does not exist in a forked process."""
        self._due: list[tuple[float, int, Task]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def after(self, delay_s: float, task: Task) -> None:
        """Run a task in ``delay_s`` seconds, or later if no thread can be started now."""
        with self._changed:
            self._is_closed = False
            heapq.heappush(self._due, (monotonic() + delay_s, next(self._numbers), task))
            if self._thread is None:
                self._start()
            self._changed.notify_all()

    def _start(self) -> None:
        """Start the thread; if there can be none now, the next task tries again."""
        thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # too many threads, or the interpreter is shutting down
            _log.warning("%s: no thread in the background: %s", self._name, error)
        else:
            self._thread = thread

    def close(self) -> None:
        """Drop all tasks, and end the thread after the task that it is running."""
        with self._changed:
            self._is_closed = True
            self._due.clear()
            self._changed.notify_all()

    def _run(self) -> None:
        while (task := self._next()) is not None:
            try:
                delay_s = task()
            except Exception:  # noqa: BLE001 - the other tasks must continue
                _log.exception("a task in the background failed")
                continue
            if delay_s is not None:
                with self._changed:
                    if not self._is_closed:
                        due = monotonic() + delay_s
                        heapq.heappush(self._due, (due, next(self._numbers), task))

    def _next(self) -> Task | None:
        """Wait for the next task to be due; return None if the thread is to end."""
        with self._changed:
            while True:
                if not self._due and not self._is_closed:
                    self._changed.wait_for(lambda: self._due or self._is_closed, LINGER_S)
                if self._is_closed or not self._due:
                    # A later task starts another thread.
                    self._thread = None
                    return None
                left_s = self._due[0][0] - monotonic()
                if left_s <= 0:
                    return heapq.heappop(self._due)[2]
                self._changed.wait(left_s)
