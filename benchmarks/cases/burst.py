"""One job that reports far faster than all its viewers can be told."""

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Final

from benchmarks.case import AtMost, Case, Sample, Subject
from benchmarks.crowd import Crowd, percentile
from benchmarks.jobs import job_ids, prepare
from benchmarks.meter import Meter
from benchmarks.processes import Process
from benchmarks.servers import JOBCAST, valkey
from benchmarks.wire import AppendScript
from benchmarks.workers import Workers

_VIEWERS: Final = 1000
_PER_S: Final = 1000
_WARM_UP_S: Final = 1.0
_LOOK_S: Final = 0.1
_PATIENCE_S: Final = 10.0
_NS_PER_MS: Final = 1e6
_KIB_PER_MIB: Final = 1024
_GROWTH: Final = "growth MiB"
_GROWTH_MIB: Final = 32


async def overwhelm(seconds: float) -> Sample:
    """Publish, and see how old what the viewers show becomes before it is replaced."""
    async with AsyncExitStack() as stack:
        redis = stack.enter_context(valkey())
        process = stack.enter_context(JOBCAST.start(redis.port))
        jobs = job_ids(1)
        sha = prepare(redis.port, jobs)
        requests = [JOBCAST.request(jobs[0])] * _VIEWERS
        crowd = Crowd(process.port, requests, JOBCAST.ready_mark, "shown")
        await stack.enter_async_context(crowd)
        await crowd.join()
        worker = Workers(AppendScript(sha), jobs, redis.port)
        await stack.enter_async_context(worker)
        await worker.connect()
        await worker.publish(_PER_S, _WARM_UP_S)
        await crowd.seen()
        start_kib, peak = process.rss_kib(), _Peak(process)
        watching = asyncio.create_task(peak.watch())
        meter = Meter([process], redis, [crowd, worker])
        await worker.publish(_PER_S, seconds)
        meter.stop()
        up_to_date = await _up_to_date(crowd, worker.last_ns)
        seen = await crowd.seen()
        watching.cancel()
        more = {
            "max ms": percentile(seen.notes_ns, 100) / _NS_PER_MS,
            "updates/s each": len(seen.notes_ns) / meter.wall_s / _VIEWERS,
            _GROWTH: (peak.kib - start_kib) / _KIB_PER_MIB,
            **meter.shares(),
        }
        failure = None
        if up_to_date < _VIEWERS or seen.lost or worker.refused:
            failure = (
                f"{up_to_date} of {_VIEWERS} viewers saw the last event within {_PATIENCE_S:g} s, "
                f"{seen.lost} streams lost; {more[_GROWTH]:.0f} MiB growth"
            )
        return Sample(percentile(seen.notes_ns, 99) / _NS_PER_MS, more, failure)


class _Peak:
    """The most memory that a process was seen to hold."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.kib = process.rss_kib()

    async def watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            self.kib = max(self.kib, self._process.rss_kib())


async def _up_to_date(crowd: Crowd, last_ns: int) -> int:
    """Wait for the last event; return how many viewers have it."""
    deadline = time.monotonic() + _PATIENCE_S
    while (count := await crowd.shown(last_ns)) < _VIEWERS and time.monotonic() < deadline:  # noqa: ASYNC110 - it is elsewhere
        await asyncio.sleep(_LOOK_S)
    return count


BURST: Final = Case(
    "burst",
    "1 job, 1,000 viewers, 1,000 events/s",
    "ms: 99th percentile of the age of what a viewer shows, as it is replaced",
    [
        Subject(
            JOBCAST.name,
            overwhelm,
            [AtMost(100, ratio=False), AtMost(_GROWTH_MIB, _GROWTH, ratio=False)],
        )
    ],
)
