"""What a delivered event costs: to many viewers of one job, and to one of each of many."""

import asyncio
import gc
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Final

from benchmarks import rivals
from benchmarks.case import HEADROOM, Bar, Case, Sample, Subject
from benchmarks.load import Load, job_ids, prepare
from benchmarks.processes import Process
from benchmarks.servers import JOBCAST, Server, valkey
from benchmarks.viewers import Crowd, percentile

_WARM_UP_S: Final = 1.0
_PATIENCE_S: Final = 10.0
_LATE_S: Final = 0.5
_LOOK_S: Final = 0.002
_NS_PER_MS: Final = 1e6
_US_PER_S: Final = 1e6
_P99_MS: Final = "p99 ms"


@dataclass(frozen=True)
class Shape:
    """How many jobs, how many viewers each, how many events a second of all jobs together."""

    jobs: int
    viewers: int
    per_s: int


async def deliver(server: Server, shape: Shape, seconds: float) -> Sample:
    """Publish events at a rate and measure their deliveries.

    Args:
        server: who delivers.
        shape: what of.
        seconds: how long.
    """
    with ExitStack() as stack:
        redis = stack.enter_context(valkey())
        process = stack.enter_context(server.start(redis.port))
        jobs = job_ids(shape.jobs)
        wire = partial(server.wire, prepare(redis.port, jobs))
        requests = [server.request(job_id) for job_id in jobs for _ in range(shape.viewers)]
        crowd = Crowd(process.port, requests, server.ready_mark)
        stack.callback(crowd.leave)
        await crowd.join()
        if crowd.refused:
            return Sample(failure=f"{crowd.refused} streams refused")
        load = Load(wire, jobs, redis.port if server.by_redis else process.port)
        await load.run(shape.per_s, _WARM_UP_S)
        await _all_here(crowd, load.sent * shape.viewers)
        return await _measure(_Run(shape, seconds, redis, process, crowd, load))


@dataclass(frozen=True)
class _Run:
    shape: Shape
    seconds: float
    redis: Process
    process: Process
    crowd: Crowd
    load: Load


async def _measure(run: _Run) -> Sample:
    crowd, load = run.crowd, run.load
    already = len(crowd.ages_ns)
    sent_before = load.sent
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        server, redis, mine = run.process.cpu_s(), run.redis.cpu_s(), time.process_time()
        began = time.monotonic()
        await load.run(run.shape.per_s, run.seconds)
        await _all_here(crowd, load.sent * run.shape.viewers)
        took = time.monotonic() - began
        server = run.process.cpu_s() - server
        redis, mine = run.redis.cpu_s() - redis, time.process_time() - mine
    finally:
        gc.enable()
        gc.unfreeze()
    ages = crowd.ages_ns[already:]
    more = {
        "p50 ms": percentile(ages, 50) / _NS_PER_MS,
        _P99_MS: percentile(ages, 99) / _NS_PER_MS,
        "core %": 100 * server / took,
        HEADROOM: max(0.0, took - redis) / mine,
    }
    expected = (load.sent - sent_before) * run.shape.viewers
    return Sample(server / max(1, len(ages)) * _US_PER_S, more, _failure(run, len(ages), expected))


def _failure(run: _Run, delivered: int, expected: int) -> str | None:
    crowd, load = run.crowd, run.load
    if delivered != expected:
        return f"{delivered} of {expected} deliveries"
    if crowd.lost or load.refused:
        return f"{crowd.lost} streams lost, {load.refused} events refused"
    if load.late_s > _LATE_S:
        return f"the load was {load.late_s:.1f} s late"
    return None


async def _all_here(crowd: Crowd, deliveries: int) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while len(crowd.ages_ns) < deliveries and time.monotonic() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(_LOOK_S)  # an asyncio.Event would be work at each delivery


def _subjects(shape: Shape, servers: Sequence[tuple[Server, Sequence[Bar]]]) -> list[Subject]:
    return [
        Subject(server.name, partial(deliver, server, shape), bars, server.missing)
        for server, bars in servers
    ]


FAN_OUT: Final = Case(
    "fan-out",
    "1 job, 1,000 viewers, 10 events/s",
    "µs of CPU a delivery",
    _subjects(
        Shape(jobs=1, viewers=1000, per_s=10),
        [
            (JOBCAST, ()),
            (rivals.NCHAN, [Bar(1.0)]),
            (rivals.EXPRESS, [Bar(0.55)]),
            (rivals.STARLETTE, ()),
            (rivals.JOBCAST_ASGI, ()),
            (rivals.JOBCAST_UVICORN, ()),
            (rivals.JOBCAST_GRANIAN, ()),
            (rivals.FLOOR, ()),
        ],
    ),
)
ONE_TO_ONE: Final = Case(
    "one-to-one",
    "1,000 jobs, 1 viewer each, 4,000 events/s",
    "µs of CPU a delivery",
    _subjects(
        Shape(jobs=1000, viewers=1, per_s=4000),
        [
            (JOBCAST, ()),
            (rivals.NCHAN, [Bar(0.9), Bar(1.0, _P99_MS)]),
            (rivals.EXPRESS, ()),
            (rivals.STARLETTE, ()),
            (rivals.JOBCAST_ASGI, ()),
            (rivals.JOBCAST_UVICORN, ()),
            (rivals.JOBCAST_GRANIAN, ()),
            (rivals.FLOOR, ()),
        ],
    ),
)
ONE_TO_ONE_FAST: Final = Case(
    "one-to-one-16k",
    "1,000 jobs, 1 viewer each, 16,000 events/s",
    "µs of CPU a delivery",
    _subjects(
        Shape(jobs=1000, viewers=1, per_s=16_000),
        [
            (JOBCAST, [Bar(20, _P99_MS, ratio=False)]),
            (rivals.NCHAN, [Bar(0.8)]),
            (rivals.EXPRESS, ()),
            (rivals.FLOOR, ()),
        ],
    ),
)
