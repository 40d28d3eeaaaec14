"""CPU that an adapter adds to a task which reports progress in its queue's own way."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import Final, cast

from celery import Celery
from redis import Redis

import jobcast.adapters.celery
import jobcast.adapters.rq
from benchmarks.case import AtMost, Case, Sample, Subject
from benchmarks.peers.reporting import PER_S
from benchmarks.peers.rq_tasks import report
from benchmarks.processes import HOST, LOAD_CORE, ROOT, SERVER_CORE, on
from benchmarks.servers import valkey

_ADDED_PERCENT: Final = 3
_PATIENCE_S: Final = 60.0

Call = Callable[[float], float]
"""Enqueues the task for some seconds, and returns the CPU that it used, in percent of a core."""

Queue = Callable[[str], AbstractContextManager[Call]]
"""Starts the worker of a queue whose Redis has this URL."""


@contextmanager
def _worker(url: str, *command: str) -> Iterator[None]:
    """Run a worker, on the core of the servers."""
    with on(SERVER_CORE):
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            env={**os.environ, "REDIS_URL": url},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(_PATIENCE_S)


@contextmanager
def _celery(url: str) -> Iterator[Call]:
    app = Celery("benchmark", broker=url, backend=url)
    jobcast.adapters.celery.install(app, url)

    def call(seconds: float) -> float:
        sent = app.send_task("report", [seconds])
        return cast("float", sent.get(timeout=seconds + _PATIENCE_S))

    application = ("celery", "--app", "benchmarks.peers.celery_tasks")
    with _worker(url, *application, "worker", "--concurrency", "1", "--without-mingle"):
        yield call


@contextmanager
def _rq(url: str) -> Iterator[Call]:
    with Redis.from_url(url) as redis:
        queue = jobcast.adapters.rq.Queue(connection=redis)

        def call(seconds: float) -> float:
            job = queue.enqueue(report, seconds)
            until = time.monotonic() + seconds + _PATIENCE_S
            while job.get_status(refresh=True) in {"queued", "started"}:
                if time.monotonic() > until:
                    raise TimeoutError
                time.sleep(0.1)
            return cast("float", job.return_value())

        follow = ("--job-class", "jobcast.adapters.rq.Job")
        with _worker(url, "rq.cli", "worker", "--url", url, *follow):
            yield call


async def _forward(queue: Queue, seconds: float) -> Sample:
    return await asyncio.to_thread(_added, queue, seconds)


def _added(queue: Queue, seconds: float) -> Sample:
    """Run the same task without a job and with one."""
    with ExitStack() as stack:
        redis = stack.enter_context(valkey(LOAD_CORE))
        call = stack.enter_context(queue(f"redis://{HOST}:{redis.port}/0"))
        with jobcast.owner():  # nobody
            call(0.1)  # whatever the first one loads
            without = call(seconds / 2)
        with jobcast.owner(user_id="u"):
            call(0.1)
            followed = call(seconds / 2)
        more = {"% without a job": without, "% with one": followed}
        return Sample(followed - without, more)


FORWARDING: Final = Case(
    "forwarding",
    f"a task that reports {PER_S} times a second",
    "% of a core added",
    [
        Subject(name, partial(_forward, queue), [AtMost(_ADDED_PERCENT, ratio=False)])
        for name, queue in (("Celery, update_state", _celery), ("RQ, save_meta", _rq))
    ],
)
