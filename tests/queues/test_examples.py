"""The programs of sdk/python/examples, as their own first lines say to run them."""

import asyncio
import re
import subprocess
import sys

import pytest

from tests.queues.async_kinds import KINDS
from tests.queues.log import Log
from tests.support.queue_worker import ROOT, QueueWorker, as_module
from tests.support.valkey import Valkey
from tests.support.waiting import until

EXAMPLES = ROOT / "sdk" / "python" / "examples"
PROGRAMS = {"bullmq": "python"}
READY = {"celery": "[queues]", "rq": "Listening on"} | {
    kind.name: kind.ready for kind in KINDS.values()
}


def printed_by(program: str, worker: QueueWorker) -> str:
    done = subprocess.run(
        [sys.executable, program],
        cwd=EXAMPLES,
        env=worker.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize("queue", READY)
async def test_an_example_runs(server: Valkey, queue: str) -> None:
    program = f"{queue}_report.py"
    text = (EXAMPLES / program).read_text()
    start = re.findall(rf"^({PROGRAMS.get(queue, queue)} .*) &$", text, re.MULTILINE)[0]
    assert f"\npython {program}\n" in text
    arguments = as_module(start.replace("$REDIS_URL", server.url))
    settings = {"REDIS_URL": server.url}
    if queue in KINDS:
        settings = KINDS[queue].settings(server.url, server.url, EXAMPLES)
    worker = QueueWorker(*arguments, ready=READY[queue], folder=EXAMPLES, **settings)
    with worker as running, server.client() as client:
        job_id = await asyncio.to_thread(printed_by, program, running)
        log = Log(client)
        await until(lambda: len(log.progress(job_id)) > 1)
        assert log.state(job_id)["currentStep"] == "Writing"
