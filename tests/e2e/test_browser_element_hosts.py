"""``<job-progress>`` in pages that move it, render it anew, or have strict policies."""

from collections.abc import AsyncIterator
from typing import Final

import pytest
import pytest_asyncio
from playwright.async_api import Page, Request, Route, expect

import jobcast
from tests.support.element import element, shown
from tests.support.service import SESSION, Service
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

POSITION: Final = """(host) => {
  const track = host.shadowRoot.querySelector("[part=track]");
  return host.ownerDocument.defaultView.getComputedStyle(track).position;
}"""


@pytest_asyncio.fixture(loop_scope="session")
async def jobs(redis_url: str) -> AsyncIterator[jobcast.Jobs]:
    """Return the worker library in the loop that the browser is in."""
    async with jobcast.connect(redis_url, progress_per_s=None) as connected:
        yield connected


def streams_of(page: Page) -> list[str]:
    """Return a list that gets the URL of each stream that the page requests."""
    urls: list[str] = []

    def note(request: Request) -> None:
        if "/stream" in request.url:
            urls.append(request.url)

    page.on("request", note)
    return urls


async def test_options_that_mean_the_same_leave_its_stream_open(
    service: Service, jobs: jobcast.Jobs, page: Page
) -> None:
    job_id = await jobs.create("report", session_id=SESSION)
    urls = streams_of(page)
    host = await shown(page, service, f'<job-progress job="{job_id}"></job-progress>')
    await page.evaluate(
        """(session) => {
            const host = document.querySelector("job-progress");
            window.told = [];
            window.renders = 0;
            window.more = {};
            window.render = () => {
                const at = ++renders; // a framework makes objects and functions anew at each render
                host.options = { session, onTick: ({ n }) => told.push([at, n]), ...more };
            };
            host.addEventListener("jobstate", () => render());
            render();
        }""",
        SESSION,
    )
    await expect(host).to_have_attribute("state", "queued")
    run = jobs.run(job_id)
    await run.start()
    await run.progress(20)
    await expect(page.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "20")
    renders = await page.evaluate("renders")
    await run.emit("tick", {"n": 7})
    await eventually(lambda: page.evaluate("told.length === 1"))
    assert renders > 2
    assert await page.evaluate("told") == [[renders, 7]]
    opened = len(urls)
    await page.evaluate("more = { from: 'start' }, render()")
    await eventually(lambda: page.evaluate("told.length === 2"))
    assert len(urls) == opened + 1


async def test_it_looks_the_same_in_a_document_that_has_adopted_it(
    service: Service, jobs: jobcast.Jobs, page: Page
) -> None:
    job_id = await jobs.create("report", session_id=SESSION)
    urls = streams_of(page)
    host = await shown(page, service, element(job_id) + "<iframe></iframe>")
    await expect(host).to_have_attribute("state", "queued")
    assert await host.evaluate(POSITION) == "relative"
    inner = await page.evaluate_handle("document.querySelector('iframe').contentDocument")
    moved = await host.element_handle()
    for _ in range(2):
        await inner.evaluate("(inner, host) => inner.body.append(host)", moved)
        assert await moved.evaluate(POSITION) == "relative"
        await page.evaluate("(host) => document.body.append(host)", moved)
        assert await moved.evaluate(POSITION) == "relative"
    await moved.evaluate("""(host) => {
        document.implementation.createHTMLDocument().adoptNode(host);
        document.body.append(host);
    }""")
    assert await moved.evaluate(POSITION) == "relative"
    run = jobs.run(job_id)
    await run.start()
    await run.progress(20)
    await expect(page.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "20")
    assert len(urls) == 1


@pytest.mark.parametrize("lang", ["", "de_DE", "none at all"])
async def test_a_language_that_is_none_still_shows_numbers(
    service: Service, jobs: jobcast.Jobs, page: Page, lang: str
) -> None:
    job_id = await jobs.create("report", session_id=SESSION)
    host = await shown(page, service, element(job_id))
    await host.evaluate("(host, lang) => { host.texts = { lang } }", lang)
    run = jobs.run(job_id)
    await run.start()
    await run.progress(25, "Writing", eta=30)
    left = "30 Sekunden left" if lang == "de_DE" else "30 seconds left"
    await expect(host.locator("[part=eta]")).to_have_text(left)


async def test_a_policy_may_require_trusted_types(
    service: Service, jobs: jobcast.Jobs, page: Page
) -> None:
    problems: list[str] = []
    page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    job_id = await jobs.create("report", session_id=SESSION)
    policy = "; require-trusted-types-for 'script'; trusted-types 'none'"
    host = await shown(page, service, element(job_id), policy=policy)
    await expect(host).to_contain_text("Waiting…")
    assert problems == []


