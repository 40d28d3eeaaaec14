"""What the pages of docs/workers tell a newcomer to write, up to a bar that moves in a browser."""

import asyncio
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from playwright.async_api import Page, expect

from app.dev.command import USER
from tests.queues.async_kinds import KINDS
from tests.support.hypercorn_server import serving
from tests.support.module_process import ROOT
from tests.support.queue_worker import QueueWorker, as_module
from tests.support.service import Service, token
from tests.support.site import Site

pytestmark = pytest.mark.asyncio(loop_scope="session")

READY: Final = {"celery": "[queues]", "dramatiq": "is ready for action", "rq": "Listening on"} | {
    kind.name: kind.ready for kind in KINDS.values()
}
PROGRAMS: Final = {"bullmq": "python"}
MAX_LINES: Final = 20
"""How long a program may be that shows a bar."""

SEEN: Final = """
window.seen = [];
addEventListener("jobstate", ({ detail }) => seen.push(detail.progress));
"""


def blocks_of(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


def enqueued(command: str, worker: QueueWorker, folder: Path) -> str:
    """Run the program that enqueues, and return what it prints."""
    program, *arguments = shlex.split(command)
    assert program == "python"
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=worker.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize("queue", READY)
async def test_a_page_leads_to_a_moving_bar(
    queue: str, redis_url: str, page: Page, tmp_path: Path
) -> None:
    guide = (ROOT / "docs" / "workers" / f"{queue}.md").read_text().partition("\n## ")[0]
    for program in blocks_of(guide, "python"):
        first, text = program.split("\n", 1)
        (tmp_path / first.removeprefix("# ")).write_text(text.replace("(0.1)", "(0.03)"))
        assert len(text.splitlines()) < MAX_LINES
    install, run = blocks_of(guide, "sh")
    assert f"'jobcast[{queue}]'" in install
    start, enqueue = run.splitlines()
    assert start.startswith(f"{PROGRAMS.get(queue, queue)} ")
    arguments = as_module(start.replace("$REDIS_URL", redis_url))
    settings = {"REDIS_URL": redis_url}
    if queue in KINDS:
        settings = KINDS[queue].settings(redis_url, redis_url, tmp_path)
    worker = QueueWorker(*arguments, ready=READY[queue], folder=tmp_path, **settings)
    (shown,) = blocks_of(guide, "html")
    site = Site()
    async with serving(site) as origin:
        with Service(redis_url, JOBCAST_CORS_ORIGINS=origin) as service, worker as running:
            job_id = await asyncio.to_thread(enqueued, enqueue, running, tmp_path)
            for given, own in (
                ("http://127.0.0.1:8000", service.url),
                ('"the id"', f'"{job_id}"'),
                ('"the token"', f'"{token(USER)}"'),
            ):
                assert given in shown
                shown = shown.replace(given, own)
            site.page = shown
            await page.add_init_script(SEEN)
            await page.goto(origin)
            bar = page.get_by_role("progressbar")
            await expect(bar).to_have_attribute("aria-valuenow", "100", timeout=60_000)
            assert len(set(await page.evaluate("seen"))) > 2
