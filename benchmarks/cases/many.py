"""What a job costs on a stream of many, beside streams of one job each."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

from benchmarks.case import AtMost, Case, Sample, Subject
from benchmarks.crowd import Crowd, all_here, percentile
from benchmarks.jobs import job_ids, prepare, token
from benchmarks.meter import Meter, without_collector
from benchmarks.processes import Process
from benchmarks.servers import JOBCAST, get, valkey
from benchmarks.wire import AppendScript
from benchmarks.workers import Workers

_JOBS: Final = 4000
_TOGETHER: Final = 200
_PER_S: Final = 2000
_OWNER: Final = "all"
_WARM_UP_S: Final = 1.0
_SETTLE_S: Final = 2.0
_NS_PER_MS: Final = 1e6
_US_PER_S: Final = 1e6
_AGAIN: Final = "KiB once more"
_CPU: Final = "µs of CPU a delivery"


def _requests(jobs: Sequence[str], together: int) -> list[bytes]:
    headers = f"Authorization: Bearer {token(_OWNER)}\r\n"
    if together == 1:
        return [get(f"/api/v1/jobs/{job_id}/stream", headers) for job_id in jobs]
    groups = (jobs[first : first + together] for first in range(0, len(jobs), together))
    return [get(f"/api/v1/stream?jobs={','.join(group)}", headers) for group in groups]


async def _settled(process: Process) -> int:
    """Return what a process holds in KiB, once all jobs have joined: when it grows no more."""
    before, size = 0, process.rss_kib()
    while size > before:
        await asyncio.sleep(_SETTLE_S)
        before, size = size, process.rss_kib()
    return size


async def share(together: int, seconds: float) -> Sample:
    """Watch jobs on streams of so many each, twice; see what they take, and what an event takes.

    The first streams of the jobs take their actors, too.
    """
    async with AsyncExitStack() as stack:
        redis = stack.enter_context(valkey())
        with JOBCAST.start(redis.port):
            pass
        process = stack.enter_context(JOBCAST.start(redis.port))
        one, *jobs = job_ids(_JOBS + 1)
        sha = prepare(redis.port, [one, *jobs], _OWNER)
        sizes, crowds = [], []
        for some in ([one], jobs, jobs):
            crowd = Crowd(process.port, _requests(some, together), JOBCAST.ready_mark)
            await stack.enter_async_context(crowd)
            await crowd.join()
            if crowd.refused:
                return Sample(failure=f"{crowd.refused} streams refused")
            sizes.append(await _settled(process))
            crowds.append(crowd)
        crowds = crowds[1:]
        workers = Workers(AppendScript(sha), jobs, redis.port)
        await stack.enter_async_context(workers)
        await workers.connect()
        await all_here(crowds, 2 * await workers.publish(_PER_S, _WARM_UP_S))
        for crowd in crowds:
            await crowd.seen()
        with without_collector():
            meter = Meter([process], redis, [*crowds, workers])
            expected = 2 * await workers.publish(_PER_S, seconds)
            await all_here(crowds, expected)
            meter.stop()
        seen = [await crowd.seen() for crowd in crowds]
        ages = [age for each in seen for age in each.notes_ns]
        lost = sum(each.lost for each in seen)
        failure = None
        if len(ages) != expected or lost:
            failure = f"{len(ages)} of {expected} deliveries, {lost} streams lost"
        more = {
            _AGAIN: (sizes[2] - sizes[1]) / _JOBS,
            _CPU: meter.server_s / max(1, len(ages)) * _US_PER_S,
            "p99 ms": percentile(ages, 99) / _NS_PER_MS,
            **meter.shares(),
        }
        return Sample((sizes[1] - sizes[0]) / _JOBS, more, failure)


MANY: Final = Case(
    "many",
    f"{_JOBS:,} jobs, {_TOGETHER} on a stream, {_PER_S:,} events/s",
    "KiB a job",
    [
        Subject(
            f"Jobcast, {_TOGETHER} jobs a stream",
            partial(share, _TOGETHER),
            [AtMost(2, ratio=False), AtMost(1, _AGAIN, ratio=False)],
        ),
        Subject("Jobcast, a stream for each job", partial(share, 1), [AtMost(1.1, _CPU)]),
    ],
)
