"""One of a thousand viewers that does not read: what it costs, and whether the others notice."""

import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from typing import Final

from redis import Redis

from benchmarks.case import AtMost, Case, Sample, Subject
from benchmarks.cases.delivery import Running, Shape, deliver_from
from benchmarks.jobs import job_ids, prepare
from benchmarks.processes import HOST, Process
from benchmarks.servers import JOBCAST, valkey
from schema.wire import PLAIN

_SHAPE: Final = Shape(jobs=1, viewers=1000, per_s=10)
_EVENTS: Final = 100
_DATA: Final = {"progress": 1, "currentStep": "x" * 100_000, "estimatedTimeRemaining": None}
_EVENT: Final = json.dumps({"event": "progress-update", "data": _DATA})
"""Of these a viewer's socket, transport and mailbox take some 5 MB together, and no more."""

_SETTLE_S: Final = 0.5
_TAKEN: Final = "KiB taken"
_BOUND_KIB: Final = 512
"""What a viewer's mailbox and transport may hold (256 and 64 KiB), and a frame each."""

_P99: Final = "p99 ms"


async def watch(seconds: float, *, paused: bool) -> Sample:
    """Deliver to a thousand viewers, and perhaps to one who does not read."""
    async with AsyncExitStack() as stack:
        redis = stack.enter_context(valkey())
        process = stack.enter_context(JOBCAST.start(redis.port))
        jobs = job_ids(_SHAPE.jobs)
        digest = prepare(redis.port, jobs)
        taken = 0.0
        if paused:
            stack.enter_context(_deaf_viewer(process.port, JOBCAST.request(jobs[0])))
            taken = await _fill(redis.port, process, jobs[0])
        running = Running(JOBCAST, process, redis, jobs, digest)
        sample = await deliver_from(running, _SHAPE, seconds)
        return Sample(sample.more.get(_P99, 0), {**sample.more, _TAKEN: taken}, sample.failure)


@contextmanager
def _deaf_viewer(port: int, request: bytes) -> Iterator[None]:
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((HOST, port))
        connection.sendall(request)
        connection.recv(1)
        yield


async def _fill(port: int, process: Process, job_id: str) -> float:
    """Publish more than a viewer that does not read can hold; return the KiB that it took."""
    await asyncio.sleep(_SETTLE_S)
    before = process.rss_kib()
    with Redis(host=HOST, port=port) as redis:
        for _ in range(_EVENTS):
            redis.publish(PLAIN.channel(job_id), _EVENT)
            await asyncio.sleep(0)
    await asyncio.sleep(_SETTLE_S)
    return process.rss_kib() - before


PAUSED: Final = Case(
    "paused",
    "1 job, 1,000 viewers, 10 events/s, with and without one who does not read",
    _P99,
    [
        Subject(
            "one does not read",
            partial(watch, paused=True),
            [AtMost(_BOUND_KIB, _TAKEN, ratio=False)],
        ),
        Subject("all read", partial(watch, paused=False), [AtMost(1.25)]),
    ],
)
