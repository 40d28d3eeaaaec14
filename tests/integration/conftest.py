"""Fixtures of the tests on a real Valkey."""

import gc
import warnings
from collections.abc import AsyncIterator, Iterator

import pytest

import jobcast
from eventlog.redis_calls import connect
from jobcast.redis.caller import Caller
from tests.support.valkey import Valkey
from tests.support.valkey_cluster import ValkeyCluster
from worker.registry import Registry


@pytest.fixture(scope="session")
def valkey() -> Iterator[Valkey]:
    """Return a server that no service process looks after, as the one of other tests' is."""
    with Valkey() as server:
        yield server


@pytest.fixture
async def caller(redis_url: str) -> AsyncIterator[Caller]:
    """Return what the service calls Redis by."""
    connected = connect(redis_url)
    yield connected
    await connected.aclose()


@pytest.fixture
async def cluster_caller(cluster: ValkeyCluster) -> AsyncIterator[Caller]:
    """Return what the service calls a Cluster by."""
    connected = connect(cluster.url)
    yield connected
    await connected.aclose()


@pytest.fixture
def registry() -> Registry:
    """Return where a test registers the functions of its worker."""
    return Registry()


@pytest.fixture
async def job_id(jobs: jobcast.Jobs) -> str:
    """Return the id of a queued job of the type ``report``."""
    return await jobs.create("report", user_id="u1", input={"pages": 3}, job_id="j1")


@pytest.fixture(autouse=True)
def _without_what_bullmq_leaves_open(request: pytest.FixtureRequest) -> Iterator[None]:
    """Collect the connections that BullMQ may not have closed, or a later test is blamed for them.

    On Python 3.11 its workers can lose the cancellation by which they are closed.
    """
    yield
    if "worker" in request.module.__name__:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
