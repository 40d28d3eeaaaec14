"""One of a thousand viewers that does not read: what it costs, and whether the others notice."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import Final

from redis import Redis

from benchmarks.case import AtMost, Case, Sample, Subject
from benchmarks.cases.delivery import Running, Shape, deliver_from
from benchmarks.jobs import job_ids, prepare
from benchmarks.processes import HOST
from benchmarks.servers import JOBCAST, valkey
from jobcast.protocol.names import PLAIN

_SHAPE: Final = Shape(jobs=1, viewers=1000, per_s=10)
_EVENTS: Final = 100
_DATA: Final = {"progress": 1, "currentStep": "x" * 100_000, "estimatedTimeRemaining": None}
_EVENT: Final = json.dumps({"event": "progress-update", "data": _DATA})
"""Of these a viewer's socket, transport and mailbox take some 5 MB together, and no more."""

_SETTLE_S: Final = 0.5
_TAKEN: Final = "KiB taken"
_BOUND_KIB: Final = 1024
"""What a viewer's mailbox and transport may hold (256 and 64 KiB), a frame each, and as much again
that was let go of and is not given back to the machine."""

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
            request = JOBCAST.request(jobs[0])
            async with _attentive_viewer(process.port, request):
                await _publish(redis.port, jobs[0])  # what large events take, whoever reads them
            before = process.rss_kib()
            stack.enter_context(_deaf_viewer(process.port, request))
            await asyncio.sleep(_SETTLE_S)
            await _publish(redis.port, jobs[0])
            taken = process.rss_kib() - before
        running = Running(JOBCAST, process, redis, jobs, digest)
        sample = await deliver_from(running, _SHAPE, seconds)
        return Sample(sample.more.get(_P99, 0), {**sample.more, _TAKEN: taken}, sample.failure)


@asynccontextmanager
async def _attentive_viewer(port: int, request: bytes) -> AsyncIterator[None]:
    async def read() -> None:
        while await reader.read(1 << 20):
            pass

    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(request)
    reading = asyncio.create_task(read())
    await asyncio.sleep(_SETTLE_S)
    yield
    writer.close()
    await reading


@contextmanager
def _deaf_viewer(port: int, request: bytes) -> Iterator[None]:
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((HOST, port))
        connection.sendall(request)
        connection.recv(1)
        yield


async def _publish(port: int, job_id: str) -> None:
    """Publish more than a viewer that does not read can hold, and wait for the service."""
    with Redis(host=HOST, port=port) as redis:
        for _ in range(_EVENTS):
            redis.publish(PLAIN.channel(job_id), _EVENT)
            await asyncio.sleep(0)
    await asyncio.sleep(_SETTLE_S)


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
