import asyncio
import queue
from collections.abc import Iterable

import pykka
import pytest

from actors.loop_future import LoopFuture


def future_of(value: int) -> LoopFuture[int]:
    future: LoopFuture[int] = LoopFuture()
    future.set(value)
    return future


def failed(error: Exception) -> LoopFuture[int]:
    future: LoopFuture[int] = LoopFuture()
    future.set_exception((type(error), error, None))
    return future


def test_a_reply_is_there_at_once() -> None:
    assert future_of(5).get() == 5
    assert future_of(5).get(timeout=0) == 5


def test_a_reply_can_be_had_again() -> None:
    future = future_of(5)
    assert (future.get(), future.get()) == (5, 5)


def test_an_exception_is_raised_each_time() -> None:
    future = failed(KeyError("x"))
    for _ in range(2):
        with pytest.raises(KeyError, match="x"):
            future.get()


def test_the_exception_being_handled_is_the_reply() -> None:
    future: LoopFuture[int] = LoopFuture()
    try:
        int("x")
    except ValueError:
        future.set_exception()
    with pytest.raises(ValueError, match="x"):
        future.get()


def test_an_exception_may_be_given_by_its_class_alone() -> None:
    future: LoopFuture[int] = LoopFuture()
    future.set_exception((KeyError, None, None))
    with pytest.raises(KeyError):
        future.get()


@pytest.mark.parametrize("timeout", [0, 0.01])
def test_a_reply_that_does_not_come_in_time_is_a_timeout(timeout: float) -> None:
    with pytest.raises(pykka.Timeout, match=str(timeout)):
        LoopFuture[int]().get(timeout=timeout)


def test_a_reply_that_is_a_timeout_error_is_no_timeout() -> None:
    with pytest.raises(TimeoutError, match="mine"):
        failed(TimeoutError("mine")).get(timeout=1)


@pytest.mark.parametrize("kind", [pykka.ThreadingFuture, LoopFuture])
def test_there_is_one_reply(kind: type[pykka.Future[int]]) -> None:
    future = kind()
    future.set(1)
    with pytest.raises((queue.Full, RuntimeError)):
        future.set(2)
    with pytest.raises((queue.Full, RuntimeError)):
        future.set_exception((KeyError, KeyError(), None))
    with pytest.raises((queue.Full, RuntimeError)):
        future.set_get_hook(lambda _: 3)
    assert future.get() == 1


@pytest.mark.parametrize("kind", [pykka.ThreadingFuture, LoopFuture])
def test_a_hook_makes_the_reply_once(kind: type[pykka.Future[int]]) -> None:
    asked: list[float | None] = []

    def hook(timeout: float | None) -> int:
        asked.append(timeout)
        return 7

    future = kind()
    future.set_get_hook(lambda _: 6)
    future.set_get_hook(hook)
    assert (future.get(timeout=2), future.get()) == (7, 7)
    assert asked == [2]


async def test_a_reply_can_be_awaited_before_it_comes() -> None:
    future: LoopFuture[int] = LoopFuture()
    asyncio.get_running_loop().call_soon(future.set, 5)
    assert await future == 5
    assert await future == 5


async def test_many_may_await_a_reply_and_one_may_give_up() -> None:
    future: LoopFuture[int] = LoopFuture()
    first, second = asyncio.ensure_future(wait(future)), asyncio.ensure_future(wait(future))
    asyncio.get_running_loop().call_soon(first.cancel)
    with pytest.raises(asyncio.CancelledError):
        await first
    future.set(5)
    assert await second == 5


async def wait(future: LoopFuture[int]) -> int:
    return await future


async def test_a_reply_from_another_thread_wakes_the_loop() -> None:
    future: LoopFuture[int] = LoopFuture()
    waiting = asyncio.ensure_future(wait(future))
    await asyncio.to_thread(future.set, 5)
    assert await waiting == 5


async def test_waiting_without_await_on_the_loop_is_refused() -> None:
    future: LoopFuture[int] = LoopFuture()
    with pytest.raises(RuntimeError, match="await"):
        future.get()
    with pytest.raises(pykka.Timeout):
        future.get(timeout=0)
    future.set(5)
    assert future.get() == 5


async def test_what_is_made_of_other_replies_can_be_awaited() -> None:
    first: LoopFuture[int] = LoopFuture()
    second: LoopFuture[int] = LoopFuture()
    asyncio.get_running_loop().call_soon(first.set, 1)
    asyncio.get_running_loop().call_soon(second.set, 2)
    assert await first.join(second) == [1, 2]
    assert await first.map(lambda number: number + 10) == 11
    numbers: LoopFuture[Iterable[int]] = LoopFuture()
    numbers.set([0, 1, 2])
    assert await numbers.filter(bool) == [1, 2]
    assert await numbers.reduce(lambda total, number: total + number) == 3
    with pytest.raises(KeyError):
        await failed(KeyError()).map(lambda number: number)
