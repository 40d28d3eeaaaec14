"""Runs a blocking iterator in a thread, in slices of time."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


async def sliced(
    items: Iterator[Item], seconds: float, ends_slice: Callable[[Item], bool]
) -> AsyncIterator[list[Item]]:
    """Run an iterator in a thread and yield its items in lists.

    A list ends after ``seconds``, or with an item for which ``ends_slice`` is true. The iterator
    runs only while the next list is awaited.
    """
    while True:
        taken, is_exhausted = await asyncio.to_thread(_take, items, seconds, ends_slice)
        if taken:
            yield taken
        if is_exhausted:
            return


def _take(
    items: Iterator[Item], seconds: float, ends_slice: Callable[[Item], bool]
) -> tuple[list[Item], bool]:
    end = time.monotonic() + seconds
    taken: list[Item] = []
    for item in items:
        taken.append(item)
        if ends_slice(item) or time.monotonic() >= end:
            return taken, False
    return taken, True
