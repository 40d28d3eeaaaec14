"""How long it takes until a crowd that comes at once is served."""

from contextlib import AsyncExitStack
from functools import partial
from typing import Final

from benchmarks import rivals
from benchmarks.case import AtMost, Case, Sample, Subject
from benchmarks.crowd import Crowd
from benchmarks.jobs import job_ids, prepare
from benchmarks.meter import Meter
from benchmarks.servers import JOBCAST, Server, valkey

_VIEWERS: Final = 5000
_REPEATS: Final = 5
"""A crowd takes 3 s, and one in four measurements is a fifth away from the median."""

_MS_PER_S: Final = 1000


async def rush(server: Server, seconds: float) -> Sample:  # noqa: ARG001 - it takes what it takes
    """Open all streams at once; each viewer is served when it has the state of its job."""
    async with AsyncExitStack() as stack:
        redis = stack.enter_context(valkey())
        process = stack.enter_context(server.start(redis.port))
        jobs = job_ids(_VIEWERS)
        prepare(redis.port, jobs)
        requests = [server.request(job_id) for job_id in jobs]
        first = Crowd(process.port, requests[:1], server.ready_mark)
        await stack.enter_async_context(first)
        await first.join()
        crowd = Crowd(process.port, requests[1:], server.ready_mark)
        await stack.enter_async_context(crowd)
        meter = Meter([process], redis, [crowd])
        took_s = await crowd.join(at_once=_VIEWERS)
        meter.stop()
        more = {"CPU ms each": meter.server_s / _VIEWERS * _MS_PER_S, **meter.shares()}
        bad = crowd.refused + (await crowd.seen()).lost
        return Sample(took_s, more, f"{bad} refused or reset" if bad else None)


CONNECT: Final = Case(
    "connect",
    "5,000 viewers at once, each with a token and a job of its own, until all have its state",
    "seconds",
    [
        Subject(JOBCAST.name, partial(rush, JOBCAST)),
        Subject(rivals.BARE.name, partial(rush, rivals.BARE), [AtMost(1.75)]),
        Subject(rivals.NCHAN.name, partial(rush, rivals.NCHAN), (), rivals.NCHAN.missing),
        Subject(rivals.EXPRESS.name, partial(rush, rivals.EXPRESS), (), rivals.EXPRESS.missing),
    ],
    _REPEATS,
)
