"""The two seconds that callers are promised, exactly: no machine is slow in virtual time."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from app.deadline import with_deadline
from app.errors import ServiceUnavailable
from eventlog.errors import LogUnavailable
from eventlog.redis_calls import available
from tests.support.clock import in_virtual_time
from tests.support.waiting import after

PROMISED_S = 2.0
MARGIN_S = 0.2
"""What is left of it for the way there and back."""


async def asked() -> None:
    """Ask a Redis that says nothing."""
    async with available():
        await asyncio.Event().wait()


async def asked_again_and_again() -> None:
    """Ask a Redis that says nothing, and take no answer for none."""
    while True:
        try:
            await asked()
        except LogUnavailable:
            continue


async def nothing_comes() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("handler", [asked, asked_again_and_again, nothing_comes])
def test_a_caller_is_told_within_two_seconds_whatever_redis_does(
    handler: Callable[[], Awaitable[None]],
) -> None:
    async def scenario() -> None:
        now = asyncio.get_running_loop().time
        began = now()
        with pytest.raises((ServiceUnavailable, LogUnavailable)):
            await with_deadline(handler)()
        assert 1 < now() - began <= PROMISED_S - MARGIN_S

    in_virtual_time(scenario())


def test_a_question_gives_up_before_its_caller_is_given_up() -> None:
    async def scenario() -> None:
        now = asyncio.get_running_loop().time
        began = now()
        with pytest.raises(LogUnavailable):
            await with_deadline(asked)()
        assert now() - began == pytest.approx(1.4)

    in_virtual_time(scenario())


def test_an_answer_in_time_is_given_and_nothing_is_cancelled_later() -> None:
    async def answer() -> str:
        async with available():
            await after(1.3)
        await after(0.4)
        return "answer"

    async def scenario() -> None:
        assert await with_deadline(answer)() == "answer"
        await after(10)

    in_virtual_time(scenario())


def test_who_is_cancelled_by_others_is_cancelled() -> None:
    async def scenario() -> None:
        task = asyncio.ensure_future(with_deadline(nothing_comes)())
        await after(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    in_virtual_time(scenario())


@pytest.mark.parametrize("error", [RedisConnectionError, OSError, TimeoutError])
async def test_each_way_of_being_away_is_one(error: type[Exception]) -> None:
    async def fail() -> None:
        async with available():
            raise error

    with pytest.raises(LogUnavailable):
        await with_deadline(fail)()
