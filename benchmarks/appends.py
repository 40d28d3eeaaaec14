"""A worker for load: appends progress at a rate, with less work for each than a library does.

The commands are those of the worker library (``EVALSHA`` of the append script), packed once for each
job and sent in batches over one connection. Each event carries ``stamp``, the monotonic clock in
nanoseconds at which its batch was sent; the clock is the same in all processes of a machine.
"""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from importlib import resources
from typing import Final

import hiredis
from redis import Redis

from benchmarks.processes import HOST
from schema.wire import channel, log_key, state_key

_RUN: Final = "benchmark"
_TICK_S: Final = 0.005


def prepare(port: int, job_ids: Sequence[str], session: str) -> str:
    """Create and start jobs, and return the digest of the append script."""
    with Redis(host=HOST, port=port) as redis:
        sha: str = redis.script_load(resources.files("eventlog").joinpath("append.lua").read_text())
        pipe = redis.pipeline(transaction=False)
        fields = ("type", "load", "sessionId", session, "input", "{}", "maxEntries", "1000")
        for job_id in job_ids:
            keys = (log_key(job_id), state_key(job_id), channel(job_id))
            pipe.evalsha(sha, 3, *keys, "PUBLISH", "create", "", "", "", "{}", "", 4, *fields)
            pipe.evalsha(sha, 3, *keys, "PUBLISH", "start", "", _RUN, "", "", "", 0)
        pipe.execute()
    return sha


class Worker:
    """One connection that appends."""

    def __init__(self, sha: str, job_ids: Sequence[str]) -> None:
        self._sha = sha
        self._job_ids = job_ids
        self.sent = 0
        self.answered = 0
        self.refused = 0

    async def run(self, port: int, per_s: int, seconds: float) -> None:
        """Append at a rate, job after job, and wait for the last answer."""
        reader, writer = await asyncio.open_connection(HOST, port)
        listening = asyncio.create_task(self._listen(reader))
        began = time.monotonic()
        while (elapsed := time.monotonic() - began) < seconds:
            due = int(elapsed * per_s) - self.sent
            if due > 0:
                writer.write(b"".join(self._command() for _ in range(due)))
                await writer.drain()
            await asyncio.sleep(_TICK_S)
        while self.answered < self.sent and time.monotonic() - began < seconds + 10:
            await asyncio.sleep(_TICK_S)
        listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await listening
        writer.close()

    def _command(self) -> bytes:
        job_id = self._job_ids[self.sent % len(self._job_ids)]
        progress = min(99, self.sent // len(self._job_ids))
        self.sent += 1
        rest = (
            ',"currentStep":"Writing the blog post","estimatedTimeRemaining":30,'
            f'"stamp":{time.monotonic_ns()}}}'
        )
        keys = (log_key(job_id), state_key(job_id), channel(job_id))
        fields = ("currentStep", "Writing the blog post", "estimatedTimeRemaining", "30")
        return hiredis.pack_command(
            ("EVALSHA", self._sha, 3, *keys)
            + ("PUBLISH", "progress", "1", _RUN, "", rest, str(progress), "2", *fields, "extra")
        )

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        parser = hiredis.Reader()
        while data := await reader.read(1 << 16):
            parser.feed(data)
            while (answer := parser.gets()) is not False:
                self.answered += 1
                self.refused += isinstance(answer, Exception)
