"""A page behind the proxies of ``deploy/``, each with its recipe."""

import asyncio
from collections.abc import Callable

import httpx
import pytest
from playwright.async_api import Browser

import jobcast
from tests.faults.front import DeployedNginx
from tests.support import caddy, nginx
from tests.support.caddy import Caddy
from tests.support.needs import CADDY, NGINX
from tests.support.nginx import Nginx
from tests.support.service import SESSION, Service
from tests.support.valkey import Valkey
from tests.support.watched import Watched

Front = Callable[[Service], Nginx | Caddy]
FRONTS: dict[str, Front] = {
    "nginx": lambda service: DeployedNginx([service]),
    "Caddy": Caddy,
    "Caddy with HTTPS": lambda service: Caddy(service, secure=True),
}


@pytest.fixture(params=FRONTS)
def front(request: pytest.FixtureRequest) -> Front:
    """Return what puts a proxy in front of a service."""
    kind: str = request.param
    binary, need = (nginx.BINARY, NGINX) if kind == "nginx" else (caddy.BINARY, CADDY)
    if binary is None:
        pytest.skip(need)
    return FRONTS[kind]


@pytest.mark.asyncio(loop_scope="session")
async def test_a_page_follows_a_job_through_a_restart_of_the_service(
    front: Front, redis_url: str, browser: Browser
) -> None:
    context = await browser.new_context(ignore_https_errors=True)
    page = await context.new_page()
    async with jobcast.connect(redis_url, progress_per_s=None) as jobs:
        job_id = await jobs.create("anything", session_id=SESSION)
        with Service(redis_url) as service, front(service) as proxy:
            watched = await Watched.job(page, proxy.url, job_id, session=SESSION)
            await watched.until_live()
            run = jobs.run(job_id)
            await run.start()
            await run.progress(40)
            await watched.until("state.progress === 40")
            assert (await watched.state)["transport"] == "stream"
            assert (await watched.data("progress-update"))[-1]["progress"] == 40
            await asyncio.to_thread(service.stop)
            await watched.until("state.connection !== 'live'")
            await run.progress(60)
            await asyncio.to_thread(service.start)
            await watched.until("state.connection === 'live' && state.progress === 60")
            await run.complete({"ok": 1})
            assert await watched.outcome() == "succeeded"
            assert (await watched.state)["result"] == {"ok": 1}
            protocols = await page.evaluate(
                "performance.getEntriesByType('resource').map((entry) => entry.nextHopProtocol)"
            )
            assert set(protocols) - {""} == {"h2" if "https" in proxy.url else "http/1.1"}
            if isinstance(proxy, Caddy):
                assert job_id in proxy.log
                assert SESSION not in proxy.log
    await context.close()


async def test_while_the_service_is_unavailable_reconnects_come_again_and_others_get_an_error(
    front: Front, valkey: Valkey
) -> None:
    with front(Service(valkey.url)) as proxy:
        async with httpx.AsyncClient(base_url=proxy.url, verify=False) as client:  # noqa: S501 - its own certificate
            stream = "/api/v1/jobs/a/stream"
            again = await client.get(stream, headers={"Last-Event-ID": "1-0"})
            assert (again.status_code, again.headers["content-type"]) == (200, "text/event-stream")
            comment, retry, *rest = again.text.split("\n")
            assert (comment, rest) == (": unavailable", ["", ""])
            assert 1000 <= int(retry.removeprefix("retry: ")) < 5000
            for path in (stream, "/api/v1/jobs/a/status"):
                refused = await client.get(path)
                assert (refused.status_code, refused.json()["code"]) == (503, "SERVICE_UNAVAILABLE")
                assert 1 <= int(refused.headers["retry-after"]) <= 4
            for path in ("/metrics", "/metric%73", "/a/metrics"):
                assert (await client.get(path)).status_code == 404
