"""Servers that tests start and stop, and waiting for them."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from redis.exceptions import RedisError

_LOOK_SECONDS = 0.01
_ASK_SECONDS = 0.05


class Process(Protocol):
    """A process, as ``subprocess.Popen`` controls it."""

    @property
    def pid(self) -> int:
        """The id of the process."""

    def poll(self) -> int | None:
        """Return its exit code, or None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its exit code; subprocess.TimeoutExpired if that takes too many seconds."""

    def send_signal(self, sig: int, /) -> None:
        """Send it a signal, unless it has ended."""

    def kill(self) -> None:
        """Kill it, unless it has ended."""


class Started(ABC):
    """A server that ``with`` starts and stops."""

    @abstractmethod
    def start(self) -> None:
        """Start it, and wait until it responds."""

    @abstractmethod
    def close(self) -> None:
        """Stop it, even if it has only started in part."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def is_up(process: Process, answers: Callable[[], bool], seconds: float) -> bool:
    """Wait until a process responds; return False if it has ended, or takes too long.

    The time for which the process waited for a CPU does not count.
    """
    deadline = time.monotonic() + seconds
    while not answers():
        if process.poll() is not None or time.monotonic() > deadline + _queued_s(process.pid):
            return False
        time.sleep(_LOOK_SECONDS)
    return True


def _queued_s(pid: int) -> float:
    """Return how long a process has waited for a CPU, as counted by Linux."""
    try:
        _ran_ns, queued_ns, _turns = Path(f"/proc/{pid}/schedstat").read_text().split()
    except OSError:
        return 0
    return int(queued_ns) / 1e9


def until_it_says(condition: Callable[[], bool], seconds: float) -> None:
    """Wait until a condition that queries servers holds; an error of Redis counts as False.

    Time is counted in checks, which take longer on a busy machine, as does what they wait for.

    Raises:
        TimeoutError: it does not hold in time. The last error of Redis is the cause.
    """
    error: Exception | None = None
    for _ in range(int(seconds / _ASK_SECONDS)):
        try:
            if condition():
                return
        except RedisError as unanswered:
            error = unanswered
        time.sleep(_ASK_SECONDS)
    raise TimeoutError(f"not so after {seconds} s: {condition.__doc__ or condition}") from error
