"""What an open stream costs in memory, each of a job of its own, and what is left of it."""

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

from benchmarks import rivals
from benchmarks.case import AtMost, Case, Sample, Subject
from benchmarks.crowd import Crowd
from benchmarks.jobs import job_ids, prepare
from benchmarks.servers import JOBCAST, Server, valkey

_VIEWERS: Final = 5000
_SETTLE_S: Final = 0.5
_CROWD: Final = 2000
_CROWDS: Final = 50
_LINEAR: Final = "2nd half / 1st"


async def weigh(server: Server, seconds: float) -> Sample:  # noqa: ARG001 - it takes what it takes
    """Open streams, half of them and then the others, and see what the process grows by.

    The server is started once before. Compiling its modules would leave some 14 MiB free in it, and
    resident, in which the first 3,000 viewers find a fifth of what they take.
    """
    async with AsyncExitStack() as stack:
        redis = stack.enter_context(valkey())
        with server.start(redis.port):
            pass
        process = stack.enter_context(server.start(redis.port))
        jobs = job_ids(_VIEWERS + 1)
        prepare(redis.port, jobs)
        half = _VIEWERS // 2
        sizes = []
        for some in (jobs[:1], jobs[1 : 1 + half], jobs[1 + half :]):
            requests = [server.request(job_id) for job_id in some]
            crowd = Crowd(process.port, requests, server.ready_mark)
            await stack.enter_async_context(crowd)
            await crowd.join()
            if crowd.refused:
                return Sample(failure=f"{crowd.refused} streams refused")
            await asyncio.sleep(_SETTLE_S)
            sizes.append(process.rss_kib())
        first, second = (sizes[1] - sizes[0]) / half, (sizes[2] - sizes[1]) / half
        more = {_LINEAR: second / first, "MiB in all": sizes[2] / 1024}
        return Sample((first + second) / 2, more)


async def churn(seconds: float) -> Sample:  # noqa: ARG001 - it takes what it takes
    """Have crowds come and go, one after the other, and see what the process keeps of them."""
    async with AsyncExitStack() as stack:
        redis = stack.enter_context(valkey())
        process = stack.enter_context(JOBCAST.start(redis.port))
        jobs = job_ids(_CROWD)
        prepare(redis.port, jobs)
        requests = [JOBCAST.request(job_id) for job_id in jobs]
        sizes = []
        for _ in range(_CROWDS):
            async with Crowd(process.port, requests, JOBCAST.ready_mark) as crowd:
                await crowd.join()
                if crowd.refused:
                    return Sample(failure=f"{crowd.refused} streams refused")
            await asyncio.sleep(_SETTLE_S)
            sizes.append(process.rss_kib())
        kept = sizes[-1] - sizes[_CROWDS // 5]
        more = {"MiB at first": sizes[0] / 1024, "MiB in the end": sizes[-1] / 1024}
        counted = _CROWD * (_CROWDS - 1 - _CROWDS // 5)
        return Sample(kept * 1024 / counted, more)


MEMORY: Final = Case(
    "memory",
    "5,000 viewers, each of a job of its own",
    "KiB a viewer",
    [
        Subject(
            JOBCAST.name,
            partial(weigh, JOBCAST),
            [AtMost(24, ratio=False), AtMost(1.15, _LINEAR, ratio=False)],
        ),
        *(
            Subject(peer.name, partial(weigh, peer), (), peer.missing)
            for peer in (rivals.BARE, rivals.NCHAN, rivals.EXPRESS)
        ),
    ],
)

CHURN: Final = Case(
    "churn",
    f"{_CROWD * _CROWDS:,} viewers come and go, {_CROWD:,} at a time, to as many jobs",
    "bytes kept of a viewer that has gone",
    [Subject(JOBCAST.name, churn, [AtMost(20, ratio=False)])],
)
