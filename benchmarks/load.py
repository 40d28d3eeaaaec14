"""The load: jobs, and events at a steady rate over one connection."""

import asyncio
import time
from collections.abc import Callable, Sequence
from importlib import resources
from typing import Final, cast

import jwt
from redis import Redis

from benchmarks.processes import HOST
from benchmarks.wire import RUN, FloorLine, Wire, fill
from schema.wire import channel, log_key, state_key

SECRET: Final = "the secret of the benchmarks, long enough"  # noqa: S105 - nobody's
WORKERS: Final = 32
"""Connections that publish: events of many jobs come from many worker processes."""

_TICK_S: Final = 0.001
_PATIENCE_S: Final = 10.0
_BATCH: Final = 2000


def job_ids(count: int) -> list[str]:
    """Return the ids of that many jobs."""
    return [f"job-{number}" for number in range(count)]


def token(job_id: str) -> str:
    """Return a token of the user who owns a job."""
    claims = {"userId": f"user-{job_id}", "exp": int(time.time()) + 3600}
    return jwt.encode(claims, SECRET, "HS256")


def prepare(port: int, jobs: Sequence[str]) -> str:
    """Create and start jobs, each with its own owner; return the append script's digest."""
    with Redis(host=HOST, port=port) as redis:
        sha: str = redis.script_load(resources.files("eventlog").joinpath("append.lua").read_text())
        for first in range(0, len(jobs), _BATCH):
            pipe = redis.pipeline(transaction=False)
            for job_id in jobs[first : first + _BATCH]:
                keys = (log_key(job_id), state_key(job_id), channel(job_id))
                fields = ("type", "load", "input", "{}", "maxEntries", "1000")
                owner = ("userId", f"user-{job_id}", "sessionId", f"session-{job_id}")
                create = ("PUBLISH", "create", "", "", "", "{}", "", 5, *fields, *owner)
                pipe.evalsha(sha, 3, *keys, *create)
                pipe.evalsha(sha, 3, *keys, "PUBLISH", "start", "", RUN, "", "", "", 0)
            pipe.execute()
    return sha


class _Worker(asyncio.Protocol):
    """One worker's connection."""

    def __init__(self, load: "Load", wire: Wire) -> None:
        self._load = load
        self._wire = wire
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        count, refused = self._wire.answers(data)
        self._load.answered += count
        self._load.refused += refused

    def publish(self, commands: bytes) -> None:
        if self.transport is None or self.transport.is_closing():
            raise ConnectionError("a worker lost its connection")
        self.transport.write(commands)


class Load:
    """Workers that publish in turn, each over a connection of its own, job after job.

    Args:
        wire: gives how an event is spelled, for each connection.
        jobs: whose events.
        port: where they go.
        workers: how many there are.

    Attributes:
        sent: events so far.
        answered: those that were answered.
        refused: those that were answered with an error.
        late_s: how far the load was behind its rate at the worst.
        last_ns: stamp of the last event.
    """

    def __init__(
        self, wire: Callable[[], Wire], jobs: Sequence[str], port: int, workers: int = WORKERS
    ) -> None:
        self._wire = wire
        self._commands = [wire().command(job_id) for job_id in jobs]
        self._silent = isinstance(wire(), FloorLine)
        self._port = port
        self._workers = workers
        self.sent = self.answered = self.refused = 0
        self.late_s = 0.0
        self.last_ns = 0

    async def run(self, per_s: int, seconds: float) -> None:
        """Publish at a rate for a time, and wait for the last answer.

        Raises:
            TimeoutError: an answer is missing.
            ConnectionError: a connection was lost.
        """
        workers = [await self._connect() for _ in range(self._workers)]
        before, total = self.sent, int(per_s * seconds)
        self.late_s = 0.0
        began = time.monotonic()
        try:
            while (done := self.sent - before) < total:
                late_s = time.monotonic() - began - done / per_s
                self.late_s = max(self.late_s, late_s)
                for _ in range(min(total - done, int(late_s * per_s) + 1)):
                    workers[self.sent % len(workers)].publish(self._next())
                await asyncio.sleep(_TICK_S)
            await self._all_answered()
        finally:
            for worker in workers:
                if worker.transport is not None:
                    worker.transport.close()

    async def _all_answered(self) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while self.answered < self.sent and not self._silent:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.sent - self.answered} of {self.sent} events unanswered")
            await asyncio.sleep(_TICK_S)

    async def _connect(self) -> _Worker:
        loop = asyncio.get_running_loop()
        _, worker = await loop.create_connection(
            lambda: _Worker(self, self._wire()), HOST, self._port
        )
        return worker

    def _next(self) -> bytes:
        turn, number = divmod(self.sent, len(self._commands))
        self.sent += 1
        self.last_ns = time.monotonic_ns()
        return fill(self._commands[number], min(99, 10 + turn), self.last_ns)
