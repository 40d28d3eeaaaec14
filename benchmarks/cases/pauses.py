"""How long the event loop stands still at the worst, with all that goes on in it."""

import asyncio
import math
import resource
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final

import httpx
import msgspec

from benchmarks.case import AtMost, Case, Sample, Subject
from benchmarks.crowd import Crowd
from benchmarks.jobs import abandon, job_ids, prepare, token
from benchmarks.meter import Meter
from benchmarks.probed import ADDRESS, Pauses
from benchmarks.processes import HOST
from benchmarks.servers import JOBCAST, environment, hypercorn, stream_request, valkey
from benchmarks.wire import AppendScript
from benchmarks.workers import Workers

DESCRIPTORS: Final = 40_000
"""What 20,000 viewers take, and half as many that come and go."""

_BUSY_MS: Final = "CPU ms"
_TIMES: Final = 4
"""This case lasts so many times as long as the others, a minute: what is periodic shall come."""

_PER_S: Final = 200
_WAVES: Final = 4
_STAY: Final = 0.5
"""Of a wave's time that its viewers stay; then their tokens expire, or they leave."""

_WAVE_S_EACH: Final = 0.004
"""For each of its viewers a wave lasts at least so long: they take 1 ms to come."""

_GRACE_S: Final = 1
"""More for a token, whose end is a whole second."""

_ABANDONED: Final = 100
_POLL_S: Final = 0.05
_SCRAPE_S: Final = 1.0
_JOIN_S: Final = 120.0
_SETTINGS: Final = {"JOBCAST_KEEPALIVE_S": "2", "JOBCAST_STALL_GRACE_S": "4"}


async def watch(viewers: int, seconds: float) -> Sample:
    """Have as many viewers stay, half as many come and go, and see how long anything stood still.

    Besides, there are events, polls and scrapes, keepalives, lost workers, and what the service
    looks after by itself. The crowds come at once; every other one leaves at once, and of the
    others the tokens expire.

    Args:
        viewers: how many stay.
        seconds: a quarter of how long.
    """
    async with AsyncExitStack() as stack:
        redis = stack.enter_context(valkey())
        settings = environment(redis.port, **_SETTINGS)
        service = stack.enter_context(hypercorn("benchmarks.probed:create_app()", **settings))
        jobs = job_ids(viewers)
        digest = prepare(redis.port, jobs)
        asking = httpx.AsyncClient(base_url=f"http://{HOST}:{service.port}", timeout=_JOIN_S)
        client = await stack.enter_async_context(asking)
        await client.get(ADDRESS)
        workers = Workers(AppendScript(digest), jobs, redis.port)
        await stack.enter_async_context(workers)
        await workers.connect()
        stayers = Crowd(service.port, list(map(stream_request, jobs)), JOBCAST.ready_mark)
        await stack.enter_async_context(stayers)
        meter = Meter([service], redis, [workers])
        await stayers.join(at_once=viewers, wait_s=_JOIN_S)
        abandon(redis.port, digest, [f"lost-{number}" for number in range(_ABANDONED)])
        crowd = jobs[: viewers // 2]
        total_s = max(_TIMES * seconds, _WAVES * _WAVE_S_EACH * len(crowd))
        async with _meanwhile(client, jobs[0]):
            publishing = asyncio.create_task(workers.publish(_PER_S, total_s))
            refused = await _come_and_go(service.port, crowd, total_s / _WAVES)
            await publishing
        meter.stop()
        pauses = msgspec.json.decode((await client.get(ADDRESS)).content, type=Pauses)
        lost = (await stayers.seen()).lost
        failure = None
        if refused or lost or stayers.refused or workers.refused:
            failure = f"{refused + stayers.refused} streams refused, {lost} lost"
        return Sample(pauses.longest_ms, {**_more(pauses), **meter.shares()}, failure)


async def _come_and_go(port: int, jobs: Sequence[str], wave_s: float) -> int:
    """Have crowds come, stay, and go, one after the other; return how many were refused."""
    refused = 0
    for wave in range(_WAVES):
        began, leaves = time.monotonic(), wave % 2 == 1
        until = math.ceil(time.time() + (wave_s if leaves else _STAY * wave_s)) + _GRACE_S
        requests = [stream_request(job_id, until) for job_id in jobs]
        crowd = Crowd(port, requests, JOBCAST.ready_mark)
        async with crowd:
            await crowd.join(at_once=len(jobs), wait_s=_JOIN_S)
            refused += crowd.refused
            share = _STAY if leaves else 1
            await asyncio.sleep(max(0.0, began + share * wave_s - time.monotonic()))
        await asyncio.sleep(max(0.0, began + wave_s - time.monotonic()))
    return refused


@asynccontextmanager
async def _meanwhile(client: httpx.AsyncClient, job_id: str) -> AsyncIterator[None]:
    """Poll and scrape for the length of the block."""

    async def ask(target: str, pause_s: float, headers: dict[str, str]) -> None:
        while True:
            (await client.get(target, headers=headers)).raise_for_status()
            await asyncio.sleep(pause_s)

    bearer = {"Authorization": f"Bearer {token(job_id)}"}
    tasks = [
        asyncio.create_task(ask(f"/api/v1/jobs/{job_id}/status", _POLL_S, bearer)),
        asyncio.create_task(ask("/metrics", _SCRAPE_S, {})),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.result()


def _more(pauses: Pauses) -> dict[str, float]:
    figures = {_BUSY_MS: pauses.busy_ms, "p99.9 ms": pauses.p999_ms}
    for generation in range(3):
        count, longest_ms = pauses.collections.get(generation, (0, 0.0))
        figures |= {f"gen {generation}": float(count), f"gen {generation} ms": longest_ms}
    return figures


def _too_few(descriptors: int) -> str | None:
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if most >= descriptors else f"needs {descriptors:,} file descriptors"


def _subject(viewers: int, bound_ms: float) -> Subject:
    """Return so many viewers; how long the process was kept from its core is not up to it."""
    enough = partial(_too_few, 2 * viewers)
    return Subject(
        f"{viewers:,} viewers",
        partial(watch, viewers),
        [AtMost(bound_ms, _BUSY_MS, ratio=False)],
        enough,
    )


PAUSES: Final = Case(
    "pauses",
    "viewers, each of a job of its own; half as many more come at once and go at once, four times",
    "ms: longest pause of the event loop",
    [_subject(1000, 20), _subject(10_000, 50), _subject(20_000, 50)],
)
