"""A task that reports progress at a steady rate, and measures its own process."""

import time
from collections.abc import Callable
from typing import Final

PER_S: Final = 20


def report_often(update: Callable[[int, int], None], seconds: float) -> float:
    """Report twenty times a second; return the CPU of all threads, in percent of a core.

    Args:
        update: reports progress; takes how much is done, and the total.
        seconds: how long.
    """
    total = max(1, round(seconds * PER_S))
    began, cpu_s = time.monotonic(), time.process_time()
    for current in range(1, total + 1):
        update(current, total)
        time.sleep(max(0.0, began + current / PER_S - time.monotonic()))
    return 100 * (time.process_time() - cpu_s) / (time.monotonic() - began)
