"""Fixtures of the tests over real sockets: the service with both ways of writing, and a job."""

from collections.abc import Iterator

import pytest

import jobcast
from tests.service import SESSION, Service
from tests.valkey import Valkey


@pytest.fixture(scope="session")
def asgi_service(valkey: Valkey) -> Iterator[Service]:
    """Return a service for the whole run that writes all it sends through ASGI."""
    with Service(valkey.url, JOBCAST_DIRECT_WRITE="0") as running:
        yield running


@pytest.fixture(params=["direct", "asgi"])
def writer(request: pytest.FixtureRequest, redis_url: str) -> Service:
    """Return a shared service, once with each way of writing, on an empty Redis."""
    assert redis_url
    name = {"direct": "shared_service", "asgi": "asgi_service"}[request.param]
    service: Service = request.getfixturevalue(name)
    return service


@pytest.fixture
async def job_id(jobs: jobcast.Jobs) -> str:
    """Return a queued job of the tests' session."""
    return await jobs.create("anything", session_id=SESSION)
