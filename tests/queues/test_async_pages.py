"""The pages of docs/workers about queues of asyncio: what they say is done as they say it."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.dev import command
from tests.queues.async_kinds import KINDS
from tests.queues.log import Log
from tests.support.queue_worker import ROOT
from tests.support.valkey import Valkey

MAX_LINES = 20
"""How long a program may be that shows a bar."""


@pytest.fixture(scope="module")
def server() -> Iterator[Valkey]:
    with Valkey() as running:
        yield running


def blocks_of(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("name", KINDS)
async def test_a_page_leads_to_a_moving_bar(name: str, server: Valkey, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "workers" / f"{name}.md").read_text()
    kind = KINDS[name]
    for program in blocks_of(page, "python"):
        file, text = program.removeprefix("# ").split("\n", 1)
        (tmp_path / file).write_text(text.replace("(0.1)", "(0.01)"))
        assert text.count("\n") < MAX_LINES
    settings = kind.settings(server, server.url, tmp_path)
    worker, enqueue = blocks_of(page, "sh")[1].splitlines()
    with kind.run(worker, settings, tmp_path) as running, server.client() as client:
        assert enqueue == "python enqueue.py"
        done = await asyncio.create_subprocess_exec(
            *(sys.executable, "enqueue.py"),
            cwd=tmp_path,
            env=running.environment,
            stdout=subprocess.PIPE,
        )
        output, _ = await done.communicate()
        job_id = output.decode().strip()
        log = Log(client)
        state = await log.ended(job_id)
        assert (state["status"], state["userId"], state["result"]) == (
            *("succeeded", command.USER),
            '"report.pdf"',
        )
        assert log.progress(job_id)[-1] == 100
    (element,) = blocks_of(page, "html")
    for line in element.replace("http://127.0.0.1:8000", "{url}").splitlines():
        assert line in command._STARTED
