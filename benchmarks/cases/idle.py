"""What a job costs that nothing happens in, and whether that grows with the number of others."""

import asyncio
import gc
import time
import tracemalloc
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack
from functools import partial
from typing import Final, Self

from actors.directory import Directory
from actors.mailbox import Mailbox
from actors.runtime import LoopInbox
from benchmarks.case import AtMost, Case, Sample, Subject
from benchmarks.crowd import Crowd
from benchmarks.jobs import job_ids, prepare
from benchmarks.meter import Meter
from benchmarks.servers import JOBCAST, jobcast, stream_request, valkey
from eventlog.catch_up import CatchUp, IsWanted, OnAnswer
from eventlog.channel import Subscribed, Subscriber
from schema.events import Terminal
from schema.sse import Frame
from schema.state import JobState

_FEW: Final = 200
_MANY: Final = 20_000
_FEW_STREAMS: Final = 500
_MANY_STREAMS: Final = 5000
_BATCH: Final = 500
_SETTLE_S: Final = 2.0
_US_PER_S: Final = 1e6
_BYTES_PER_KIB: Final = 1024
_SILENT: Final = "86400"
_GROWTH: Final = AtMost(1.5)

_STATE: Final = JobState("running", 1, "1-0", "1-0", "2-0", "load", "user-1", "session-1", "run")


class _Redis:
    """Stands in for Redis: all that is asked for is there at once."""

    def follow(self, job_id: str, subscriber: Subscriber) -> None:  # noqa: ARG002 - the actor's
        asyncio.get_running_loop().call_soon(subscriber.hand, Subscribed())

    def unfollow(self, job_id: str, subscriber: Subscriber) -> None:
        pass

    def catch_up(
        self,
        job_id: str,  # noqa: ARG002 - the actor's
        cursor: str | None,  # noqa: ARG002 - the actor's
        given: OnAnswer,
        is_wanted: IsWanted,  # noqa: ARG002 - the actor's
    ) -> None:
        given(CatchUp(_STATE))

    def catch_up_if_changed(
        self,
        job_id: str,  # noqa: ARG002 - the actor's
        known: JobState,
        given: OnAnswer,
        is_wanted: IsWanted,  # noqa: ARG002 - the actor's
    ) -> None:
        given(CatchUp(known, ()))

    def settle(self, job_id: str, event: Terminal, known: JobState, attempt: int) -> None:
        pass


class _Jobs:
    """A directory with one viewer for each of its jobs."""

    def __init__(self) -> None:
        redis = _Redis()
        self._directory = Directory(redis, redis)
        # Nobody lingers: an actor's whole life is measured.
        self._directory.remind = _tell_at_once  # type: ignore[method-assign]
        self._stay = ExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._stay.close()
        await _settled()

    async def watch(self, jobs: list[str]) -> None:
        """Have a viewer stay with each of these jobs."""
        for job_id in jobs:
            self._stay.enter_context(self._viewing(job_id))
        await _settled()

    async def visit(self, jobs: list[str]) -> float:
        """Have a viewer come to each of these jobs and go; return the CPU seconds."""
        began = time.process_time()
        with ExitStack() as visits:
            for job_id in jobs:
                visits.enter_context(self._viewing(job_id))
            await _settled()
        await _settled()
        return time.process_time() - began

    def _viewing(self, job_id: str) -> AbstractContextManager[None]:
        mailbox = Mailbox(1 << 18, _take, _end)
        return self._directory.viewing(job_id, _STATE, mailbox, None)


def _take(frame: Frame) -> bool:  # noqa: ARG001 - what a viewer gets is not looked at
    return True


def _tell_at_once(_delay_s: float, inbox: LoopInbox, message: object) -> None:
    inbox.tell(message)


def _end() -> None:
    pass


async def _settled() -> None:
    """Let the actors handle their messages, and those that follow from them."""
    for _ in range(8):
        await asyncio.sleep(0)


