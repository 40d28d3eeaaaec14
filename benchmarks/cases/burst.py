"""One job that reports far faster than all its viewers can be told."""

import asyncio
import time
from contextlib import ExitStack
from typing import Final

from benchmarks.case import HEADROOM, Bar, Case, Sample, Subject
from benchmarks.load import Load, job_ids, prepare
from benchmarks.processes import Process
from benchmarks.servers import JOBCAST, valkey
from benchmarks.viewers import Crowd, Onlooker, percentile
from benchmarks.wire import AppendScript

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
    with ExitStack() as stack:
        redis = stack.enter_context(valkey())
        process = stack.enter_context(JOBCAST.start(redis.port))
        jobs = job_ids(1)
        sha = prepare(redis.port, jobs)
        requests = [JOBCAST.request(jobs[0])] * _VIEWERS
        crowd = Crowd(process.port, requests, JOBCAST.ready_mark, Onlooker)
        stack.callback(crowd.leave)
        await crowd.join()
        load = Load(lambda: AppendScript(sha), jobs, redis.port, workers=1)
        await load.run(_PER_S, _WARM_UP_S)
        crowd.ages_ns = crowd.ages_ns[:0]
        start_kib, peak_kib = process.rss_kib(), _Peak(process)
        watching = asyncio.create_task(peak_kib.watch())
        server_s, redis_s, mine_s = process.cpu_s(), redis.cpu_s(), time.process_time()
        began = time.monotonic()
        await load.run(_PER_S, seconds)
        last = time.monotonic()
        ages = crowd.ages_ns[:]
        server_s, redis_s = process.cpu_s() - server_s, redis.cpu_s() - redis_s
        mine_s = time.process_time() - mine_s
        up_to_date = await _up_to_date(crowd, load.last_ns)
        watching.cancel()
        more = {
            "max ms": percentile(ages, 100) / _NS_PER_MS,
            "updates/s each": len(ages) / (last - began) / _VIEWERS,
            _GROWTH: (peak_kib.kib - start_kib) / _KIB_PER_MIB,
            "core %": 100 * server_s / (last - began),
            HEADROOM: max(0.0, last - began - redis_s) / mine_s,
        }
        failure = None
        if up_to_date < _VIEWERS or crowd.lost or load.refused:
            failure = f"{up_to_date} of {_VIEWERS} viewers saw the last event, {crowd.lost} lost"
        return Sample(percentile(ages, 99) / _NS_PER_MS, more, failure)


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
    """Wait for the last event; return how many viewers show it."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        count = sum(shown == last_ns for shown in crowd.newest_ns.values())
        if count >= _VIEWERS or time.monotonic() > deadline:
            return count
        await asyncio.sleep(0.01)


BURST: Final = Case(
    "burst",
    "1 job, 1,000 viewers, 1,000 events/s",
    "ms: 99th percentile of the age of what a viewer shows, as it is replaced",
    [
        Subject(
            JOBCAST.name,
            overwhelm,
            [Bar(100, ratio=False), Bar(_GROWTH_MIB, _GROWTH, ratio=False)],
        )
    ],
)
