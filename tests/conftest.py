"""Fixtures for every test: a real Valkey, empty for each test that asks for its address."""

import gc
import signal
import threading
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import settings
from redis.asyncio import Redis

import jobcast
from jobcast.sync._scheduler import Scheduler
from tests.support.sentinels import SentinelSet
from tests.support.service import Service
from tests.support.tls import Tls
from tests.support.valkey import Valkey
from tests.support.valkey_cluster import ValkeyCluster

pytest_plugins = ["tests.support.skips"]

# A shell ignores Ctrl-C for what it runs in the background, and children inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A machine that others use as well is slow at times: an example may take as long as it takes.
settings.register_profile("suite", deadline=None, max_examples=50)
settings.load_profile("suite")


@pytest.fixture(scope="module", autouse=True)
def _garbage_is_that_of_the_module() -> None:
    """Have the collector look only at what the tests of this module make.

    All modules together hold half a million objects: a full collection of them takes 0.3 s.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def _nothing_is_repeated_after_the_module() -> Iterator[None]:
    """End the threads that write the ends of runs to a Redis which stays away, as they should.

    What they leave for the garbage collector would be found by tests that look for it.
    """
    yield
    if any(thread.name == "jobcast-events" for thread in threading.enumerate()):
        for each in gc.get_objects():
            if type(each) is Scheduler:
                each.close()


@pytest.fixture(scope="session")
def valkey() -> Iterator[Valkey]:
    """Return one server for the whole run; a test that stops or freezes a server takes its own."""
    with Valkey() as server:
        yield server


@pytest.fixture
def redis_url(valkey: Valkey) -> str:
    """Return the address of the server, which has no keys at all."""
    valkey.flush()
    return valkey.url


@pytest.fixture
async def redis_client(redis_url: str) -> AsyncIterator[Redis]:
    """Return a plain client, which decodes text."""
    async with Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture
async def jobs(redis_url: str) -> AsyncIterator[jobcast.Jobs]:
    """Return the worker library, connected; each call of `progress` is written."""
    async with jobcast.connect(redis_url, progress_per_s=None) as connected:
        yield connected


@pytest.fixture(scope="session")
def shared_cluster() -> Iterator[ValkeyCluster]:
    """Return one Cluster for the whole run."""
    with ValkeyCluster() as running:
        yield running


@pytest.fixture
def cluster(shared_cluster: ValkeyCluster) -> ValkeyCluster:
    """Return a whole and empty Cluster, whatever an earlier test has done to it."""
    shared_cluster.restart()
    shared_cluster.flush()
    return shared_cluster


@pytest.fixture(scope="session")
def shared_sentinels() -> Iterator[SentinelSet]:
    """Return one set of Sentinels and what they watch, for the whole run."""
    with SentinelSet() as running:
        yield running


@pytest.fixture
def sentinels(shared_sentinels: SentinelSet) -> Iterator[SentinelSet]:
    """Return Sentinels that watch a primary without keys, whatever a test has done before."""
    shared_sentinels.restart()
    shared_sentinels.flush()
    yield shared_sentinels
    shared_sentinels.rest()


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """Return the certificates of servers and clients."""
    return Tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def shared_tls_redis(tls: Tls) -> Iterator[Valkey]:
    """Return one server that speaks TLS, for the whole run."""
    with Valkey(tls=tls) as running:
        yield running


@pytest.fixture
def tls_redis(shared_tls_redis: Valkey) -> Valkey:
    """Return a server without keys that speaks TLS."""
    shared_tls_redis.flush()
    return shared_tls_redis


@pytest.fixture(scope="session")
def shared_tls_cluster(tls: Tls) -> Iterator[ValkeyCluster]:
    """Return one Cluster that speaks TLS, for the whole run."""
    with ValkeyCluster(tls) as running:
        yield running


@pytest.fixture
def tls_cluster(shared_tls_cluster: ValkeyCluster) -> ValkeyCluster:
    """Return a whole and empty Cluster that speaks TLS."""
    shared_tls_cluster.restart()
    shared_tls_cluster.flush()
    return shared_tls_cluster


@pytest.fixture(scope="session")
def shared_tls_sentinels(tls: Tls) -> Iterator[SentinelSet]:
    """Return one set of Sentinels and what they watch, for the whole run; all speak TLS."""
    with SentinelSet(tls) as running:
        yield running


@pytest.fixture
def tls_sentinels(shared_tls_sentinels: SentinelSet) -> Iterator[SentinelSet]:
    """Return Sentinels that watch a primary without keys, all of which speak TLS."""
    shared_tls_sentinels.restart()
    shared_tls_sentinels.flush()
    yield shared_tls_sentinels
    shared_tls_sentinels.rest()


@pytest.fixture(scope="session")
def shared_service(valkey: Valkey) -> Iterator[Service]:
    """Return one service for the whole run; a test that needs other settings takes its own."""
    with Service(valkey.url) as running:
        yield running


@pytest.fixture
def service(shared_service: Service, redis_url: str) -> Service:
    """Return the shared service on an empty Redis."""
    assert redis_url
    return shared_service