async def test_a_worker_of_ill_will_writes_only_text(
    service: Service, jobs: jobcast.Jobs, page: Page
) -> None:
    evil = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    job_id = await jobs.create("report", session_id=SESSION)
    run = jobs.run(job_id)
    await run.start()
    await run.progress(25, evil)
    host = await shown(page, service, element(job_id))
    await expect(host.locator("[part=step]")).to_have_text(evil)
    await expect(page.get_by_role("status")).to_contain_text(evil)
    await run.fail(evil, evil)
    await expect(host.locator("[part=error]")).to_have_text(evil)
    assert await page.title() == "A page of mine"


async def test_a_screen_reader_hears_of_a_denied_job_what_the_page_shows(
    service: Service, page: Page
) -> None:
    host = await shown(page, service, element("nowhere", 'label=""'))
    await expect(host).to_have_attribute("connection", "denied")
    bar = page.get_by_role("progressbar", name="Progress")
    await expect(bar).to_have_attribute("aria-valuetext", "This job was not found.")


async def test_forced_colours_are_those_of_the_reader_however_the_job_ends(
    service: Service, jobs: jobcast.Jobs, page: Page
) -> None:
    await page.emulate_media(forced_colors="active")
    job_id = await jobs.create("report", session_id=SESSION)
    host = await shown(page, service, element(job_id) + "<p>Text</p>")
    await page.evaluate("document.querySelector('p').style.color = 'Highlight'")
    wanted = await page.evaluate("getComputedStyle(document.querySelector('p')).color")
    run = jobs.run(job_id)
    await run.start()
    await run.fail("No paper")
    await expect(host).to_have_attribute("state", "failed")
    await expect(host.locator("[part=bar]")).to_have_css("background-color", wanted)


async def test_a_cancel_that_fails_is_told_and_can_be_repeated(
    service: Service, jobs: jobcast.Jobs, page: Page
) -> None:
    job_id = await jobs.create("report", session_id=SESSION)
    await page.clock.install(time=0)
    await page.clock.pause_at(1000)
    host = await shown(page, service, element(job_id))
    await expect(host).to_have_attribute("state", "queued")

    async def refuse(route: Route) -> None:
        await route.fulfill(status=502, content_type="text/html", body="<h1>Bad gateway</h1>")

    await page.route("**/cancel**", refuse)
    note = host.locator("[part=note]")
    await page.get_by_role("button", name="Cancel").click()
    await expect(note).to_have_text("This could not be cancelled. Please try again.")
    await page.clock.run_for(2000)
    await expect(page.get_by_role("status")).to_contain_text("could not be cancelled")
    await page.clock.run_for(10_000)
    await expect(note).to_be_empty()
    await page.unroute("**/cancel**")
    await page.get_by_role("button", name="Cancel").click()
    await expect(host).to_have_attribute("state", "cancelled")
    await expect(note).to_be_empty()


async def test_a_page_that_may_take_no_locks_has_a_stream_of_its_own(
    service: Service, jobs: jobcast.Jobs, page: Page
) -> None:
    refuse = "navigator.locks.request = async () => { throw new DOMException('', 'SecurityError') }"
    await page.add_init_script(refuse)  # as in a sandbox, and where cookies are blocked
    job_id = await jobs.create("report", session_id=SESSION)
    urls = streams_of(page)
    host = await shown(page, service, element(job_id, "share-across-tabs"))
    await expect(host).to_have_attribute("connection", "live")
    assert len(urls) == 1
    await host.evaluate("(host) => host.remove()")

    async def nobody_watches() -> bool:
        return (await service.metrics())["jobcast_streams"] == 0

    await eventually(nobody_watches)


async def test_a_list_of_elements_announces_one_step_at_a_time_but_each_end(
    service: Service, jobs: jobcast.Jobs, page: Page
) -> None:
    job_ids = [await jobs.create("report", session_id=SESSION) for _ in range(5)]
    runs = [jobs.run(job_id) for job_id in job_ids]
    for run in runs:
        await run.start()
        await run.progress(20, "Writing")
    await page.clock.install(time=0)
    await page.clock.pause_at(1000)
    await shown(page, service, "".join(element(job_id) for job_id in job_ids))
    hosts = page.locator("job-progress")
    for at in range(len(runs)):
        await expect(hosts.nth(at)).to_contain_text("Writing")
    said = page.get_by_role("status").filter(has_text="Writing")
    await page.clock.run_for(5000)
    await expect(said).to_have_count(1)
    await page.clock.run_for(10_000)
    await expect(said).to_have_count(2)
    for run in runs:
        await run.complete()
    for at in range(len(runs)):
        await expect(hosts.nth(at)).to_have_attribute("state", "succeeded")
    await page.clock.run_for(2000)
    await expect(page.get_by_role("status").filter(has_text="Done")).to_have_count(len(runs))
