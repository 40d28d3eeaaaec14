"""Answers in time."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Final, ParamSpec, TypeVar

from app.errors import ServiceUnavailable

P = ParamSpec("P")
T = TypeVar("T")

ANSWER_S: Final = 1.8
"""How long an answer may take when Redis does not: callers are promised 2 s."""


def in_time(handler: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """Answer 503 when a handler takes longer than callers were promised."""

    @wraps(handler)
    async def bounded(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            async with asyncio.timeout(ANSWER_S):
                return await handler(*args, **kwargs)
        except TimeoutError:
            raise ServiceUnavailable from None

    return bounded
