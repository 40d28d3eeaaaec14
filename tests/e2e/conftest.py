"""Fixtures of the tests over real sockets: the service with every way of writing, and a job."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page

import jobcast
from tests.support.browser import chromium
from tests.support.certificate import Certificate
from tests.support.service import SESSION, WAYS, Service
from tests.support.valkey import Valkey


@pytest.fixture(scope="session")
def asgi_service(valkey: Valkey) -> Iterator[Service]:
    """Return a service for the whole run that writes all it sends through ASGI."""
    with Service(valkey.url, way="asgi") as running:
        yield running


@pytest.fixture(scope="session")
def uvicorn_service(valkey: Valkey) -> Iterator[Service]:
    """Return a service for the whole run that another server than Hypercorn serves."""
    with Service(valkey.url, way="uvicorn") as running:
        yield running


@pytest.fixture(params=WAYS)
def writer(request: pytest.FixtureRequest, redis_url: str) -> Service:
    """Return a shared service, once with each way of writing, on an empty Redis."""
    assert redis_url
    name = "shared_service" if request.param == "direct" else f"{request.param}_service"
    service: Service = request.getfixturevalue(name)
    return service


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Return a certificate of the tests' host."""
    return Certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
async def job_id(jobs: jobcast.Jobs) -> str:
    """Return a queued job of the tests' session."""
    return await jobs.create("anything", session_id=SESSION)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Return one Chromium for the whole run; its tests run in the loop of the session too."""
    async with chromium() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    """Return a profile that has never been anywhere, as a visitor's own browser is."""
    context = await browser.new_context()
    yield context
    await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(context: BrowserContext) -> Page:
    """Return an empty page of that profile."""
    return await context.new_page()
