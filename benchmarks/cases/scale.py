"""Twenty thousand jobs that are watched at once, by two service processes."""

import asyncio
import time
from contextlib import ExitStack
from typing import Final

from benchmarks.case import Bar, Case, Sample, Subject
from benchmarks.crowd_process import CrowdProcess, Seen
from benchmarks.load import Load, job_ids, prepare
from benchmarks.processes import Process
from benchmarks.servers import JOBCAST, valkey
from benchmarks.viewers import percentile
from benchmarks.wire import AppendScript

_JOBS: Final = 20_000
_PROCESSES: Final = 2
_PER_S: Final = 2000
_WARM_UP_S: Final = 1.0
_PATIENCE_S: Final = 10.0
_NS_PER_MS: Final = 1e6
_US_PER_S: Final = 1e6
_KIB_PER_MIB: Final = 1024


async def spread(seconds: float) -> Sample:
    """Give each process half of the viewers, publish in turn, and see how late events are."""
    with ExitStack() as stack:
        redis = stack.enter_context(valkey())
        services = [stack.enter_context(JOBCAST.start(redis.port)) for _ in range(_PROCESSES)]
        jobs = job_ids(_JOBS)
        sha = prepare(redis.port, jobs)
        crowds = []
        for number, service in enumerate(services):
            requests = [JOBCAST.request(job_id) for job_id in jobs[number::_PROCESSES]]
            crowd = CrowdProcess(service.port, requests, JOBCAST.ready_mark)
            crowds.append(stack.enter_context(crowd))
        joined_s = max([await crowd.joined() for crowd in crowds])
        load = Load(lambda: AppendScript(sha), jobs, redis.port)
        await load.run(_PER_S, _WARM_UP_S)
        await _all_here(crowds, load.sent)
        for crowd in crowds:
            await crowd.seen()
        cpu_s, sent, began = _cpu_s(services), load.sent, time.monotonic()
        await load.run(_PER_S, seconds)
        expected = load.sent - sent
        await _all_here(crowds, expected)
        cpu_s, took_s = _cpu_s(services) - cpu_s, time.monotonic() - began
        seen = [await crowd.seen() for crowd in crowds]
        ages = [age for crowd in seen for age in crowd.ages_ns]
        more = {
            "p50 ms": percentile(ages, 50) / _NS_PER_MS,
            "CPU µs": cpu_s / max(1, len(ages)) * _US_PER_S,
            "core %": 100 * cpu_s / took_s,
            "connect s": joined_s,
            "MiB in all": sum(service.rss_kib() for service in services) / _KIB_PER_MIB,
        }
        failure = _failure(seen, len(ages), expected)
        return Sample(percentile(ages, 99) / _NS_PER_MS, more, failure)


def _cpu_s(services: list[Process]) -> float:
    return sum(service.cpu_s() for service in services)


async def _all_here(crowds: list[CrowdProcess], deliveries: int) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while sum([await crowd.count() for crowd in crowds]) < deliveries:
        if time.monotonic() > deadline:
            return
        await asyncio.sleep(0.01)


def _failure(seen: list[Seen], delivered: int, expected: int) -> str | None:
    refused, lost = sum(crowd.refused for crowd in seen), sum(crowd.lost for crowd in seen)
    if delivered != expected or refused or lost:
        return f"{delivered} of {expected} deliveries, {refused} streams refused, {lost} lost"
    return None


TWENTY_THOUSAND: Final = Case(
    "twenty-thousand",
    "20,000 jobs, 1 viewer each, over two processes, 2,000 events/s",
    "ms: 99th percentile of an event's way",
    [Subject(JOBCAST.name, spread, [Bar(100, ratio=False)])],
)
