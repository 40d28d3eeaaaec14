"""How many status polls a second are answered."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Final

from redis import Redis

from benchmarks.case import AtLeast, AtMost, Case, Sample, Subject
from benchmarks.jobs import job_ids, prepare, token
from benchmarks.meter import Meter
from benchmarks.processes import HOST, Process
from benchmarks.servers import JOBCAST, get, hypercorn, valkey
from jobcast.protocol.names import log_key

_CONNECTIONS: Final = 32
_WARM_UP_S: Final = 0.5
_US_PER_S: Final = 1e6
_COMMANDS: Final = "Redis commands"
_LONG: Final = 10_000
_ADD: Final = """
for number = 1, ARGV[1] do
  redis.call('XADD', KEYS[1], '*', 'event', 'note', 'data', '{"number":' .. number .. '}')
end
"""


def _constant(redis_port: int) -> Process:  # noqa: ARG001 - it needs no Redis
    return hypercorn("benchmarks.peers.constant:app")


async def poll(start: Callable[[int], Process], seconds: float, entries: int = 0) -> Sample:
    """Poll, a job for each connection, as fast as answers come.

    Args:
        start: gives the server's process; takes the port of Redis.
        seconds: how long.
        entries: how many more each log has than a job's first two.
    """
    with ExitStack() as stack:
        redis = stack.enter_context(valkey())
        process = stack.enter_context(start(redis.port))
        jobs = job_ids(_CONNECTIONS)
        prepare(redis.port, jobs)
        _fill(redis.port, jobs, entries)
        requests = [
            get(f"/api/v1/jobs/{job_id}/status", f"Authorization: Bearer {token(job_id)}\r\n")
            for job_id in jobs
        ]
        await _poll_all(process.port, requests, _WARM_UP_S)
        commands = _commands(redis.port)
        meter = Meter([process], redis, [])
        answers = await _poll_all(process.port, requests, seconds)
        meter.stop()
        more = {
            "CPU µs": meter.server_s / answers * _US_PER_S,
            _COMMANDS: (_commands(redis.port) - commands) / answers,
            **meter.shares(),
        }
        return Sample(answers / meter.wall_s, more)


def _fill(port: int, jobs: Sequence[str], entries: int) -> None:
    with Redis(host=HOST, port=port) as redis:
        for job_id in jobs:
            redis.eval(_ADD, 1, log_key(job_id), str(entries))


def _commands(port: int) -> int:
    """Return how many commands Redis has had, these few included."""
    with Redis(host=HOST, port=port) as redis:
        count: int = redis.info("stats")["total_commands_processed"]
        return count


async def _poll_all(port: int, requests: list[bytes], seconds: float) -> int:
    until = time.monotonic() + seconds
    return sum(await asyncio.gather(*(_poll(port, request, until) for request in requests)))


async def _poll(port: int, request: bytes, until: float) -> int:
    reader, writer = await asyncio.open_connection(HOST, port)
    answers = 0
    while time.monotonic() < until:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.decode(errors="replace").splitlines()[0])
        length = head.lower().partition(b"content-length:")[2].split()[0]
        await reader.readexactly(int(length))
        answers += 1
    writer.close()
    return answers


STATUS: Final = Case(
    "status",
    f"polls of {_CONNECTIONS} jobs, as fast as they are answered",
    "polls a second",
    [
        Subject("Jobcast", partial(poll, JOBCAST.start), [AtMost(1.01, _COMMANDS, ratio=False)]),
        Subject(
            f"logs of {_LONG:,} entries",
            partial(poll, JOBCAST.start, entries=_LONG),
            [AtMost(1.1)],
        ),
        Subject("constant on Quart", partial(poll, _constant), [AtLeast(0.8)]),
    ],
)
