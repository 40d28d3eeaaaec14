"""``<job-progress>`` in a bare HTML file, as a newcomer writes it."""

from collections.abc import AsyncIterator
from typing import Final, Literal
from uuid import uuid4

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Page, expect

import jobcast
from jobcast.adapters._asyncio import Tasks
from tests.support.axe import faults_of
from tests.support.element import element, shown
from tests.support.service import SESSION, Service
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

Scheme = Literal["light", "dark"]
STATES: Final = """
window.states = [];
addEventListener("jobstate", ({ target }) => states.push(target.getAttribute("state")));
"""


@pytest_asyncio.fixture(loop_scope="session")
async def jobs(redis_url: str) -> AsyncIterator[jobcast.Jobs]:
    """Return the worker library in the loop that the browser is in."""
    async with jobcast.connect(redis_url, progress_per_s=None) as connected:
        yield connected


async def is_cancelled(run: jobcast.Run) -> bool:
    try:
        await run.progress(30)
    except jobcast.JobCancelled:
        return True
    return False


async def test_a_tag_shows_a_job_from_its_beginning_to_its_result(
    service: Service, jobs: jobcast.Jobs, page: Page
) -> None:
    problems: list[str] = []
    page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    job_id = await jobs.create("report", session_id=SESSION)
    inner = '<a slot="result" href="/report">The report</a>'
    host = await shown(page, service, element(job_id, 'label="My report"', inner))
    bar = page.get_by_role("progressbar", name="My report")
    result = page.get_by_role("link", name="The report")
    await expect(host).to_have_attribute("state", "queued")
    await expect(host).to_contain_text("Waiting…")
    async with jobs.run(job_id) as run:
        await run.step("Looking around", 0, indeterminate=True)
        await expect(bar).to_have_attribute("aria-valuetext", "Looking around")
        assert await bar.get_attribute("aria-valuenow") is None
        await run.progress(40, "Writing", eta=30)
        await expect(bar).to_have_attribute("aria-valuenow", "40")
        await expect(bar).to_have_attribute("aria-valuetext", "40%, Writing, 30 seconds left")
        await expect(page.get_by_role("status")).to_contain_text("Writing, 40%")
        await expect(result).to_be_hidden()
    await expect(host).to_have_attribute("state", "succeeded")
    await expect(bar).to_have_attribute("aria-valuenow", "100")
    await expect(result).to_be_visible()
    await expect(page.get_by_role("button", name="Cancel")).to_be_hidden()
    await expect(page.get_by_role("status")).to_have_text("Done")
    assert problems == []


async def test_what_was_set_before_the_module_has_loaded_counts(
    service: Service, jobs: jobcast.Jobs, page: Page
) -> None:
    job_id = await jobs.create("report", session_id=SESSION)
    await page.goto(f"{service.url}/static/css/tokens.css")
    await page.evaluate(
        """([jobId, session]) => {
            const early = document.createElement("job-progress");
            early.options = { jobId, session, base: location.origin };
            early.texts = { queued: "Bitte warten" };
            early.setAttribute("job", jobId);
            document.body.append(early);
        }""",
        [job_id, SESSION],
    )
    await page.evaluate("import('/jobcast-element.js')")
    host = page.locator("job-progress")
    await expect(host).to_have_attribute("state", "queued")
    await expect(host).to_contain_text("Bitte warten")
    assert await page.evaluate("Object.keys(document.querySelector('job-progress'))") == []


async def test_its_address_has_the_client_too(service: Service, page: Page) -> None:
    await page.goto(f"{service.url}/static/css/tokens.css")
    names: list[str] = await page.evaluate(
        "import('/jobcast-element.js').then((module) => Object.keys(module))"
    )
    assert {"JobProgress", "watchJob", "defaults"} <= set(names)


async def test_its_button_cancels_the_job_and_the_focus_stays_in_it(
    service: Service, jobs: jobcast.Jobs, page: Page
) -> None:
    job_id = await jobs.create("report", session_id=SESSION)
    host = await shown(page, service, element(job_id))
    button = page.get_by_role("button", name="Cancel")
    run = jobs.run(job_id)
    await run.start()
    await run.progress(20)
    await expect(page.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "20")
    await button.focus()
    await page.keyboard.press("Enter")
    await expect(host).to_contain_text("Cancelling…")
    await eventually(lambda: is_cancelled(run))
    await run.fail("Cancelled")
    await expect(host).to_have_attribute("state", "cancelled")
    await expect(button).to_be_hidden()
    await expect(page.get_by_role("progressbar")).to_be_focused()


