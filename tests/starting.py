"""Waiting for processes that a test has started."""

import subprocess
import time
from collections.abc import Callable

from redis.exceptions import RedisError

_LOOK_SECONDS = 0.01
_ASK_SECONDS = 0.05


def is_up(process: subprocess.Popen[bytes], answers: Callable[[], bool], seconds: float) -> bool:
    """Wait until a process answers; say whether it does, or has ended or taken too long."""
    deadline = time.monotonic() + seconds
    while not answers():
        if process.poll() is not None or time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_SECONDS)
    return True


def until_it_says(condition: Callable[[], bool], seconds: float) -> None:
    """Wait until what servers say of themselves holds; no answer counts as no.

    TimeoutError, with the last thing that went wrong as its cause, if it does not in time.
    """
    deadline = time.monotonic() + seconds
    error: Exception | None = None
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except RedisError as unanswered:
            error = unanswered
        time.sleep(_ASK_SECONDS)
    raise TimeoutError(f"not so after {seconds} s: {condition.__doc__ or condition}") from error
