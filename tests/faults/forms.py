"""The worker library in each of its forms, under the names and with the errors of one of them.

The form ``Celery`` is an adapter in a worker of Celery: see ``celery_worker``.
"""

import asyncio
import json
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, Literal, get_args

from redis.exceptions import ConnectionError as NoConnection

import jobcast
import jobcast.sync
from tests.support.node_worker import NodeWorker, Threw

Form = Literal["asynchronous", "blocking", "Node", "Celery"]
ADAPTER: Final[Form] = "Celery"
FORMS: Final[tuple[Form, ...]] = tuple(form for form in get_args(Form) if form != ADAPTER)
"""Those of the library."""

HAS_NODE: Final = shutil.which("node") is not None and shutil.which("npm") is not None


Call = Callable[..., Awaitable[str]]
"""Makes the call to a run whose name comes first, and returns the id of the entry."""


@asynccontextmanager
async def opened(
    form: Form, url: str, job_id: str, *, lease_s: float, block_s: float
) -> AsyncIterator[Call]:
    """Connect to Redis and give the calls of a run, which is not started yet."""
    match form:
        case "asynchronous":
            async with jobcast.connect(
                url, lease_s=lease_s, block_s=block_s, progress_per_s=None
            ) as jobs:
                run = jobs.run(job_id)
                yield lambda name, *given, **more: getattr(run, name)(*given, **more)
        case "blocking":
            async with _blocking(url, job_id, lease_s, block_s) as call:
                yield call
        case "Node":
            async with NodeWorker(url, leaseS=lease_s, blockS=block_s) as worker:
                await worker.call("open", job_id)
                yield partial(_called, worker)
                await worker.left()
        case "Celery":
            async with _celery(url, job_id, lease_s, block_s) as call:
                yield call


@asynccontextmanager
async def _blocking(url: str, job_id: str, lease_s: float, block_s: float) -> AsyncIterator[Call]:
    thread = ThreadPoolExecutor(1)

    def within(call: Callable[..., Any], *given: object, **more: object) -> Awaitable[Any]:
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(thread, partial(call, *given, **more))

    jobs = jobcast.sync.connect(url, lease_s=lease_s, block_s=block_s, progress_per_s=None)
    try:
        run = jobs.run(job_id)
        yield lambda name, *given, **more: within(getattr(run, name), *given, **more)
    finally:
        try:
            await within(jobs.close)
        finally:
            # Whoever is cancelled must not keep the networks waiting, which this process plays.
            thread.shutdown(wait=False)


@asynccontextmanager
async def _celery(url: str, job_id: str, lease_s: float, block_s: float) -> AsyncIterator[Call]:
    arguments = (url, job_id, str(lease_s), str(block_s))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults.celery_worker", *arguments),
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,
    )
    reader, writer = process.stdout, process.stdin
    assert reader is not None
    assert writer is not None

    async def call(name: str, *given: object, **more: object) -> str:
        if name != "start":  # the adapter itself starts the run
            writer.write(f"{json.dumps([name, given, more])}\n".encode())
        line = await reader.readline()
        if not line:
            raise RuntimeError("the process of the worker of Celery has ended")
        entry_id: str | None = json.loads(line)
        if entry_id is None and name not in {"complete", "fail"}:
            raise jobcast.JobSuperseded("The task reports to nobody any more")
        return entry_id or ""

    try:
        yield call
        writer.close()
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _called(worker: NodeWorker, name: str, *given: object, **more: object) -> str:
    answer = worker.begin(name, *given, *([more] if more else []))
    await asyncio.wait([answer])
    if answer.cancelled():
        raise RuntimeError("the process of the worker in Node has ended")
    try:
        return str(answer.result() or "")
    except Threw as threw:
        if threw.name == "RedisUnavailable":
            raise NoConnection(str(threw)) from threw
        kind = getattr(jobcast, threw.name, None)
        if isinstance(kind, type) and issubclass(kind, jobcast.JobcastError):
            raise kind(str(threw)) from threw
        raise
