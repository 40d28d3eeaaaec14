"""A worker within the test's process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis

from tests.support.waiting import PATIENCE_SECONDS
from worker.registry import Registry
from worker.service import Worker
from worker.settings import Settings


@asynccontextmanager
async def working(
    url: str, registry: Registry, *, grace_s: float = 0, lock_s: float = 15, concurrency: int = 4
) -> AsyncIterator[Worker]:
    """Serve the queue in this process for the length of the block."""
    settings = Settings(redis_url=url, grace_s=grace_s, concurrency=concurrency)
    worker = Worker(settings, registry, lock_s=lock_s)
    running = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        if not worker._stopping.is_set():
            worker.stop()
        await running


async def is_idle(redis: Redis) -> bool:
    """Return whether the queue has no waiting, delayed or active entry."""
    return not await redis.exists(
        "bull:jobcast:wait", "bull:jobcast:active", "bull:jobcast:delayed"
    )


async def until_idle(redis: Redis) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await is_idle(redis):  # noqa: ASYNC110 - the condition is in Redis
            await asyncio.sleep(0.01)
