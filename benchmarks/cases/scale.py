"""Twenty thousand jobs that are watched at once, by two service processes."""

import asyncio
from contextlib import AsyncExitStack
from typing import Final

from benchmarks.case import AtMost, Case, Sample, Subject
from benchmarks.crowd import Crowd, all_here, percentile
from benchmarks.jobs import job_ids, prepare
from benchmarks.meter import Meter, without_collector
from benchmarks.servers import JOBCAST, valkey
from benchmarks.wire import AppendScript
from benchmarks.workers import Workers

_JOBS: Final = 20_000
_PROCESSES: Final = 2
_PER_S: Final = 2000
_WARM_UP_S: Final = 1.0
_JOIN_S: Final = 180.0
_NS_PER_MS: Final = 1e6
_US_PER_S: Final = 1e6
_KIB_PER_MIB: Final = 1024


async def spread(seconds: float) -> Sample:
    """Give each process half of the viewers, publish in turn, and see how late events are."""
    async with AsyncExitStack() as stack:
        redis = stack.enter_context(valkey())
        services = [stack.enter_context(JOBCAST.start(redis.port)) for _ in range(_PROCESSES)]
        jobs = job_ids(_JOBS)
        sha = prepare(redis.port, jobs)
        crowds = []
        for number, service in enumerate(services):
            requests = [JOBCAST.request(job_id) for job_id in jobs[number::_PROCESSES]]
            crowd = Crowd(service.port, requests, JOBCAST.ready_mark)
            crowds.append(await stack.enter_async_context(crowd))
        joined_s = max(await asyncio.gather(*(crowd.join(wait_s=_JOIN_S) for crowd in crowds)))
        if refused := sum(crowd.refused for crowd in crowds):
            return Sample(failure=f"{refused} streams refused")
        workers = Workers(AppendScript(sha), jobs, redis.port)
        await stack.enter_async_context(workers)
        await workers.connect()
        await all_here(crowds, await workers.publish(_PER_S, _WARM_UP_S))
        for crowd in crowds:
            await crowd.seen()
        with without_collector():
            meter = Meter(services, redis, [*crowds, workers])
            expected = await workers.publish(_PER_S, seconds)
            await all_here(crowds, expected)
            meter.stop()
        seen = [await crowd.seen() for crowd in crowds]
        ages = [age for crowd in seen for age in crowd.notes_ns]
        more = {
            "p50 ms": percentile(ages, 50) / _NS_PER_MS,
            "CPU µs": meter.server_s / max(1, len(ages)) * _US_PER_S,
            "connect s": joined_s,
            "MiB in all": sum(service.rss_kib() for service in services) / _KIB_PER_MIB,
            **meter.shares(),
        }
        failure = None
        lost = sum(crowd.lost for crowd in seen)
        if len(ages) != expected or lost or workers.refused:
            failure = f"{len(ages)} of {expected} deliveries, {lost} streams lost"
        return Sample(percentile(ages, 99) / _NS_PER_MS, more, failure)


TWENTY_THOUSAND: Final = Case(
    "twenty-thousand",
    "20,000 jobs, 1 viewer each, over two processes, 2,000 events/s",
    "ms: 99th percentile of an event's way",
    [Subject(JOBCAST.name, spread, [AtMost(100, ratio=False)])],
)
