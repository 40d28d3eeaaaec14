"""What docs/workers/node.md tells a newcomer to write, run as it is there."""

import asyncio
import os
import re
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest
from playwright.async_api import Page, expect

from app.dev.command import USER
from tests.support.calls import create, status_of
from tests.support.module_process import ROOT
from tests.support.npm import installed, node, packed
from tests.support.service import Service, token
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

GUIDE: Final = (ROOT / "docs" / "workers" / "node.md").read_text()
PROGRAM, WORKER, ADD, OF_SERVICE, CALLS = re.findall(
    r"^```js\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL
)
(PAGE,) = re.findall(r"^```html\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which the package is installed as npm would publish it."""
    modules = installed()
    folder = tmp_path_factory.mktemp("project")
    (folder / "node_modules").mkdir()
    packed(folder).rename(folder / "node_modules" / "jobcast")
    for name in ("ioredis", "bullmq"):
        (folder / "node_modules" / name).symlink_to(modules / name)
    return folder


@asynccontextmanager
async def running(project: Path, name: str, text: str, redis_url: str) -> AsyncIterator[Process]:
    """Run a program; it has to end well, after SIGTERM if the block is over before."""
    (project / f"{name}.mjs").write_text(text)
    process = await asyncio.create_subprocess_exec(
        node(),
        f"{name}.mjs",
        cwd=project,
        stdout=PIPE,
        env={"REDIS_URL": redis_url, "PATH": os.environ["PATH"]},
    )
    try:
        yield process
        if name.startswith("worker"):
            process.terminate()
        assert await asyncio.wait_for(process.wait(), 60) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def line_of(process: Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().strip()


def client_of(service: Service) -> httpx.AsyncClient:
    """Return a client of the user whose jobs the page's programs create."""
    client = service.client(None)
    client.headers["authorization"] = f"Bearer {token(USER)}"
    return client


async def has_succeeded(client: httpx.AsyncClient, job_id: str) -> bool:
    return bool((await status_of(client, job_id))["status"] == "succeeded")


async def test_the_first_program_moves_a_bar(
    project: Path, service: Service, redis_url: str, page: Page
) -> None:
    assert len(PROGRAM.splitlines()) + len(PAGE.splitlines()) < 20
    async with running(project, "report", PROGRAM, redis_url) as process:
        job_id = await line_of(process)
        text = PAGE.replace("http://127.0.0.1:8000", service.url).replace("the id", job_id)
        text = text.replace("the token", token(USER))
        await page.goto(f"{service.url}/docs")  # of this origin
        await page.set_content(text)
        bar = page.get_by_role("progressbar")
        await expect(bar).to_have_attribute("aria-valuenow", re.compile("^[1-9][0-9]?$"))
        await expect(bar).to_have_attribute("aria-valuenow", "100")
    async with client_of(service) as client:
        assert await has_succeeded(client, job_id)


async def test_a_project_with_bullmq_shows_what_it_reported_before(
    project: Path, service: Service, redis_url: str
) -> None:
    async with running(project, "worker", WORKER, redis_url):
        async with running(project, "add", ADD.replace("100", "12"), redis_url) as process:
            job_id = await line_of(process)
        async with client_of(service) as client:
            await eventually(lambda: has_succeeded(client, job_id))
            assert (await status_of(client, job_id))["result"] == {"pages": 12}


async def test_jobs_that_the_service_has_queued_are_served(
    project: Path, service: Service, redis_url: str
) -> None:
    async with (
        running(project, "worker-of-service", OF_SERVICE, redis_url),
        client_of(service) as client,
    ):
        job_id = await create(client, type="scan", input={"folder": "photos"})
        await eventually(lambda: has_succeeded(client, job_id))
        status = await status_of(client, job_id)
    assert status["result"] == {"type": "scan"}
    assert status["currentStep"] == "Reading photos"


async def test_the_calls_of_a_run(project: Path, service: Service, redis_url: str) -> None:
    head, tail = PROGRAM.split("await jobs.run(jobId)")[0], "await jobs.close();\n"
    async with running(project, "calls", f"{head}{CALLS}{tail}", redis_url) as process:
        job_id = await line_of(process)
        assert await line_of(process) == "report 1 {}"
    async with client_of(service) as client:
        status = await status_of(client, job_id)
    assert (status["status"], status["result"]) == ("succeeded", {"files": 2})
