"""``watchJob`` in pages that are hidden, frozen, left and restored, as a user's browser does it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Page

import jobcast
from tests.support.browser import tabs
from tests.support.hypercorn_server import serving
from tests.support.service import SESSION, Service
from tests.support.site import Site
from tests.support.waiting import PATIENCE_SECONDS, eventually
from tests.support.watched import Watched

pytestmark = pytest.mark.asyncio(loop_scope="session")

TELL = """
globalThis.life = [];
for (const name of ["freeze", "resume"]) document.addEventListener(name, () => life.push(name));
addEventListener("pageshow", ({ persisted }) => life.push(persisted ? "restored" : "loaded"));
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def visitor() -> AsyncIterator[BrowserContext]:
    async with tabs() as context:
        yield context


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cramped_visitor() -> AsyncIterator[BrowserContext]:
    """Return another browser: one that was short of memory keeps no pages any more."""
    async with tabs() as context:
        yield context


@pytest_asyncio.fixture(loop_scope="session")
async def page(visitor: BrowserContext) -> AsyncIterator[Page]:
    """Return a tab; it is closed after the test, and so are all others but the first."""
    stays = await visitor.new_page()
    yield await visitor.new_page()
    for each in visitor.pages:
        if each is not stays:
            await each.close()
    await stays.close()


@pytest_asyncio.fixture(loop_scope="session")
async def jobs(redis_url: str) -> AsyncIterator[jobcast.Jobs]:
    """Return the worker library in the loop that the browser is in."""
    async with jobcast.connect(redis_url, progress_per_s=None) as connected:
        yield connected


async def watch(page: Page, service: Service, job_id: str, **options: object) -> Watched:
    watched = await Watched.job(page, service.url, job_id, session=SESSION, **options)
    await page.evaluate(TELL)
    await watched.until_live()
    return watched


async def is_(page: Page, state: str) -> None:
    """Wait until a page is visible or hidden."""
    await page.wait_for_function(
        "state => document.visibilityState === state",
        arg=state,
        polling=20,
        timeout=PATIENCE_SECONDS * 1000,
    )


async def retry(service: Service, job_id: str) -> None:
    """Retry a job as another page of its owner does."""
    async with service.client() as client:
        assert (await client.post(f"/api/v1/jobs/{job_id}/retry")).status_code == 200


async def watched_by(service: Service, viewers: int) -> bool:
    return (await service.metrics())["jobcast_streams"] == viewers


async def test_a_hidden_page_follows_its_job_and_one_that_is_shown_again_notices_a_retry(
    service: Service, jobs: jobcast.Jobs, page: Page, visitor: BrowserContext
) -> None:
    job_id = await jobs.create("anything", session_id=SESSION)
    watched = await watch(page, service, job_id)
    await visitor.new_page()
    await is_(page, "hidden")
    run = jobs.run(job_id)
    await run.start()
    await run.progress(40)
    await watched.until("state.progress === 40 && state.transport === 'stream'")
    await run.fail("No paper")
    assert await watched.outcome() == "failed"
    await retry(service, job_id)
    await page.bring_to_front()
    await is_(page, "visible")
    await watched.until("state.attempt === 2 && state.connection === 'live'")


async def test_a_frozen_page_catches_up_when_it_is_resumed(
    redis_url: str, jobs: jobcast.Jobs, page: Page, visitor: BrowserContext
) -> None:
    with Service(redis_url, JOBCAST_KEEPALIVE_S="1") as service:
        job_id = await jobs.create("anything", session_id=SESSION)
        watched = await watch(page, service, job_id)
        run = jobs.run(job_id)
        await run.start()
        await visitor.new_page()
        await is_(page, "hidden")
        cdp = await visitor.new_cdp_session(page)
        await cdp.send("Page.setWebLifecycleState", {"state": "frozen"})
        await asyncio.to_thread(service.kill)
        await run.progress(60)
        await asyncio.to_thread(service.start)
        await cdp.send("Page.setWebLifecycleState", {"state": "active"})
        await watched.until("state.progress === 60 && state.connection === 'live'")
        await run.fail("No paper")
        assert await watched.outcome() == "failed"
        await cdp.send("Page.setWebLifecycleState", {"state": "frozen"})
        await retry(service, job_id)
        await cdp.send("Page.setWebLifecycleState", {"state": "active"})
        await watched.until("state.attempt === 2 && state.connection === 'live'")
        assert await page.evaluate("life") == ["freeze", "resume"] * 2


@pytest.mark.parametrize("options", [{}, {"shareAcrossTabs": True}, {"events": "all"}])
async def test_a_page_that_comes_back_from_the_back_forward_cache_is_live_again(
    service: Service, jobs: jobcast.Jobs, page: Page, options: dict[str, object]
) -> None:
    job_id = await jobs.create("anything", session_id=SESSION)
    watched = await watch(page, service, job_id, **{"events": ["tick"], **options})
    run = jobs.run(job_id)
    await run.start()
    await run.emit("tick", {"n": 0})
    await watched.heard("tick", 1)
    await page.goto(f"{service.url}/static/css/page.css")
    await eventually(lambda: watched_by(service, 0))
    await run.emit("tick", {"n": 1})
    await run.progress(60)
    await page.go_back(wait_until="commit")  # it does not load again
    await watched.until("state.progress === 60")
    await watched.until_live()
    assert "restored" in await page.evaluate("life")
    await run.emit("tick", {"n": 2})
    await run.complete()
    assert await watched.outcome() == "succeeded"
    ticks, names = await watched.data("tick"), await watched.names()
    if options.get("events") == "all":  # it resumes
        assert (ticks, "reset" in names) == ([{"n": n} for n in range(3)], False)
    else:  # it can't, and says so
        assert (ticks, names.count("reset")) == ([{"n": 0}, {"n": 2}], 1)


@pytest.mark.parametrize("shares", [False, True])
async def test_a_page_that_was_evicted_from_that_cache_is_loaded_and_watches_again(
    redis_url: str, jobs: jobcast.Jobs, cramped_visitor: BrowserContext, *, shares: bool
) -> None:
    site = Site()
    async with serving(site) as origin:
        with Service(redis_url, JOBCAST_CORS_ORIGINS=origin) as service:
            job_id = await jobs.create("anything", session_id=SESSION)
            site.page = Watched.html(
                service.url, job_id, session=SESSION, events=["tick"], shareAcrossTabs=shares
            )
            page = await cramped_visitor.new_page()
            watched, other = Watched(page), Watched(await cramped_visitor.new_page())
            for each in (watched, other):
                await each.page.goto(origin)
                await each.until_live()
            run = jobs.run(job_id)
            await run.start()
            await page.evaluate(TELL)
            await page.goto(f"{service.url}/static/css/page.css")
            await eventually(lambda: watched_by(service, 1))  # the other one has it, or its own
            await run.progress(60)
            await other.until("state.progress === 60 && state.connection === 'live'")
            cdp = await cramped_visitor.new_cdp_session(page)
            await cdp.send("Memory.simulatePressureNotification", {"level": "critical"})
            await page.go_back(wait_until="commit")
            await watched.until("state.progress === 60 && state.connection === 'live'")
            assert await page.evaluate("typeof life") == "undefined"  # the document is another
            await eventually(lambda: watched_by(service, 1 if shares else 2))
            await run.emit("tick", {})
            await run.complete({"ok": 1})
            for each in (watched, other):
                assert await each.outcome() == "succeeded"
                assert (await each.state)["result"] == {"ok": 1}
                assert await each.data("tick") == [{}]
            for each in (watched, other):
                await each.page.close()