async def test_a_failure_that_the_queue_retries_is_a_wait(
    service: Service, redis_url: str, page: Page
) -> None:
    tasks = Tasks(redis_url)
    with jobcast.owner(session_id=SESSION):
        ticket = await tasks.enqueued(str(uuid4()), "report")
    assert ticket is not None
    await page.add_init_script(STATES)
    host = await shown(page, service, element(ticket.job_id))
    task = await tasks.begin(ticket)
    await task.run.progress(40, "Writing")
    await expect(host).to_contain_text("Writing")
    await task.retry(OSError("No paper"))
    await expect(host.locator("[part=step]")).to_have_text("Waiting…")
    await expect(host.locator("[part=note]")).to_be_empty()
    task = await tasks.begin(ticket)
    await task.run.progress(20, "Writing")
    await expect(page.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "20")
    await task.complete(None)
    await expect(host).to_have_attribute("state", "succeeded")
    assert "failed" not in await page.evaluate("states")
    await tasks.aclose()


async def test_it_tells_an_invalid_token_from_a_job_that_is_not_there(
    service: Service, jobs: jobcast.Jobs, page: Page
) -> None:
    job_id = await jobs.create("report", session_id=SESSION)
    host = await shown(page, service, f'<job-progress job="{job_id}" token="the token"/>')
    await expect(host).to_have_attribute("connection", "denied")
    await expect(host.locator("[part=step]")).to_have_text("Please sign in again.")
    host = await shown(page, service, element("nowhere"))
    await expect(host).to_have_attribute("connection", "denied")
    await expect(host.locator("[part=step]")).to_have_text("This job was not found.")


async def test_it_follows_its_attributes_and_leaves_with_the_page_part(
    service: Service, jobs: jobcast.Jobs, page: Page
) -> None:
    first, second = [await jobs.create("report", session_id=SESSION) for _ in range(2)]
    run = jobs.run(first)
    await run.start()
    await run.progress(20)
    host = await shown(page, service, element(first))
    await expect(page.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "20")
    await host.evaluate("(host) => document.body.append(host)")  # moved, not opened anew
    await host.evaluate("(host, job) => host.setAttribute('job', job)", second)
    await expect(host).to_have_attribute("state", "queued")
    assert (await service.metrics())["jobcast_streams"] == 1
    await host.evaluate("(host) => host.remove()")

    async def nobody_watches() -> bool:
        return (await service.metrics())["jobcast_streams"] == 0

    await eventually(nobody_watches)


async def test_it_speaks_the_languages_of_its_page_and_of_its_owner(
    service: Service, jobs: jobcast.Jobs, page: Page
) -> None:
    job_id = await jobs.create("report", session_id=SESSION)
    host = await shown(page, service, element(job_id), lang="ar", direction="rtl")
    await page.evaluate("""() => {
      document.querySelector("job-progress").texts = {
        lang: "ar", label: "التقدم", cancel: "إلغاء", eta: (time) => `بقي ${time}`,
        step: ({ step, fields }) => (fields.stepKey === "write" ? "يكتب" : step),
      };
    }""")
    run = jobs.run(job_id)
    await run.start()
    await run.progress(25, "Writing", eta=30, stepKey="write")
    await expect(host).to_contain_text("يكتب")
    await expect(host).to_contain_text("بقي")
    await expect(page.get_by_role("progressbar", name="التقدم")).to_be_visible()
    bar = await page.locator("job-progress [part=bar]").bounding_box()
    track = await page.locator("job-progress [part=track]").bounding_box()
    assert bar is not None
    assert track is not None
    assert abs((bar["x"] + bar["width"]) - (track["x"] + track["width"])) < 1
    step, error = host.locator("[part=step]"), host.locator("[part=error]")
    await expect(step).to_have_css("direction", "rtl")
    await run.progress(30, "Not translated…")
    await expect(step).to_have_text("Not translated…")
    await expect(step).to_have_css("direction", "ltr")
    await run.fail("No paper.")
    await expect(error).to_have_css("direction", "rtl")
    await expect(error.get_by_text("No paper.")).to_have_css("direction", "ltr")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("ends", ["not yet", "well", "badly"])
async def test_axe_finds_no_fault(
    service: Service, jobs: jobcast.Jobs, page: Page, scheme: Scheme, ends: str
) -> None:
    job_id = await jobs.create("report", session_id=SESSION)
    await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    heading = "<h1>Reports</h1>"
    host = await shown(page, service, heading + element(job_id, inner="<p slot=result>Yes</p>"))
    run = jobs.run(job_id)
    await run.start()
    await run.progress(40, "Writing", eta=30)
    if ends == "well":
        await run.complete()
    elif ends == "badly":
        await run.fail("No paper", "PAPER")
    state = {"not yet": "running", "well": "succeeded", "badly": "failed"}[ends]
    await expect(host).to_have_attribute("state", state)
    assert await faults_of(page) == []


async def test_a_shared_stream_serves_many_elements(
    service: Service, jobs: jobcast.Jobs, context: BrowserContext
) -> None:
    job_id = await jobs.create("report", session_id=SESSION)
    page = await context.new_page()
    await shown(page, service, element(job_id, "share-across-tabs") * 8)
    run = jobs.run(job_id)
    await run.start()
    await run.progress(35)
    for bar in await page.get_by_role("progressbar").all():
        await expect(bar).to_have_attribute("aria-valuenow", "35")
    assert (await service.metrics())["jobcast_streams"] == 1
