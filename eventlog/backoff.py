"""Back-off."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from eventlog.errors import LogUnavailable

T = TypeVar("T")

_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 2.0


def jittered(pause_s: float) -> float:
    """Return a random 50 to 100 % of a pause."""
    return pause_s * random.uniform(0.5, 1)  # noqa: S311 - spread, not secrecy


async def until_answered(ask: Callable[[], Awaitable[T]]) -> T:
    """Retry a call, with back-off, until Redis is available."""
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            return await ask()
        except LogUnavailable:
            await asyncio.sleep(jittered(pause_s))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
