"""The page in Chromium, with a worker that is the test itself."""

import re
from collections.abc import AsyncIterator
from typing import Literal

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

import jobcast
from tests.support.axe import faults_of
from tests.support.needs import NGINX
from tests.support.nginx import BINARY, Nginx
from tests.support.service import Service

pytestmark = pytest.mark.asyncio(loop_scope="session")

SESSION = "the-session-of-the-demo"


@pytest_asyncio.fixture(loop_scope="session")
async def jobs(redis_url: str) -> AsyncIterator[jobcast.Jobs]:
    """Return the worker library in the loop that the browser is in."""
    async with jobcast.connect(redis_url, progress_per_s=None) as connected:
        yield connected


def link(service: Service, job_id: str, session: str = SESSION) -> str:
    """Return the address that opens the page with a job, as the demo prints it."""
    return f"{service.url}/#job={job_id}&session={session}"


async def session_of(page: Page) -> str | None:
    stored: str | None = await page.evaluate("localStorage.getItem('jobcast.session')")
    return stored


async def test_an_address_with_job_and_session_opens_the_job_and_hides_the_session(
    service: Service, jobs: jobcast.Jobs, page: Page
) -> None:
    job_id = await jobs.create("report", session_id=SESSION)
    await page.goto(link(service, job_id))
    await expect(page.get_by_test_id("job-id")).to_have_text(job_id)
    await expect(page.get_by_test_id("job")).to_have_attribute("data-state", "live")
    await expect(page.get_by_test_id("recent").locator("li")).to_have_count(1)
    assert page.url == f"{service.url}/#job={job_id}"
    await page.reload()
    await expect(page.get_by_test_id("job")).to_have_attribute("data-state", "live")
    assert await session_of(page) == SESSION
    assert SESSION not in service.log


async def test_such_an_address_in_an_open_page_is_followed_too(
    service: Service, jobs: jobcast.Jobs, page: Page
) -> None:
    job_id = await jobs.create("report", session_id=SESSION)
    await page.goto(service.url)
    await expect(page.get_by_test_id("recent-note")).to_contain_text("None yet")
    before = await session_of(page)
    await page.goto(link(service, job_id))
    await expect(page.get_by_test_id("job")).to_have_attribute("data-state", "live")
    await expect(page.get_by_test_id("recent").locator("li")).to_have_count(1)
    assert page.url == f"{service.url}/#job={job_id}"
    assert await session_of(page) == SESSION != before


@pytest.mark.parametrize("session", ["short", "with%20space%20in%20the%20middle", ""])
async def test_a_session_that_can_be_none_is_not_taken_over(
    service: Service, page: Page, session: str
) -> None:
    await page.goto(service.url)
    before = await session_of(page)
    await page.goto(f"{service.url}/#session={session}")
    await expect(page.get_by_test_id("job")).to_have_attribute("data-state", "idle")
    await expect(page).to_have_url(f"{service.url}/")
    assert await session_of(page) == before


async def test_a_session_is_not_taken_over_but_on_this_machine(
    service: Service, jobs: jobcast.Jobs, page: Page
) -> None:
    # Chromium resolves every name below localhost to this machine; to the page it is another one.
    elsewhere = service.url.replace("127.0.0.1", "jobs.localhost")
    job_id = await jobs.create("report", session_id=SESSION)
    await page.goto(link(service, job_id).replace(service.url, elsewhere))
    await expect(page.get_by_test_id("job")).to_have_attribute("data-state", "not-found")
    assert page.url == f"{elsewhere}/#job={job_id}"
    assert await session_of(page) != SESSION


async def test_what_was_found_so_far_is_shown_while_nobody_knows_how_much_there_is(
    service: Service, jobs: jobcast.Jobs, page: Page
) -> None:
    job_id = await jobs.create("report", session_id=SESSION)
    await page.goto(link(service, job_id))
    bar, counts = page.get_by_test_id("progress"), page.get_by_test_id("counts")
    await expect(page.get_by_test_id("step")).to_have_text("Waiting for a worker")
    async with jobs.run(job_id) as run:
        await run.step("Looking for files…", 0, indeterminate=True)
        await expect(page.get_by_test_id("step")).to_have_text("Looking for files…")
        await expect(page.get_by_test_id("percent")).to_have_text("\N{EN DASH}")
        await run.progress(0, "Looking for files…", indeterminate=True, current=1234, unit="file")
        await expect(counts).to_have_text("1,234 files so far")
        await expect(bar).not_to_have_attribute("aria-valuenow", re.compile(".*"))
        await expect(bar).to_have_attribute("data-indeterminate", "")
        await run.progress(40, "photo.jpg", current=2, total=5, unit="file")
        await expect(counts).to_have_text("2 of 5 files")
        await expect(bar).to_have_attribute("aria-valuenow", "40")
        await expect(bar).not_to_have_attribute("data-indeterminate", re.compile(".*"))


