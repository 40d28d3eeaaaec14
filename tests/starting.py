"""Waiting for a process that a test has started."""

import subprocess
import time
from collections.abc import Callable

_LOOK_SECONDS = 0.01


def is_up(process: subprocess.Popen[bytes], answers: Callable[[], bool], seconds: float) -> bool:
    """Wait until a process answers; say whether it does, or has ended or taken too long."""
    deadline = time.monotonic() + seconds
    while not answers():
        if process.poll() is not None or time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_SECONDS)
    return True
