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
from benchmarks.servers import JOBCAST, get, valkey
from benchmarks.wire import AppendScript
from benchmarks.workers import Workers

_JOBS: Final = 4000
_TOGETHER: Final = 200
_PER_S: Final = 2000
_OWNER: Final = "all"
_WARM_UP_S: Final = 1.0
_SETTLE_S: Final = 1.0
_NS_PER_MS: Final = 1e6
_US_PER_S: Final = 1e6
_CPU: Final = "µs of CPU a delivery"


def _requests(jobs: Sequence[str], together: int) -> list[bytes]:
    headers = f"Authorization: Bearer {token(_OWNER)}\r\n"
    if together == 1:
        return [get(f"/api/v1/jobs/{job_id}/stream", headers) for job_id in jobs]
    groups = (jobs[first : first + together] for first in range(0, len(jobs), together))
    return [get(f"/api/v1/stream?jobs={','.join(group)}", headers) for group in groups]


async def share(together: int, seconds: float) -> Sample:
    """Watch jobs on streams of so many each; see what they take, and what an event takes."""
    async with AsyncExitStack() as stack:
        redis = stack.enter_context(valkey())
        with JOBCAST.start(redis.port):
            pass
        process = stack.enter_context(JOBCAST.start(redis.port))
        one, *jobs = job_ids(_JOBS + 1)
        sha = prepare(redis.port, [one, *jobs], _OWNER)
        sizes = []
        for some in ([one], jobs):
            crowd = Crowd(process.port, _requests(some, together), JOBCAST.ready_mark)
            await stack.enter_async_context(crowd)
            await crowd.join()
            if crowd.refused:
                return Sample(failure=f"{crowd.refused} streams refused")
            await asyncio.sleep(_SETTLE_S)
            sizes.append(process.rss_kib())
        workers = Workers(AppendScript(sha), jobs, redis.port)
        await stack.enter_async_context(workers)
        await workers.connect()
        await all_here([crowd], await workers.publish(_PER_S, _WARM_UP_S))
        await crowd.seen()
        with without_collector():
            meter = Meter([process], redis, [crowd, workers])
            expected = await workers.publish(_PER_S, seconds)
            await all_here([crowd], expected)
            meter.stop()
        seen = await crowd.seen()
        failure = None
        if len(seen.notes_ns) != expected or seen.lost:
            failure = f"{len(seen.notes_ns)} of {expected} deliveries, {seen.lost} streams lost"
        more = {
            _CPU: meter.server_s / max(1, len(seen.notes_ns)) * _US_PER_S,
            "p99 ms": percentile(seen.notes_ns, 99) / _NS_PER_MS,
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
            [AtMost(2, ratio=False)],
        ),
        Subject("Jobcast, a stream for each job", partial(share, 1), [AtMost(1, _CPU)]),
    ],
)
