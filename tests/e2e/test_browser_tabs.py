"""``watchJob`` in several tabs of Chromium that may share one stream."""

import contextlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Page
from playwright.async_api import Error as PlaywrightError

import jobcast
from tests.support.service import SESSION, Service
from tests.support.waiting import eventually
from tests.support.watched import Watched

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def jobs(redis_url: str) -> AsyncIterator[jobcast.Jobs]:
    """Return the worker library in the loop that the browser is in."""
    async with jobcast.connect(redis_url, progress_per_s=None) as connected:
        yield connected


async def watch(page: Page, service: Service, job_id: str, **options: object) -> Watched:
    return await Watched.job(
        page, service.url, job_id, session=SESSION, shareAcrossTabs=True, **options
    )


async def test_ten_tabs_share_one_stream_and_another_leads_when_the_leader_goes(
    service: Service, jobs: jobcast.Jobs, context: BrowserContext
) -> None:
    job_id = await jobs.create("anything", session_id=SESSION)
    tabs = []
    for _ in range(10):
        page = await context.new_page()
        tabs.append(await watch(page, service, job_id, events=["tick"]))
    for tab in tabs:
        await tab.until_live()
    assert await _watched_by(service, 1)
    run = jobs.run(job_id)
    await run.start()
    for n in range(3):
        await run.emit("tick", {"n": n})
        for tab in tabs:
            await tab.heard("tick", n + 1)
        await tabs.pop(0).page.close()  # it came first, so it leads
        for tab in tabs:
            await tab.heard("reset", n + 1)
    await run.progress(70)
    for tab in tabs:
        await tab.until("state.progress === 70")
    assert await _watched_by(service, 1)
    await run.complete({"ok": 1})
    for tab in tabs:
        assert await tab.outcome() == "succeeded"
        assert (await tab.state)["result"] == {"ok": 1}
        # To them the change of leader was a reset, and no more.
        assert {state["transport"] for state in await tab.states} == {"stream"}


async def test_another_tab_leads_when_the_page_of_the_leader_crashes(
    service: Service, jobs: jobcast.Jobs, context: BrowserContext
) -> None:
    job_id = await jobs.create("anything", session_id=SESSION)
    tabs = []
    for _ in range(3):
        page = await context.new_page()
        tabs.append(await watch(page, service, job_id, events=["tick"]))
    for tab in tabs:
        await tab.until_live()
    leader = tabs.pop(0).page  # it came first, so it leads
    async with leader.expect_event("crash"):
        with contextlib.suppress(PlaywrightError):  # the navigation ends with the page
            await leader.goto("chrome://crash")
    for tab in tabs:
        await tab.heard("reset", 1)
    run = jobs.run(job_id)
    await run.start()
    await run.emit("tick", {"n": 0})
    for tab in tabs:
        await tab.heard("tick", 1)
    await eventually(lambda: _watched_by(service, 1))
    await run.complete()
    for tab in tabs:
        assert await tab.outcome() == "succeeded"


async def test_tabs_that_begin_at_the_start_all_get_every_event(
    service: Service, jobs: jobcast.Jobs, context: BrowserContext
) -> None:
    job_id = await jobs.create("anything", session_id=SESSION)
    run = jobs.run(job_id)
    await run.start()
    await run.emit("tick", {"n": 0})
    options = {"events": ["tick"], "from": "start"}
    first = await watch(await context.new_page(), service, job_id, **options)
    await first.heard("tick", 1)
    await run.emit("tick", {"n": 1})
    await first.heard("tick", 2)
    second = await watch(await context.new_page(), service, job_id, **options)
    await second.heard("tick", 2)
    await run.emit("tick", {"n": 2})
    await run.complete()
    for tab in (first, second):
        assert await tab.outcome() == "succeeded"
        assert [each["n"] for each in await tab.data("tick")] == [0, 1, 2]


async def _watched_by(service: Service, viewers: int) -> bool:
    return (await service.metrics())["jobcast_streams"] == viewers