async def visit(others: int, seconds: float, *, new: bool) -> Sample:
    """Have viewers come and go among other jobs.

    Args:
        others: how many jobs are watched besides.
        seconds: how long.
        new: whether to a job that nobody watches, which gets an actor that ends with the visit.
    """
    async with _Jobs() as jobs:
        watched = job_ids(others)
        await jobs.watch(watched)
        visited = [f"new-{number}" for number in range(_BATCH)] if new else watched[:1] * _BATCH
        await jobs.visit(visited)
        gc.collect()
        gc.freeze()
        batches, cpu_s = 0, 0.0
        until = time.monotonic() + seconds
        try:
            while time.monotonic() < until:
                cpu_s += await jobs.visit(visited)
                batches += 1
        finally:
            gc.unfreeze()
    return Sample(cpu_s / batches / _BATCH * _US_PER_S)


async def weigh(others: int, seconds: float) -> Sample:  # noqa: ARG001 - it takes what it takes
    """Weigh the actors of watched jobs, with one viewer's mailbox each."""
    async with _Jobs() as jobs:
        await jobs.watch(job_ids(1))
        gc.collect()
        tracemalloc.start()
        await jobs.watch([f"new-{number}" for number in range(others)])
        gc.collect()
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return Sample(size / others / _BYTES_PER_KIB)


async def stay_silent(streams: int, keepalive_s: str, seconds: float) -> Sample:
    """Keep streams open in which nothing happens but keepalives."""
    async with AsyncExitStack() as stack:
        redis = stack.enter_context(valkey())
        process = stack.enter_context(jobcast(redis.port, JOBCAST_KEEPALIVE_S=keepalive_s))
        jobs = job_ids(streams)
        prepare(redis.port, jobs)
        requests = [stream_request(job_id) for job_id in jobs]
        crowd = Crowd(process.port, requests, JOBCAST.ready_mark)
        await stack.enter_async_context(crowd)
        await crowd.join()
        await asyncio.sleep(_SETTLE_S)
        await crowd.seen()
        meter = Meter([process], redis, [crowd])
        await asyncio.sleep(max(seconds, _SETTLE_S))
        meter.stop()
        seen = await crowd.seen()
        events = seen.keepalives or streams * meter.wall_s
        bad = crowd.refused + seen.lost
        failure = f"{bad} streams refused or lost" if bad else None
        return Sample(meter.server_s / events * _US_PER_S, meter.shares(), failure)


IDLE: Final = [
    Case(
        "idle-actor",
        "a viewer comes to a job that nobody watches, and goes: its actor's whole life",
        "µs of CPU",
        [
            Subject(f"among {_MANY:,} jobs", partial(visit, _MANY, new=True)),
            Subject(f"among {_FEW:,} jobs", partial(visit, _FEW, new=True), [_GROWTH]),
        ],
    ),
    Case(
        "idle-register",
        "a viewer comes to a job that is watched, and goes",
        "µs of CPU",
        [
            Subject(f"among {_MANY:,} jobs", partial(visit, _MANY, new=False)),
            Subject(f"among {_FEW:,} jobs", partial(visit, _FEW, new=False), [_GROWTH]),
        ],
    ),
    Case(
        "idle-memory",
        "an actor with one viewer's mailbox",
        "KiB",
        [
            Subject(f"each of {_MANY:,}", partial(weigh, _MANY)),
            Subject(f"each of {_FEW:,}", partial(weigh, _FEW), [_GROWTH]),
        ],
    ),
    Case(
        "idle-keepalive",
        "silent streams, each of a job of its own",
        "µs of CPU a keepalive",
        [
            Subject(f"{_MANY_STREAMS:,} streams", partial(stay_silent, _MANY_STREAMS, "1")),
            Subject(
                f"{_FEW_STREAMS:,} streams", partial(stay_silent, _FEW_STREAMS, "1"), [_GROWTH]
            ),
        ],
    ),
    Case(
        "idle-stream",
        "streams without even keepalives, each of a job of its own",
        "µs of CPU a second and stream",
        [
            Subject(f"{_MANY_STREAMS:,} streams", partial(stay_silent, _MANY_STREAMS, _SILENT)),
            Subject(
                f"{_FEW_STREAMS:,} streams", partial(stay_silent, _FEW_STREAMS, _SILENT), [_GROWTH]
            ),
        ],
    ),
]
