"""How long it takes until a crowd that comes at once is served."""

import time
from contextlib import ExitStack
from functools import partial
from typing import Final

from benchmarks import rivals
from benchmarks.case import HEADROOM, Bar, Case, Sample, Subject
from benchmarks.load import job_ids, prepare
from benchmarks.servers import JOBCAST, Server, valkey
from benchmarks.viewers import Crowd

_VIEWERS: Final = 5000
_MS_PER_S: Final = 1000


async def rush(server: Server, seconds: float) -> Sample:  # noqa: ARG001 - it takes what it takes
    """Open all streams at once; each viewer is served when it has the state of its job."""
    with ExitStack() as stack:
        redis = stack.enter_context(valkey())
        process = stack.enter_context(server.start(redis.port))
        jobs = job_ids(_VIEWERS)
        prepare(redis.port, jobs)
        requests = [server.request(job_id) for job_id in jobs]
        first = Crowd(process.port, requests[:1], server.ready_mark)
        stack.callback(first.leave)
        await first.join()
        crowd = Crowd(process.port, requests[1:], server.ready_mark)
        stack.callback(crowd.leave)
        server_s, redis_s, mine_s = process.cpu_s(), redis.cpu_s(), time.process_time()
        took_s = await crowd.join(at_once=_VIEWERS)
        server_s = process.cpu_s() - server_s
        redis_s, mine_s = redis.cpu_s() - redis_s, time.process_time() - mine_s
        more = {
            "CPU ms each": server_s / _VIEWERS * _MS_PER_S,
            HEADROOM: max(0.0, took_s - redis_s) / mine_s,
        }
        bad = crowd.refused + crowd.lost
        return Sample(took_s, more, f"{bad} refused or reset" if bad else None)


CONNECT: Final = Case(
    "connect",
    "5,000 viewers at once, each with a token and a job of its own, until all have its state",
    "seconds",
    [
        Subject(JOBCAST.name, partial(rush, JOBCAST)),
        Subject(rivals.BARE.name, partial(rush, rivals.BARE), [Bar(1.6)]),
        Subject(rivals.NCHAN.name, partial(rush, rivals.NCHAN), (), rivals.NCHAN.missing),
        Subject(rivals.EXPRESS.name, partial(rush, rivals.EXPRESS), (), rivals.EXPRESS.missing),
    ],
)
