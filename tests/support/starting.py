"""What a test starts and ends, and waiting for it."""

import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from redis.exceptions import RedisError

_LOOK_SECONDS = 0.01
_ASK_SECONDS = 0.05


class Started(ABC):
    """A server that ``with`` starts and ends."""

    @abstractmethod
    def start(self) -> None:
        """Start it, and return once it answers."""

    @abstractmethod
    def close(self) -> None:
        """End it, however much of it runs."""

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


def is_up(process: subprocess.Popen[bytes], answers: Callable[[], bool], seconds: float) -> bool:
    """Wait until a process answers; say whether it does, or has ended or taken too long.

    The time in which the machine had no processor for it is not its own.
    """
    deadline = time.monotonic() + seconds
    while not answers():
        if process.poll() is not None or time.monotonic() > deadline + _queued_s(process.pid):
            return False
        time.sleep(_LOOK_SECONDS)
    return True


def _queued_s(pid: int) -> float:
    """Return how long a process has waited for a processor, as Linux counts it."""
    try:
        _ran_ns, queued_ns, _turns = Path(f"/proc/{pid}/schedstat").read_text().split()
    except OSError:
        return 0
    return int(queued_ns) / 1e9


def until_it_says(condition: Callable[[], bool], seconds: float) -> None:
    """Wait until what servers say of themselves holds; no answer counts as no.

    Time is counted in looks: on a busy machine they take longer, as does what they wait for.
    TimeoutError, with the last thing that went wrong as its cause, if it does not in time.
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
