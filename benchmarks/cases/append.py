"""How fast a worker appends."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Final

import hiredis

import jobcast
from benchmarks.case import Case, Sample, Subject
from benchmarks.load import job_ids, prepare
from benchmarks.processes import HOST, SERVER_CORE
from benchmarks.servers import valkey
from benchmarks.wire import AppendScript, RawPublish, fill, resp
from schema.wire import log_key

_DEPTH: Final = 32
_WARM_UP_S: Final = 0.5
_US_PER_S: Final = 1e6


@dataclass(frozen=True)
class _Target:
    """Started jobs on a Redis that has loaded the append script."""

    port: int
    jobs: Sequence[str]
    sha: str


Appending = Callable[[_Target, float], Awaitable[int]]
"""Appends for so many seconds, and returns how often."""


async def _with_the_library(target: _Target, seconds: float) -> int:
    async with jobcast.connect(f"redis://{HOST}:{target.port}/0") as jobs:
        until = time.monotonic() + seconds

        async def work(job_id: str) -> int:
            run = jobs.run(job_id)
            await run.start()
            count = 0
            while time.monotonic() < until:
                await run.progress(50, "Writing the blog post", eta=30)
                count += 1
            return count

        return sum(await asyncio.gather(*map(work, target.jobs)))


async def _pipelined(commands: Sequence[bytes], answers: int, port: int, seconds: float) -> int:
    """Send all commands, wait for their answers, and so on."""
    reader, writer = await asyncio.open_connection(HOST, port)
    parser = hiredis.Reader()
    until = time.monotonic() + seconds
    count = 0
    while time.monotonic() < until:
        writer.write(b"".join(commands))
        waiting = answers
        while waiting:
            parser.feed(await reader.read(1 << 16))
            while (answer := parser.gets()) is not False:
                if isinstance(answer, Exception):
                    raise RuntimeError(str(answer))  # noqa: TRY004 - a refusal
                waiting -= 1
        count += len(commands)
    writer.close()
    return count


async def _script(target: _Target, seconds: float) -> int:
    wire = AppendScript(target.sha)
    commands = [fill(wire.command(job_id), 50, time.monotonic_ns()) for job_id in target.jobs]
    return await _pipelined(commands, len(commands), target.port, seconds)


async def _xadd_and_publish(target: _Target, seconds: float) -> int:
    publish, commands = RawPublish(), []
    for job_id in target.jobs:
        said = fill(publish.command(job_id), 50, time.monotonic_ns())
        data = said[said.index(b"{") : -2]
        entry = ("MAXLEN", "~", "1000", "*", "event", "progress-update", "data", data)
        commands.append(resp("XADD", log_key(job_id), *entry) + said)
    return await _pipelined(commands, 2 * len(commands), target.port, seconds)


async def append(appending: Appending, seconds: float) -> Sample:
    """Append to as many jobs as the depth is, Redis on the other core."""
    with ExitStack() as stack:
        redis = stack.enter_context(valkey(SERVER_CORE))
        jobs = job_ids(_DEPTH)
        target = _Target(redis.port, jobs, prepare(redis.port, jobs))
        await appending(target, _WARM_UP_S)
        redis_s, mine_s, began = redis.cpu_s(), time.process_time(), time.monotonic()
        count = await appending(target, seconds)
        took_s = time.monotonic() - began
        more = {
            "µs here": (time.process_time() - mine_s) / count * _US_PER_S,
            "µs in Redis": (redis.cpu_s() - redis_s) / count * _US_PER_S,
        }
        return Sample(count / took_s, more)


APPEND: Final = Case(
    "append",
    f"32 jobs, {_DEPTH} appends under way",
    "appends a second",
    [
        Subject("worker library", partial(append, _with_the_library)),
        Subject("append script, pipelined", partial(append, _script)),
        Subject("XADD + PUBLISH, pipelined", partial(append, _xadd_and_publish)),
    ],
)
