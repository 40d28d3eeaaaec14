"""Fixtures of the tests on a real Valkey."""

import gc
import warnings
from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis

import jobcast
from eventlog.cluster import Cluster
from eventlog.connection import connect
from tests.support.parts import client_of
from tests.support.valkey import Valkey
from tests.support.valkey_cluster import ValkeyCluster
from worker.registry import Registry


@pytest.fixture(scope="session")
def valkey() -> Iterator[Valkey]:
    """Return a server that no service process looks after, as the one of other tests' is."""
    with Valkey() as server:
        yield server


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Redis]:
    """Return a client as the service has it."""
    connected = client_of(redis_url)
    yield connected
    await connected.aclose()


@pytest.fixture
async def cluster_client(cluster: ValkeyCluster) -> AsyncIterator[Cluster]:
    """Return a client of a Cluster as the service has it."""
    connected = connect(cluster.url)
    assert isinstance(connected, Cluster)
    yield connected
    await connected.nodes.close()
    await connected.close_all()


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
