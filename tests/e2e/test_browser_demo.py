"""The demo's page in Chromium, with the worker that hashes real files."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Locator, Page, expect

from tests.support.demo_process import DemoProcess

pytestmark = pytest.mark.asyncio(loop_scope="session")

LISTED: Final = 50
"""How many files a result lists."""
SPARSE_BYTES: Final = 16 * 1024**3
CUT_BYTES: Final = 1024
QUICK: Final = {
    "empty": b"",
    "first.txt": b"first\n",
    "inner/übung 日本語.txt": "ü\n".encode(),
    f"inner/{'long-' * 40}name.bin": bytes(range(256)) * 100,
}

# What a reader sees of the progress, and what a screen reader hears, from the page's start.
OBSERVE: Final = """
addEventListener("DOMContentLoaded", () => {
  const bar = document.getElementById("progress");
  const announcer = document.getElementById("announcer");
  globalThis.percents = [];
  globalThis.heard = [];
  const note = () => bar.hasAttribute("aria-valuenow") && percents.push(Number(bar.ariaValueNow));
  new MutationObserver(note).observe(bar, { attributeFilter: ["aria-valuenow"] });
  new MutationObserver(() => heard.push(announcer.textContent))
    .observe(announcer, { childList: true });
});
"""


@dataclass(frozen=True)
class Folder:
    """A folder that a job may hash, and the digest of each of its files."""

    name: str
    digests: dict[str, str]

    @property
    def sums(self) -> str:
        """Return what ``sha256sum`` prints of it."""
        return "".join(f"{digest}  {path}\n" for path, digest in sorted(self.digests.items()))

    @property
    def digest(self) -> str:
        """Return the digest of the whole."""
        return hashlib.sha256(self.sums.encode()).hexdigest()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoProcess]:
    base = tmp_path_factory.mktemp("demo")
    (base / "files").mkdir()
    with DemoProcess(base / "data", base / "files") as running:
        yield running


@pytest.fixture(scope="module")
def quick(demo: DemoProcess) -> Folder:
    """Return a folder that is hashed in a moment."""
    for path, content in QUICK.items():
        file = demo.files / "quick" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return Folder(
        "quick",
        {path: hashlib.sha256(content).hexdigest() for path, content in QUICK.items()},
    )


@dataclass(frozen=True)
class Endless:
    """A folder with a file that takes longer to hash than any test, and takes no room."""

    path: Path

    @property
    def name(self) -> str:
        """Return its name for a job."""
        return self.path.name

    def end(self) -> Folder:
        """Cut the file short: a job that is reading it comes to its end, and a later one soon."""
        contents = {"first.txt": b"first\n", "zeros.bin": bytes(CUT_BYTES)}
        with (self.path / "zeros.bin").open("r+b") as file:
            file.truncate(CUT_BYTES)
        digests = {path: hashlib.sha256(content).hexdigest() for path, content in contents.items()}
        return Folder(self.name, digests)


@pytest.fixture
def endless(demo: DemoProcess) -> Iterator[Endless]:
    """Return a folder whose job goes on until the test ends it."""
    folder = Endless(demo.files / "endless")
    folder.path.mkdir(exist_ok=True)
    (folder.path / "first.txt").write_bytes(b"first\n")
    with (folder.path / "zeros.bin").open("wb") as file:
        file.truncate(SPARSE_BYTES)
    yield folder
    folder.end()


@asynccontextmanager
async def visiting(context: BrowserContext, demo: DemoProcess) -> AsyncIterator[Page]:
    """Open the page; whatever its console calls an error fails the test."""
    problems: list[str] = []
    context.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    context.on("weberror", lambda thrown: problems.append(str(thrown.error)))
    await context.add_init_script(OBSERVE)
    page = await context.new_page()
    await page.goto(demo.url)
    await expect(page.get_by_test_id("recent-note")).to_contain_text("None yet")
    yield page
    assert problems == []


@pytest_asyncio.fixture(loop_scope="session")
async def page(context: BrowserContext, demo: DemoProcess) -> AsyncIterator[Page]:
    """Return the demo's page in a browser that was never there."""
    async with visiting(context, demo) as page:
        yield page


async def start(page: Page, folder: str) -> str:
    """Start a job as a reader does, and return its id once the page has opened it."""
    before = await page.get_by_test_id("job-id").text_content()
    await page.get_by_role("textbox", name="Folder").fill(folder)
    await page.get_by_role("button", name="Start").click()
    await expect(page.get_by_test_id("job-id")).not_to_have_text(before or "")
    return await page.get_by_test_id("job-id").inner_text()


async def is_in(page: Page, state: str) -> None:
    await expect(page.get_by_test_id("job")).to_have_attribute("data-state", state)
    await expect(page.get_by_test_id("state")).to_have_text(state.capitalize())


