import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from demo.checksum.slices import sliced

FOREVER = 1000.0


async def test_what_takes_no_time_is_one_slice() -> None:
    slices = [items async for items in sliced(iter(range(5)), FOREVER, lambda _: False)]
    assert slices == [[0, 1, 2, 3, 4]]


async def test_nothing_is_no_slice() -> None:
    assert [items async for items in sliced(iter(()), FOREVER, lambda _: False)] == []


async def test_a_slice_ends_when_its_time_is_over() -> None:
    slices = [items async for items in sliced(iter(range(3)), 0.0, lambda _: False)]
    assert slices == [[0], [1], [2]]


async def test_a_slice_ends_with_an_item_that_ends_it() -> None:
    slices = [items async for items in sliced(iter(range(5)), FOREVER, lambda item: item % 2 == 1)]
    assert slices == [[0, 1], [2, 3], [4]]


async def test_the_work_is_done_in_a_thread() -> None:
    def names() -> Iterator[str]:
        yield threading.current_thread().name

    [[name]] = [items async for items in sliced(names(), FOREVER, lambda _: False)]
    assert name != threading.current_thread().name


async def test_an_exception_of_the_work_is_the_callers() -> None:
    def failing() -> Iterator[int]:
        yield 1
        raise ValueError("Boom")

    with pytest.raises(ValueError, match="Boom"):
        _ = [items async for items in sliced(failing(), FOREVER, lambda _: False)]


async def test_the_work_stops_when_its_caller_is_cancelled() -> None:
    begun, steps = asyncio.Event(), 0

    def endless() -> Iterator[int]:
        nonlocal steps
        while True:
            time.sleep(0.001)
            steps += 1
            yield steps

    async def work() -> None:
        async for _ in sliced(endless(), 0.02, lambda _: False):
            begun.set()

    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    # The default threads end when they have nothing left to do: this returns if the work stopped.
    await asyncio.get_running_loop().shutdown_default_executor()
