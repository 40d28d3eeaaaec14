"""What tasks of asyncio's queues do, whatever the queue: but for `current_run`, no word of Jobcast.

``tell`` is the queue's own way to report progress.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from redis.asyncio import Redis

import jobcast
from jobcast.adapters._task import Settings

URL: Final = os.environ["REDIS_URL"]
PATIENCE_S: Final = 60.0
JOBCAST_URL: Final = os.environ["JOBCAST_REDIS_URL"]
_WAIT_S: Final = PATIENCE_S if JOBCAST_URL == URL else 0.2
SETTINGS: Final[Settings] = {"lease_s": 1.0, "block_s": _WAIT_S, "enqueue_s": _WAIT_S}
"""A lost worker is missed soon, and a Redis that does not answer is waited for if it is there."""

Tell = Callable[[int, int, str], Awaitable[object]]
"""Reports that so many are done, of so many, in this step."""


@asynccontextmanager
async def redis() -> AsyncIterator[Any]:
    """Connect to the test's Redis."""
    async with Redis.from_url(URL) as client:
        yield client


async def report(tell: Tell, key: str, pages: int) -> dict[str, int]:
    """Report in the queue's own way."""
    for page in range(1, pages + 1):
        await tell(page, pages, "Reading")
    async with redis() as client:
        await client.set(key, "done")
    return {"pages": pages}


async def report_to_the_run() -> str | None:
    """Report to Jobcast itself."""
    run = jobcast.current_run()
    assert run is not None
    async for _ in run.track(range(3), "Counting", unit="page"):
        await run.log("one more")
    return run.job_id if run.attempt else None


async def fail() -> None:
    """Fail."""
    raise ValueError("no such page")


async def fail_once(key: str) -> str:
    """Fail at the first attempt."""
    async with redis() as client:
        if await client.incr(key) == 1:
            raise OSError("no route")
    return "done"


async def work_on(tell: Tell) -> None:
    """Report until somebody stops it."""
    for _ in range(int(PATIENCE_S / 0.05)):
        await tell(1, 10, "Reading")
        await asyncio.sleep(0.05)


async def say_nothing(key: str) -> str:
    """Say to the test that it has begun, then nothing until somebody stops it; not twice."""
    async with redis() as client:
        if await client.set(key, os.getpid(), nx=True):
            await asyncio.sleep(PATIENCE_S)
    return "done"


async def wait_for(tell: Tell, key: str) -> str:
    """Go on when the test says so."""
    await tell(1, 10, "Waiting")
    async with redis() as client:
        await client.blpop([key], PATIENCE_S)
    await tell(2, 10, "Going on")
    return "done"


async def return_what_json_lacks() -> object:
    """Return what the queue can keep and JSON can't."""
    return {1, 2, 3}
