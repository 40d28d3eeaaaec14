"""Waiting for what must come to be, and making things happen at odd moments."""

import asyncio
import random
from collections.abc import Awaitable, Callable

PATIENCE_SECONDS = 60.0
"""When a test gives up on what has to come. It tries no promise: that is for virtual time."""

SLACK_SECONDS = 5.0
"""What a machine that others use may add to a time that a client sees. Exact bounds are tried where
no machine is slow, in virtual time (tests/support/clock.py)."""

_PAUSE_SECONDS = 0.02


async def eventually(
    condition: Callable[[], Awaitable[bool]], within_s: float = PATIENCE_SECONDS, what: str = ""
) -> None:
    """Wait until a condition holds; TimeoutError, which says what, if it does not in time.

    Time is counted in looks: on a busy machine they take longer, as does what they wait for.
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
    """Wait until a condition holds that this process itself brings about."""

    async def holds() -> bool:
        return condition()

    await eventually(holds, within_s, what or _name(condition))


def _name(condition: Callable[[], object]) -> str:
    return str(getattr(condition, "__qualname__", condition))


async def after(seconds: float) -> None:
    """Let time go by that is itself what is tried: the length of an outage or of a visit."""
    passed = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, passed.set)
    await passed.wait()


async def sometime_within(seconds: float) -> None:
    """Let a random time go by: one of the moments at which two things may meet."""
    await after(random.uniform(0, seconds))  # noqa: S311 - chance, not secrecy
