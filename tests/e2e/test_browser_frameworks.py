"""The bindings for React, Vue and Svelte: a small app of each, built with vite from the package.

That of React is built with the oldest React that is supported, too.
"""

import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio
from playwright.async_api import Page, Route, expect

import jobcast
from tests.support.npm import SDK, installed, node, packed
from tests.support.service import SESSION, Service
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

APPS: Final = SDK / "test" / "apps"
FRAMEWORKS: Final = ("react", "react18", "vue", "svelte")
REACTS: Final = {"react": "19.", "react18": "18."}
FOLDERS: Final = {"react": APPS, "react18": APPS / "react18"}
"""Those with packages of their own; what is not in the second comes from the first."""


@pytest.fixture(scope="module")
def dependencies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of what the apps depend on, the package as npm would publish it too."""
    package = packed(tmp_path_factory.mktemp("packed"))
    for folder in FOLDERS.values():
        modules = installed(folder)
        shutil.rmtree(modules / "jobcast", ignore_errors=True)
        shutil.copytree(package, modules / "jobcast")
    return APPS / "node_modules"


@pytest_asyncio.fixture(loop_scope="session")
async def jobs(redis_url: str) -> AsyncIterator[jobcast.Jobs]:
    """Return the worker library in the loop that the browser is in."""
    async with jobcast.connect(redis_url, progress_per_s=None) as connected:
        yield connected


@pytest.fixture(scope="module", params=FRAMEWORKS)
def app(
    request: pytest.FixtureRequest, dependencies: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return the folder of a built app."""
    built = tmp_path_factory.mktemp(request.param)
    vite = dependencies / "vite" / "bin" / "vite.js"
    options = ("--config", "vite.config.js", "--outDir", built, "--emptyOutDir")
    command = (node(), vite, "build", request.param, *options)
    done = subprocess.run(command, cwd=APPS, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    if version := REACTS.get(request.param):
        scripts = "".join(script.read_text() for script in built.rglob("*.js"))
        assert re.search(rf"\.version=.{re.escape(version)}", scripts)
    return built


async def opened(page: Page, service: Service, app: Path, *job_ids: str) -> list[str]:
    """Open the app below the service's origin; what its console calls an error is returned."""
    problems: list[str] = []
    page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))

    async def answer(route: Route) -> None:
        name = route.request.url.partition("/app/")[2].partition("#")[0]
        await route.fulfill(path=app / (name or "index.html"))

    await page.route("**/app/**", answer)
    await page.goto(f"{service.url}/app/#{','.join((SESSION, *job_ids))}")
    return problems


async def test_an_app_shows_a_job_to_its_end_and_through_a_retry(
    service: Service, jobs: jobcast.Jobs, page: Page, app: Path
) -> None:
    job_id = await jobs.create("report", session_id=SESSION)
    problems = await opened(page, service, app, job_id)
    status, progress = page.get_by_test_id("status"), page.get_by_test_id("progress")
    await expect(status).to_have_text("queued")
    assert await streams(service) == 1  # StrictMode opens all effects twice
    run = jobs.run(job_id)
    await run.start()
    await run.progress(40, "Writing")
    await run.emit("tick", {})
    await run.emit("tick", {})
    await expect(progress).to_have_text("40")
    await expect(page.get_by_test_id("ticks")).to_have_text("2")
    await run.fail("No paper")
    await expect(status).to_have_text("failed")
    await page.get_by_role("button", name="Retry").click()
    await expect(status).to_have_text("queued")
    async with jobs.run(job_id) as second:
        await second.progress(70)
        await expect(progress).to_have_text("70")
    await expect(status).to_have_text("succeeded")
    assert not await page.evaluate("globalThis.changes"), (
        "an effect that depends on a call ran anew"
    )
    assert problems == []


async def test_an_app_follows_what_it_is_asked_to_show(
    service: Service, jobs: jobcast.Jobs, page: Page, app: Path
) -> None:
    first, second = [await jobs.create("report", session_id=SESSION) for _ in range(2)]
    runs = [jobs.run(job_id) for job_id in (first, second)]
    for run, progress in zip(runs, (20, 60), strict=True):
        await run.start()
        await run.progress(progress)
    problems = await opened(page, service, app, first, second)
    shown = page.get_by_test_id("progress")
    await expect(shown).to_have_text("20")
    await page.get_by_role("button", name="Next").click()
    await expect(shown).to_have_text("60")
    await eventually(lambda: has_streams(service, 1))
    for button in ("Enabled", "There"):
        await page.get_by_role("button", name=button).click()
        await eventually(lambda: has_streams(service, 0))
        await page.get_by_role("button", name=button).click()
        await expect(shown).to_have_text("60")
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.get_by_test_id("connection")).to_have_text("live")
    await eventually(lambda: is_cancelled(runs[1]))
    assert problems == []


async def test_an_app_lists_the_jobs_of_its_user_on_one_stream(
    service: Service, jobs: jobcast.Jobs, page: Page, app: Path
) -> None:
    first, _ = [await jobs.create("report", session_id=SESSION) for _ in range(2)]
    problems = await opened(page, service, app, first)
    await page.get_by_role("button", name="There").click()
    await page.get_by_role("button", name="List").click()
    shown = page.get_by_test_id("list")
    await expect(shown).to_have_text("0,0")
    await eventually(lambda: has_streams(service, 1))
    async with jobs.run(await jobs.create("report", session_id=SESSION)) as run:
        await run.progress(40)
        await expect(shown).to_have_text("0,0,40")
    await expect(shown).to_have_text("0,0,succeeded")
    await page.get_by_role("button", name="List").click()
    await eventually(lambda: has_streams(service, 0))
    assert problems == []


@pytest.mark.parametrize("app", ["react", "react18", "vue"], indirect=True)
async def test_a_list_that_gets_longer_keeps_what_it_shows(
    service: Service, jobs: jobcast.Jobs, page: Page, app: Path
) -> None:
    job_ids = [await jobs.create("report", session_id=SESSION) for _ in range(3)]
    for job_id, progress in zip(job_ids, (10, 20, 30), strict=True):
        run = jobs.run(job_id)
        await run.start()
        await run.progress(progress)
    problems = await opened(page, service, app, *job_ids)
    more, some = page.get_by_role("button", name="More"), page.get_by_test_id("some")
    await more.click()
    await expect(some).to_have_text("10")
    await page.evaluate("sizes.length = 0")
    for shown in ("10,20", "10,20,30"):
        await more.click()
        await expect(some).to_have_text(shown)
    assert 0 not in await page.evaluate("sizes")
    await eventually(lambda: has_streams(service, 2))  # that of the job above the list, too
    assert problems == []


@pytest.mark.parametrize("react", REACTS)
async def test_on_a_server_they_show_a_job_of_which_nothing_is_known(
    dependencies: Path, react: str
) -> None:
    server = dependencies.parent / "server.js"
    done = subprocess.run(  # noqa: ASYNC221 - nothing else runs
        [node(), server], cwd=FOLDERS[react], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(REACTS[react])


async def streams(service: Service) -> float:
    return (await service.metrics())["jobcast_streams"]


async def has_streams(service: Service, count: int) -> bool:
    return await streams(service) == count


async def is_cancelled(run: jobcast.Run) -> bool:
    try:
        await run.progress(61)
    except jobcast.JobCancelled:
        return True
    return False
