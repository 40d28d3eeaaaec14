"""How many events the load generator could do."""

import time
from contextlib import AsyncExitStack
from typing import Final

from benchmarks import rivals
from benchmarks.case import LOAD, AtLeast, Case, Sample, Subject
from benchmarks.crowd import Crowd, all_here
from benchmarks.jobs import job_ids
from benchmarks.meter import Meter
from benchmarks.servers import valkey
from benchmarks.workers import Workers

_JOBS: Final = 1000
_MOST_PER_S: Final = 16_000
_AT_ONCE: Final = 1_000_000
"""Events a second that nobody can do: each is sent when the one before it was."""

_EVENTS_PER_S: Final = 60_000
"""About how many come to a second."""


async def hurry(seconds: float) -> Sample:
    """Have workers send as fast as they can, one event at a time, and the floor deliver."""
    async with AsyncExitStack() as stack:
        redis = stack.enter_context(valkey())
        process = stack.enter_context(rivals.FLOOR.start(redis.port))
        jobs = job_ids(_JOBS)
        requests = [rivals.FLOOR.request(job_id) for job_id in jobs]
        crowd = Crowd(process.port, requests, rivals.FLOOR.ready_mark)
        await stack.enter_async_context(crowd)
        await crowd.join()
        workers = Workers(rivals.FLOOR.wire(""), jobs, process.port)
        await stack.enter_async_context(workers)
        await workers.connect()
        meter = Meter([process], redis, [crowd, workers])
        began = time.monotonic()
        sent = await workers.publish(_AT_ONCE, seconds * _EVENTS_PER_S / _AT_ONCE)
        await all_here([crowd], sent)
        took_s = time.monotonic() - began
        meter.stop()
        seen = len((await crowd.seen()).notes_ns)
        failure = None if seen == sent else f"{seen} of {sent} deliveries"
        more = dict(meter.shares())
        del more[LOAD]  # all that there is
        return Sample(sent / took_s, more, failure)


LOAD_ALONE: Final = Case(
    "load",
    "1,000 jobs, 1 viewer each, as fast as the load generator can, delivered by the floor",
    "events a second",
    [
        Subject(
            "workers and viewers",
            hurry,
            [AtLeast(3 * _MOST_PER_S, ratio=False)],
            rivals.FLOOR.missing,
        )
    ],
)
