"""Waiting for conditions, and for random times."""

import asyncio
import random
from collections.abc import Awaitable, Callable

PATIENCE_SECONDS = 60.0
"""Time after which a test gives up waiting. It is no promised bound: virtual time tests those."""

SLACK_SECONDS = 5.0
"""Delay that a busy machine may add to the times that a client measures. Exact bounds are tested in
virtual time (tests/support/clock.py)."""

_PAUSE_SECONDS = 0.02


async def eventually(
    condition: Callable[[], Awaitable[bool]], within_s: float = PATIENCE_SECONDS, what: str = ""
) -> None:
    """Wait until a condition holds.

    Time is counted in checks, which take longer on a busy machine, as does what they wait for.

    Raises:
        TimeoutError: it does not hold in time; the message has ``what``, or the condition's name.
    """
    for _ in range(int(within_s / _PAUSE_SECONDS)):
        if await condition():
            return
        await asyncio.sleep(_PAUSE_SECONDS)
    if not await condition():
        raise TimeoutError(f"not so after {within_s:g} s: {what or _name(condition)}")


async def until(
    condition: Callable[[], bool], within_s: float = PATIENCE_SECONDS, what: str = ""
) -> None:
    """Wait until a synchronous condition holds, as ``eventually`` does."""

    async def holds() -> bool:
        return condition()

    await eventually(holds, within_s, what or _name(condition))


def _name(condition: Callable[[], object]) -> str:
    return str(getattr(condition, "__qualname__", condition))


async def after(seconds: float) -> None:
    """Sleep, where the duration itself is tested: of an outage or of a visit."""
    passed = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, passed.set)
    await passed.wait()


async def sometime_within(seconds: float) -> None:
    """Sleep for a random time, to vary the moment at which two events coincide."""
    await after(random.uniform(0, seconds))  # noqa: S311 - chance, not secrecy