async def test_a_job_that_fails_while_it_looks_around_shows_no_moving_bar(
    service: Service, jobs: jobcast.Jobs, page: Page
) -> None:
    job_id = await jobs.create("report", session_id=SESSION)
    await page.goto(link(service, job_id))
    run = jobs.run(job_id)
    await run.start()
    await run.step("Looking for files…", 0, indeterminate=True)
    await expect(page.get_by_test_id("progress")).to_have_attribute("data-indeterminate", "")
    await run.fail("No paper")
    await expect(page.get_by_test_id("job")).to_have_attribute("data-state", "failed")
    await expect(page.get_by_test_id("progress")).not_to_have_attribute(
        "data-indeterminate", re.compile(".*")
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_no_fault_in_the_page_and_that_of_the_interface(
    service: Service, jobs: jobcast.Jobs, page: Page, scheme: Literal["light", "dark"]
) -> None:
    await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    job_id = await jobs.create("report", session_id=SESSION)
    await page.goto(link(service, job_id))
    run = jobs.run(job_id)
    await run.start()
    await run.progress(40, "photo.jpg", eta=30)
    await expect(page.get_by_test_id("percent")).to_contain_text("40")
    assert await faults_of(page) == []
    await run.fail("No paper")
    await expect(page.get_by_test_id("job")).to_have_attribute("data-state", "failed")
    await expect(page.get_by_test_id("recent")).to_contain_text("failed")
    assert await faults_of(page) == []
    await page.goto(f"{service.url}/docs")
    assert await faults_of(page) == []


@pytest.mark.parametrize("width", [390, 768, 1280])
async def test_a_long_digest_leaves_room_for_the_path(
    service: Service, jobs: jobcast.Jobs, page: Page, width: int
) -> None:
    await page.set_viewport_size({"width": width, "height": 800})
    job_id = await jobs.create("checksum", session_id=SESSION)
    await page.goto(link(service, job_id))
    async with jobs.run(job_id) as run:
        run.result = {"files": 1, "digests": {"node_modules/package/index.js": "0f" * 64}}
    row = page.get_by_test_id("digests").locator("li")
    await expect(row).to_have_count(1)
    path = await row.locator(".digest-path").bounding_box()
    whole = await row.bounding_box()
    assert path is not None
    assert whole is not None
    assert path["width"] > whole["width"] / 4


async def test_a_result_that_is_cut_says_so(
    service: Service, jobs: jobcast.Jobs, page: Page
) -> None:
    job_id = await jobs.create("checksum", session_id=SESSION)
    await page.goto(link(service, job_id))
    async with jobs.run(job_id) as run:
        run.result = {
            "files": 9106,
            "bytes": 349655081,
            "seconds": 2.734,
            "algorithm": "sha256",
            "digest": "198e3831",
            "digests": {f"{number:03}.txt": "0f" for number in range(50)},
            "digestsOmitted": 9056,
            "unreadable": ["secret"],
            "unreadableFiles": 8,
            "unreadableOmitted": 7,
        }
    await expect(page.get_by_test_id("digests").locator("li")).to_have_count(50)
    more = page.get_by_test_id("digests-more")
    await expect(more).to_contain_text("lists the first 50 of 9,106 files")
    await expect(more).to_contain_text("digest of the whole folder covers them all")
    await expect(page.get_by_test_id("save")).to_have_text("Save these 50 as SHA256SUMS")
    await expect(page.get_by_test_id("unreadable-more")).to_have_text("And 7 more.")


async def test_the_page_goes_on_behind_a_proxy_that_keeps_the_events_to_itself(
    redis_url: str, jobs: jobcast.Jobs, page: Page
) -> None:
    if BINARY is None:
        pytest.skip(NGINX)
    hold_back = "proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;"
    with Service(redis_url) as service, Nginx(service.url, hold_back) as nginx:
        job_id = await jobs.create("report", session_id=SESSION)
        await page.goto(f"{nginx.url}/#job={job_id}&session={SESSION}")
        await expect(page.get_by_test_id("step")).to_have_text("Waiting for a worker")
        await expect(page.get_by_test_id("state")).to_have_text("Polling")
        async with jobs.run(job_id) as run:
            await run.progress(40, "Writing")
            await expect(page.get_by_test_id("percent")).to_have_text("40%")
            await expect(page.get_by_test_id("note")).to_contain_text("No live events get through")
        await expect(page.get_by_test_id("job")).to_have_attribute("data-state", "succeeded")
