"""Fixtures of the tests of queues: a Redis for each module, and what is asked of it."""

from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from redis import Redis

import jobcast
import jobcast.sync
from tests.queues.log import Log
from tests.support.valkey import Valkey


@pytest.fixture(scope="module")
def server() -> Iterator[Valkey]:
    """Return the Redis of a queue and of Jobcast."""
    with Valkey() as running:
        yield running


@pytest.fixture
def redis(server: Valkey) -> Iterator[Redis]:
    """Return a client of it."""
    with Redis.from_url(server.url) as client:
        yield client


@pytest.fixture
def log(server: Valkey) -> Iterator[Log]:
    """Return what became of the jobs."""
    with server.client() as client:
        yield Log(client)


@pytest.fixture
async def jobs(server: Valkey) -> AsyncIterator[jobcast.Jobs]:
    """Return the library, connected."""
    async with jobcast.connect(server.url) as connected:
        yield connected


@pytest.fixture
def owner() -> Iterator[None]:
    """Own what a test enqueues."""
    with jobcast.owner(user_id=7):
        yield


@pytest.fixture
def cancel(server: Valkey) -> Iterator[Callable[[str], None]]:
    """Return how the owner of a job cancels it."""
    with jobcast.sync.connect(server.url) as jobs:
        yield jobs.cancel
