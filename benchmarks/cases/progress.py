"""What reporting progress costs a worker: in a tight loop, and without asyncio."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any, Final

from redis import Redis

import jobcast
import jobcast.sync
from benchmarks.case import AtLeast, AtMost, Case, Sample, Subject
from benchmarks.cases.append import US_PER_S, WARM_UP_S, Rate, Target, append
from benchmarks.jobs import job_ids, prepare
from benchmarks.processes import HOST, SERVER_CORE
from benchmarks.servers import valkey
from benchmarks.wire import RUN
from jobcast._event import progressed
from jobcast.protocol.names import PLAIN, log_key, state_key

_CALLS: Final = 100_000
_EVENTS_PER_S: Final = 20
"""Progress events a second at the most, beside the first and the last."""


async def _tight(port: int, job_id: str) -> float:
    took_s = 0.0
    async with jobcast.connect(f"redis://{HOST}:{port}/0") as jobs, jobs.run(job_id) as run:
        began = time.perf_counter()
        for row in range(_CALLS):
            await run.progress(50, "Writing", row=row)
        took_s = time.perf_counter() - began
    return took_s  # noqa: RET504 - the block of a run may swallow what it raises


async def _tight_blocking(port: int, job_id: str) -> float:
    took_s = 0.0
    with jobcast.sync.connect(f"redis://{HOST}:{port}/0") as jobs, jobs.run(job_id) as run:
        began = time.perf_counter()
        for row in range(_CALLS):
            run.progress(50, "Writing", row=row)
        took_s = time.perf_counter() - began
    return took_s  # noqa: RET504 - the block of a run may swallow what it raises


async def _tight_loop(report: Callable[..., Any], _: float) -> Sample:
    """Report as often as a loop may by mistake, and look at what came of it."""
    with ExitStack() as stack:
        redis = stack.enter_context(valkey(SERVER_CORE))
        (job_id,) = jobs = job_ids(1)
        prepare(redis.port, jobs)
        took_s = await report(redis.port, job_id)
        with Redis(host=HOST, port=redis.port, decode_responses=True) as client:
            extra = client.hget(state_key(job_id), "extra")
            entries: Any = client.xrange(log_key(job_id))
        failure = None if f'"row":{_CALLS - 1}' in str(extra) else "the last value did not arrive"
        events = sum(fields["event"] == "progress-update" for _, fields in entries) - 2
        per_s = {"events a second": events / took_s}
        return Sample(took_s / _CALLS * US_PER_S, per_s, failure)


def _rate(call: Callable[[], object], seconds: float) -> Rate:
    """Call again and again, after a warm-up."""

    def often(seconds: float) -> int:
        until, count = time.monotonic() + seconds, 0
        while time.monotonic() < until:
            call()
            count += 1
        return count

    often(WARM_UP_S)
    began, cpu_s = time.monotonic(), time.process_time()
    count = often(seconds)
    took_s = time.monotonic() - began
    return Rate(count / took_s, (time.process_time() - cpu_s) / took_s)


async def _blocking(target: Target, seconds: float) -> Rate:
    url, rate = f"redis://{HOST}:{target.port}/0", Rate(0, 0)
    with (
        jobcast.sync.connect(url, progress_per_s=None) as jobs,
        jobs.run(target.jobs[0]) as run,
    ):
        rate = _rate(lambda: run.progress(50, "Writing the blog post", eta=30), seconds)
    return rate  # noqa: RET504 - as above


async def _evalsha(target: Target, seconds: float) -> Rate:
    keys = log_key(target.jobs[0]), state_key(target.jobs[0])
    event = progressed(50, "Writing the blog post", 30, {})
    command = event.command(PLAIN.publish, keys, 1, RUN)
    arguments: Any = command[3:]
    with Redis(host=HOST, port=target.port) as client:
        return _rate(lambda: client.evalsha(target.sha, 2, *arguments), seconds)


PROGRESS: Final = [
    Case(
        "progress",
        f"{_CALLS:,} calls in a tight loop",
        "µs a call",
        [
            Subject(
                f"worker library, {name}",
                partial(_tight_loop, report),
                [AtMost(_EVENTS_PER_S, "events a second", ratio=False)],
            )
            for name, report in (("asyncio", _tight), ("blocking", _tight_blocking))
        ],
    ),
    Case(
        "append-sync",
        "1 under way, without asyncio",
        "appends a second",
        [
            Subject("worker library, blocking", partial(append, _blocking, 1)),
            Subject("EVALSHA by redis-py", partial(append, _evalsha, 1), [AtLeast(0.8)]),
        ],
    ),
]
