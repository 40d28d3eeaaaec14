"""The examples of docs/workers/bridge.md, as they stand there."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
from redis.asyncio import Redis

from tests.support.bridge_process import APPENDS, BridgeProcess
from tests.support.queue_worker import QueueWorker
from tests.support.stored import job_ids, state_of
from tests.support.valkey import Valkey
from tests.support.waiting import eventually

PAGE = (Path(__file__).parents[2] / "docs" / "workers" / "bridge.md").read_text()
READY = {
    "publish-only workers": APPENDS,
    "bullmq": "reading from",
    "celery": "celery: following",
    "rq": "rq: following",
}
WORKERS = {"celery": ("celery", " ready."), "rq": ("rq.cli", "Listening on")}
DONE = {
    "publish-only workers": ("report-1", "job", '{"pages":12}'),
    "bullmq": ("render-1", "film", '{"frames":12}'),
    "celery": (None, "tasks.report", '{"pages":12}'),
    "rq": (None, "work.report", '{"pages":12}'),
}


class Example(NamedTuple):
    """A section's files by name, and its commands in order."""

    files: dict[str, str]
    commands: list[str]


def example(section: str) -> Example:
    text = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    body = next(part for part in text if part.lower().startswith(f"{section}\n"))
    blocks = re.findall(r"^```(sh|python)\n(.*?)^```", body, re.MULTILINE | re.DOTALL)
    files = {code.split()[1]: code for kind, code in blocks if kind == "python"}
    commands = [line for kind, code in blocks if kind == "sh" for line in code.splitlines()]
    return Example(files, commands)


@pytest.fixture(scope="module")
def server() -> Iterator[Valkey]:
    with Valkey() as running:
        yield running


@pytest.fixture
async def redis(server: Valkey) -> AsyncIterator[Redis]:
    server.flush()
    async with Redis.from_url(server.url, decode_responses=True) as client:
        yield client


@pytest.mark.parametrize("section", READY)
async def test_an_example_does_what_the_page_says(
    section: str, server: Valkey, redis: Redis, tmp_path: Path
) -> None:
    files, commands = example(section)
    for name, code in files.items():
        (tmp_path / name).write_text(code)
    with ExitStack() as running:
        for command in commands:
            run(section, command, server, tmp_path, running)

        async def is_done() -> bool:
            states = [await state_of(redis, job_id) for job_id in await job_ids(redis)]
            return [state["status"] for state in states] == ["succeeded"]

        await eventually(is_done)
    (job_id,) = await job_ids(redis)
    state = await state_of(redis, job_id)
    expected_id, job_type, result = DONE[section]
    assert expected_id in {None, job_id}
    assert (state["userId"], state["type"], state["result"]) == ("u1", job_type, result)


def run(section: str, command: str, server: Valkey, folder: Path, running: ExitStack) -> None:
    """Do what a line of the page says."""
    words = shlex.split(command.replace("$REDIS_URL", server.url))
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("JOBCAST_")}
    if words[-2:] == ["jobcast", "bridge"]:
        settings = dict(word.split("=", 1) for word in words[:-2])
        bridge = running.enter_context(BridgeProcess(server.url, **settings))
        bridge.wait_for_log(READY[section])
    elif words[0] == "redis-cli":
        server.ask(*words[3:])
    elif words[0] in WORKERS:
        module, ready = WORKERS[words[0]]
        worker = QueueWorker(
            module, *words[1:], ready=ready, REDIS_URL=server.url, PYTHONPATH=str(folder)
        )
        running.enter_context(worker)
    else:
        assert words[0] == "python"
        environment = {**inherited, "REDIS_URL": server.url}
        subprocess.run(
            [sys.executable, *words[1:]], cwd=folder, env=environment, check=True, timeout=60
        )
