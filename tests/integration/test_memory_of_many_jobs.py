"""What a job more on a stream of many takes of the service's memory.

Each allocation in the process that stays is counted, from the stream's request to the job's actor
and its place in the directory. A stream of as many jobs is there before, so that nothing is done
for the first time.
"""

import asyncio
import gc
import socket
import tracemalloc
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from urllib.parse import urlsplit

import pytest

import jobcast
from app import Settings, create_app
from tests.support.hypercorn_server import serving
from tests.support.sse import WAIT_SECONDS
from tests.support.valkey import HOST, Valkey

JOBS = 200
"""As many as a stream may have, which share what it takes itself."""

ROUNDS = 3
"""The least of them counts: once in a while the service does something else for the first time."""

PER_JOB = 2048
"""With the job's share of the stream; 1,800 are usual. Its parts are in ``docs/performance.md``."""

PER_EVENT = 320
"""The step, an id, and the state before it, which is kept until the log has confirmed the event."""

ONCE_MORE = 768
"""For a job that another stream watches already: a seat, and a share of the stream."""


class Client:
    """Reads a stream, and keeps nothing of it."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._last = b""

    async def skip(self, mark: bytes) -> None:
        """Read until each job has sent something with this mark."""
        loop, seen = asyncio.get_running_loop(), 0
        async with asyncio.timeout(WAIT_SECONDS):
            while seen < JOBS:
                data = self._last + await loop.sock_recv(self._connection, 4096)
                lines, _, self._last = data.rpartition(b"\n")
                seen += lines.count(mark)


def request(job_ids: Sequence[str]) -> bytes:
    head = f"GET /api/v1/stream?jobs={','.join(job_ids)} HTTP/1.1\r\nHost: a\r\n"
    return f"{head}x-session-id: s1\r\n\r\n".encode()


@asynccontextmanager
async def watching(url: str, job_ids: Sequence[str]) -> AsyncIterator[Client]:
    """Watch many jobs; the block begins when all snapshots have come."""
    loop = asyncio.get_running_loop()
    with socket.create_connection((HOST, urlsplit(url).port)) as connection:
        connection.setblocking(False)  # noqa: FBT003 - its only argument
        await loop.sock_sendall(connection, request(job_ids))
        client = Client(connection)
        await client.skip(b"event: progress-update")
        yield client


async def started(jobs: jobcast.Jobs) -> list[jobcast.Run]:
    """Return the runs of many jobs, which have begun."""
    ids = [await jobs.create("report", session_id="s1") for _ in range(JOBS)]
    runs = [jobs.run(job_id) for job_id in ids]
    for run in runs:
        await run.start()
        await run.progress(1, "Reading page 1 of 12", eta=60)
    return runs


def size() -> int:
    """Return the bytes that were allocated since tracing began and are still there."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@pytest.fixture
def tracing() -> Iterator[None]:
    """Have tracing end with the test."""
    yield
    tracemalloc.stop()


@pytest.mark.usefixtures("tracing")
async def test_a_job_more_on_a_stream_takes_at_most_two_kibibytes(valkey: Valkey) -> None:
    app = create_app(Settings(redis_url=valkey.url, jwt_secret="s" * 32, keepalive_s=3600))
    async with (
        jobcast.connect(valkey.url, progress_per_s=None) as jobs,
        app.test_app(),
        serving(app) as url,
        AsyncExitStack() as streams,
    ):
        first, *crowds = [await started(jobs) for _ in range(1 + ROUNDS)]
        tracemalloc.start()
        await streams.enter_async_context(watching(url, [run.job_id for run in first]))
        rounds: list[tuple[float, ...]] = []
        for runs in crowds:
            job_ids = [run.job_id for run in runs]
            sizes = [size()]
            client = await streams.enter_async_context(watching(url, job_ids))
            sizes.append(size())
            for run in runs:
                await run.progress(2, "Reading page 2 of 12", eta=50)
            await client.skip(b"Reading page 2 of 12")
            sizes.append(size())
            await streams.enter_async_context(watching(url, job_ids))
            sizes.append(size())
            rounds.append(tuple((after - before) / JOBS for before, after in pairwise(sizes)))
    joined, told, again = map(min, zip(*rounds, strict=True))
    assert joined <= PER_JOB
    assert told <= PER_EVENT
    assert again <= ONCE_MORE
