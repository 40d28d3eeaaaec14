"""How fast a worker appends.

The rows in C do what ``redis-benchmark`` does with the same commands: over one connection they send
as many as may be under way in one pipeline, wait for all answers, and so on.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Final

import jobcast
from benchmarks.case import AtLeast, Case, Sample, Subject
from benchmarks.jobs import job_ids, prepare
from benchmarks.native import compiler_missing
from benchmarks.processes import HOST, SERVER_CORE
from benchmarks.servers import valkey
from benchmarks.wire import AddAndPublish, AppendScript
from benchmarks.workers import Workers

_DEPTH: Final = 32
WARM_UP_S: Final = 0.5
US_PER_S: Final = 1e6


@dataclass(frozen=True)
class Target:
    """Started jobs on a Redis that has loaded the append script."""

    port: int
    jobs: Sequence[str]
    sha: str


@dataclass(frozen=True)
class Rate:
    """Appends a second, and the seconds of CPU that whoever appended used in a second."""

    per_s: float
    cpu: float


Appending = Callable[[Target, float], Awaitable[Rate]]
"""Appends for so many seconds, after a warm-up."""


async def _with_the_library(target: Target, seconds: float) -> Rate:
    url = f"redis://{HOST}:{target.port}/0"
    async with jobcast.connect(url, progress_per_s=None) as jobs:
        runs = [jobs.run(job_id) for job_id in target.jobs]
        await asyncio.gather(*(run.start() for run in runs))

        async def report(run: jobcast.Run, until: float) -> int:
            count = 0
            while time.monotonic() < until:
                await run.progress(50, "Writing the blog post", eta=30)
                count += 1
            return count

        async def report_all(seconds: float) -> int:
            until = time.monotonic() + seconds
            return sum(await asyncio.gather(*(report(run, until) for run in runs)))

        await report_all(WARM_UP_S)
        began, cpu_s = time.monotonic(), time.process_time()
        count = await report_all(seconds)
        took_s = time.monotonic() - began
        return Rate(count / took_s, (time.process_time() - cpu_s) / took_s)


async def _rush(worker: Workers, answers: int, seconds: float) -> Rate:
    async with worker:
        await worker.connect()
        await worker.rush(WARM_UP_S, answers)
        began, cpu_s = time.monotonic(), worker.cpu_s()
        per_s = await worker.rush(seconds, answers)
        return Rate(per_s, (worker.cpu_s() - cpu_s) / (time.monotonic() - began))


async def _script(target: Target, seconds: float) -> Rate:
    worker = Workers(AppendScript(target.sha), target.jobs, target.port, 1)
    return await _rush(worker, 1, seconds)


async def _add_and_publish(target: Target, seconds: float) -> Rate:
    return await _rush(Workers(AddAndPublish(), target.jobs, target.port, 1), 2, seconds)


async def append(appending: Appending, depth: int, seconds: float) -> Sample:
    """Append to as many jobs as are under way at once, Redis on the other core."""
    with ExitStack() as stack:
        redis = stack.enter_context(valkey(SERVER_CORE))
        jobs = job_ids(depth)
        target = Target(redis.port, jobs, prepare(redis.port, jobs))
        redis_s, began = redis.cpu_s(), time.monotonic()
        rate = await appending(target, seconds)
        redis_share = (redis.cpu_s() - redis_s) / (time.monotonic() - began)
        more = {"µs here": rate.cpu / rate.per_s * US_PER_S, "Redis core %": 100 * redis_share}
        return Sample(rate.per_s, more)


def _case(name: str, depth: int) -> Case:
    return Case(
        name,
        f"{depth} under way",
        "appends a second",
        [
            Subject("worker library", partial(append, _with_the_library, depth)),
            Subject("append script, C", partial(append, _script, depth), (), compiler_missing),
            Subject(
                "bare XADD + PUBLISH, C",
                partial(append, _add_and_publish, depth),
                [AtLeast(0.6)],
                compiler_missing,
            ),
        ],
    )


APPEND: Final = [_case("append", 1), _case(f"append-{_DEPTH}", _DEPTH)]