async def moves(page: Page, values: int = 3) -> None:
    """Wait until the progress has had so many values short of the end since the page's start."""
    await page.wait_for_function(
        "n => new Set(percents.filter((p) => p > 0 && p < 100)).size >= n", arg=values, polling=20
    )


async def shows(page: Page, folder: Folder) -> None:
    """Wait for the success, and compare the result with the files."""
    await is_in(page, "succeeded")
    rows = page.get_by_test_id("digests").locator("li")
    first = dict(sorted(folder.digests.items())[:LISTED])
    await expect(rows).to_have_count(len(first))
    listed: Any = await rows.evaluate_all(
        "rows => rows.map((row) => [row.dataset.path, row.querySelector('code').textContent])"
    )
    assert dict(listed) == first
    await expect(page.get_by_test_id("digest")).to_have_text(folder.digest)
    await expect(progress_bar(page)).to_have_attribute("aria-valuenow", "100")


def progress_bar(page: Page) -> Locator:
    return page.get_by_role("progressbar", name="Progress of the job")


def log(page: Page, event: str) -> Locator:
    return page.get_by_test_id("log").locator(f"li[data-event={event}]")


def recent(page: Page, job_id: str) -> Locator:
    return page.get_by_test_id("recent").locator(f"li[data-job='{job_id}']")


async def test_the_page_that_the_demo_names_opens_with_its_first_job(
    context: BrowserContext, demo: DemoProcess
) -> None:
    page = await context.new_page()
    await page.goto(demo.page)
    await expect(page.get_by_test_id("job-id")).to_have_text(demo.first_job)
    await is_in(page, "succeeded")
    await expect(recent(page, demo.first_job)).to_contain_text("succeeded")
    assert page.url == f"{demo.url}/#job={demo.first_job}"
    assert demo.session in demo.page
    assert demo.session not in demo.logs


async def test_a_folder_of_many_files_shows_the_first_and_says_how_many_more_there_are(
    page: Page, demo: DemoProcess
) -> None:
    folder = demo.files / "many"
    folder.mkdir()
    for number in range(60):
        (folder / f"{number:02}.txt").write_text(str(number))
    await start(page, "many")
    await is_in(page, "succeeded")
    await expect(page.get_by_test_id("digests").locator("li")).to_have_count(LISTED)
    more = page.get_by_test_id("digests-more")
    await expect(more).to_contain_text("lists the first 50 of 60 files")
    async with page.expect_download() as saving:
        await page.get_by_role("link", name="Save these 50 as SHA256SUMS").click()
    path = await (await saving.value).path()
    lines = (await asyncio.to_thread(path.read_text)).splitlines()
    assert [line.split()[1] for line in lines] == [f"{number:02}.txt" for number in range(LISTED)]


async def test_a_job_is_started_watched_over_a_reload_and_shown_to_its_result(
    page: Page, endless: Endless
) -> None:
    await is_in(page, "idle")
    job_id = await start(page, endless.name)
    await is_in(page, "live")
    await moves(page)
    await expect(page.get_by_test_id("step")).to_have_text("zeros.bin")
    await expect(page.get_by_test_id("eta")).to_contain_text("left")
    before: Any = await page.evaluate("percents")
    assert before == sorted(before)

    await page.reload()
    await expect(page.get_by_test_id("job-id")).to_have_text(job_id)
    await moves(page, 1)
    events = page.get_by_test_id("log").locator("li")
    await expect(events.nth(0)).to_have_attribute("data-event", "connected")
    await expect(events.nth(1)).to_have_attribute("data-event", "progress-update")
    after: Any = await page.evaluate("percents")
    assert after[0] >= before[-1]

    endless.end()
    await is_in(page, "succeeded")
    await expect(progress_bar(page)).to_have_attribute("aria-valuenow", "100")
    await expect(log(page, "file-hashed").last).to_contain_text("zeros.bin")
    await expect(log(page, "complete")).to_have_count(1)
    await expect(recent(page, job_id)).to_contain_text("succeeded")
    await expect(page).to_have_title("Succeeded · Jobcast")
    after = await page.evaluate("percents")
    assert after == sorted(after)


async def test_the_result_can_be_saved_as_sha256sum_writes_it(page: Page, quick: Folder) -> None:
    await start(page, quick.name)
    await shows(page, quick)
    async with page.expect_download() as saving:
        await page.get_by_role("link", name="Save as SHA256SUMS").click()
    saved = await saving.value
    assert saved.suggested_filename == "SHA256SUMS"
    path = await saved.path()
    assert await asyncio.to_thread(path.read_text) == quick.sums


