"""Fixtures of the tests of runs, each of which is run in Redis and in memory."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

import jobcast
from jobcast import Run
from tests.support.stores import InMemory, InRedis, Store


@pytest.fixture(params=["redis", "memory"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """Return where the jobs are; nothing is there yet."""
    if request.param == "memory":
        yield InMemory()
        return
    url = request.getfixturevalue("redis_url")
    async with Redis.from_url(url, decode_responses=True) as client:
        yield InRedis(url, client)


@pytest.fixture
async def jobs(store: Store) -> AsyncIterator[jobcast.Jobs]:
    """Return the worker library, connected; each call of `progress` is written."""
    async with store.connect(progress_per_s=None) as connected:
        yield connected


@pytest.fixture
async def run(jobs: jobcast.Jobs) -> Run:
    """Return a run of the job ``j1``, which is queued."""
    await jobs.create("report", user_id="u1", input={"title": "Grüße"}, job_id="j1")
    return jobs.run("j1")
