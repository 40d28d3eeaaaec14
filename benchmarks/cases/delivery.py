"""What a delivered event costs: to many viewers of one job, and to one of each of many."""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Final

from benchmarks import rivals
from benchmarks.case import AtMost, Bar, Case, Sample, Subject
from benchmarks.crowd import Crowd, Seen, all_here, percentile
from benchmarks.jobs import job_ids, prepare
from benchmarks.meter import Meter, without_collector
from benchmarks.processes import Process
from benchmarks.servers import JOBCAST, JOBCAST_CHAINED, Server, valkey
from benchmarks.workers import Workers

_WARM_UP_S: Final = 1.0
_LATE_S: Final = 0.5
_NS_PER_MS: Final = 1e6
_MS_PER_S: Final = 1000
_US_PER_S: Final = 1e6
_P99_MS: Final = "p99 ms"


@dataclass(frozen=True)
class Shape:
    """How many jobs, how many viewers each, how many events a second of all jobs together."""

    jobs: int
    viewers: int
    per_s: int


async def deliver(server: Server, shape: Shape, seconds: float) -> Sample:
    """Start a server, publish events at a rate and measure their deliveries.

    Args:
        server: who delivers.
        shape: what of.
        seconds: how long.
    """
    with valkey() as redis, server.start(redis.port) as process:
        jobs = job_ids(shape.jobs)
        prepared = prepare(redis.port, jobs)
        return await deliver_from(Running(server, process, redis, jobs, prepared), shape, seconds)


@dataclass(frozen=True)
class Running:
    """A server that runs, its Redis, the jobs in it, and the digest of the append script."""

    server: Server
    process: Process
    redis: Process
    jobs: Sequence[str]
    digest: str


async def deliver_from(running: Running, shape: Shape, seconds: float) -> Sample:
    """Publish events at a rate and measure their deliveries.

    Args:
        running: who delivers.
        shape: what of.
        seconds: how long.
    """
    server, process, redis, jobs = running.server, running.process, running.redis, running.jobs
    async with AsyncExitStack() as stack:
        wire = server.wire(running.digest)
        requests = [server.request(job_id) for job_id in jobs for _ in range(shape.viewers)]
        crowd = Crowd(process.port, requests, server.ready_mark)
        await stack.enter_async_context(crowd)
        await crowd.join()
        if crowd.refused:
            return Sample(failure=f"{crowd.refused} streams refused")
        server.begin(redis.port, jobs)
        workers = Workers(wire, jobs, redis.port if server.by_redis else process.port)
        await stack.enter_async_context(workers)
        await workers.connect()
        await all_here([crowd], await workers.publish(shape.per_s, _WARM_UP_S) * shape.viewers)
        await crowd.seen()
        with without_collector():
            meter = Meter([process], redis, [crowd, workers])
            expected = await workers.publish(shape.per_s, seconds) * shape.viewers
            await all_here([crowd], expected)
            meter.stop()
        seen = await crowd.seen()
        more = {
            "p50 ms": percentile(seen.notes_ns, 50) / _NS_PER_MS,
            _P99_MS: percentile(seen.notes_ns, 99) / _NS_PER_MS,
            "late ms": workers.late_s * _MS_PER_S,
            **meter.shares(),
        }
        failure = _failure(workers, seen, expected)
        return Sample(meter.server_s / max(1, len(seen.notes_ns)) * _US_PER_S, more, failure)


def _failure(workers: Workers, seen: Seen, expected: int) -> str | None:
    if len(seen.notes_ns) != expected:
        return f"{len(seen.notes_ns)} of {expected} deliveries"
    if seen.lost or workers.refused:
        return f"{seen.lost} streams lost, {workers.refused} events refused"
    if workers.late_s > _LATE_S:
        return f"an event was sent {workers.late_s:.1f} s late"
    return None


def _subjects(
    shape: Shape, servers: Sequence[Server], bars: Mapping[Server, Sequence[Bar]]
) -> list[Subject]:
    return [
        Subject(server.name, partial(deliver, server, shape), bars.get(server, ()), server.missing)
        for server in servers
    ]


_ALL: Final = (
    *(JOBCAST, rivals.NCHAN, rivals.NCHAN_REDIS, rivals.EXPRESS, rivals.EXPRESS_ONCE),
    rivals.STARLETTE,
    *(rivals.JOBCAST_ASGI, rivals.JOBCAST_UVICORN, rivals.JOBCAST_GRANIAN, rivals.FLOOR),
)
_FAST: Final = (JOBCAST_CHAINED, rivals.NCHAN, rivals.EXPRESS, rivals.EXPRESS_ONCE, rivals.FLOOR)

FAN_OUT: Final = Case(
    "fan-out",
    "1 job, 1,000 viewers, 10 events/s",
    "µs of CPU a delivery",
    _subjects(
        Shape(jobs=1, viewers=1000, per_s=10),
        _ALL,
        {rivals.NCHAN: [AtMost(1.0)], rivals.EXPRESS: [AtMost(0.55)]},
    ),
)
ONE_TO_ONE: Final = Case(
    "one-to-one",
    "1,000 jobs, 1 viewer each, 4,000 events/s",
    "µs of CPU a delivery",
    _subjects(
        Shape(jobs=1000, viewers=1, per_s=4000),
        _ALL,
        {rivals.NCHAN: [AtMost(0.9), AtMost(1.0, _P99_MS)]},
    ),
)
ONE_TO_ONE_FAST: Final = Case(
    "one-to-one-16k",
    "1,000 jobs, 1 viewer each, 16,000 events/s",
    "µs of CPU a delivery",
    _subjects(
        Shape(jobs=1000, viewers=1, per_s=16_000),
        _FAST,
        {JOBCAST_CHAINED: [AtMost(20, _P99_MS, ratio=False)], rivals.NCHAN: [AtMost(0.8)]},
    ),
)