async def test_a_cancelled_job_runs_to_its_end_when_it_is_retried_and_readers_hear_of_it(
    page: Page, endless: Endless
) -> None:
    job_id = await start(page, endless.name)
    await moves(page, 8)
    await page.get_by_role("button", name="Cancel").click()
    await is_in(page, "cancelled")
    await expect(page.get_by_role("button", name="Cancel")).to_be_disabled()
    await expect(recent(page, job_id)).to_contain_text("cancelled")
    await expect(page.get_by_test_id("result")).to_be_hidden()
    await expect(page.get_by_role("status")).to_have_text(
        "The job was cancelled. Retry runs it again."
    )

    folder = endless.end()
    await page.get_by_role("button", name="Retry").click()
    await shows(page, folder)
    await expect(page.get_by_test_id("job-id")).to_have_text(job_id)
    await expect(page.get_by_role("button", name="Retry")).to_be_disabled()
    await expect(recent(page, job_id)).to_contain_text("succeeded")
    await expect(page.get_by_role("status")).to_have_text("The job succeeded.")
    # States and now and then a step, never each percent.
    heard: Any = await page.evaluate("heard")
    steps = [text for text in heard if text.endswith("percent")]
    seen: Any = await page.evaluate("new Set(percents).size")
    assert all(heard)
    assert len(steps) < seen / 2


async def test_a_folder_that_is_not_there_fails_the_job_with_its_code(page: Page) -> None:
    job_id = await start(page, "nowhere")
    await is_in(page, "failed")
    error = page.get_by_test_id("error")
    await expect(error).to_have_text("nowhere was not found (FOLDER_NOT_FOUND)")
    await expect(page.get_by_role("button", name="Retry")).to_be_enabled()
    await expect(recent(page, job_id)).to_contain_text("failed")
    await page.reload()
    await is_in(page, "failed")
    await expect(error).to_have_text("nowhere was not found (FOLDER_NOT_FOUND)")


async def test_a_second_tab_sees_the_same_through_cancel_and_retry(
    page: Page, context: BrowserContext, endless: Endless
) -> None:
    job_id = await start(page, endless.name)
    async with context.expect_page() as opening:
        await page.get_by_role("link", name="Open in a second tab").click()
    second = await opening.value
    await expect(second.get_by_test_id("job-id")).to_have_text(job_id)
    await moves(second, 1)
    await second.get_by_role("button", name="Cancel").click()
    for tab in (page, second):
        await is_in(tab, "cancelled")
    folder = endless.end()
    await page.get_by_role("button", name="Retry").click()
    for tab in (page, second):
        await shows(tab, folder)
        await expect(recent(tab, job_id)).to_contain_text("succeeded")


async def test_another_browser_with_the_jobs_link_is_told_of_no_job(
    page: Page, browser: Browser, quick: Folder
) -> None:
    await start(page, quick.name)
    await is_in(page, "succeeded")
    stranger = await browser.new_context()
    other = await stranger.new_page()
    await other.goto(page.url)
    await expect(other.get_by_test_id("job")).to_have_attribute("data-state", "not-found")
    await expect(other.get_by_test_id("result")).to_be_hidden()
    await expect(other.get_by_test_id("recent-note")).to_contain_text("None yet")
    await stranger.close()


async def test_the_keyboard_alone_starts_a_job_and_reopens_another(
    page: Page, quick: Folder
) -> None:
    async def press(key: str, focused: Locator) -> None:
        await page.keyboard.press(key)
        await expect(focused).to_be_focused()

    earlier = await start(page, quick.name)
    await page.goto(page.url.partition("#")[0])
    await page.reload()
    title = page.get_by_role("heading", name="Job", exact=True)
    await press("Tab", page.get_by_role("textbox", name="Folder"))
    await page.keyboard.type(quick.name)
    await press("Tab", page.get_by_role("button", name="Start"))
    await press("Enter", title)
    await shows(page, quick)

    job_id = await page.get_by_test_id("job-id").inner_text()
    refresh = page.get_by_role("button", name="Refresh")
    while not await refresh.evaluate("button => button === document.activeElement"):
        await page.keyboard.press("Tab")
    await press("Tab", recent(page, job_id).get_by_role("link"))
    await press("Tab", recent(page, earlier).get_by_role("link"))
    await press("Enter", title)
    await expect(page.get_by_test_id("job-id")).to_have_text(earlier)
    await shows(page, quick)


@pytest.mark.parametrize("width", [320, 390, 768])
async def test_nothing_is_wider_than_the_screen(
    browser: Browser, demo: DemoProcess, quick: Folder, width: int
) -> None:
    phone = await browser.new_context(
        viewport={"width": width, "height": 700}, is_mobile=True, has_touch=True
    )
    async with visiting(phone, demo) as page:
        assert await page.evaluate("document.documentElement.scrollWidth") == width
        job_id = await start(page, quick.name)
        await shows(page, quick)
        await expect(recent(page, job_id)).to_be_visible()
        assert await page.evaluate("document.documentElement.scrollWidth") == width
    await phone.close()
