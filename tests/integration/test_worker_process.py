"""`python -m worker` as it is deployed: settings, signals, a Redis that comes and goes."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

import jobcast
from tests.support.channel import Channel
from tests.support.module_process import run_module
from tests.support.stored import ending_of, state_of
from tests.support.valkey import Valkey
from tests.support.worker_process import WorkerProcess, enqueue

SOME_SECONDS = 30


@pytest.fixture
def own_valkey() -> Iterator[Valkey]:
    with Valkey() as server:
        yield server


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Return a folder with one small and one large file, which take a worker some seconds."""
    (tmp_path / "small.txt").write_bytes(b"small\n")
    with (tmp_path / "zeros").open("wb") as large:
        large.truncate(200 * 1024**3)
    return tmp_path


async def until_status(redis: Redis, job_id: str, status: str) -> None:
    async with asyncio.timeout(SOME_SECONDS):
        while (await state_of(redis, job_id)).get("status") != status:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_a_job_is_done_by_a_worker_process(
    redis_url: str, redis_client: Redis, jobs: jobcast.Jobs, tmp_path: Path
) -> None:
    (tmp_path / "a").write_bytes(b"a")
    job_id = await jobs.create("checksum", user_id="u1", input={"folder": "."})
    async with Channel(redis_client, f"jobs:{job_id}:events") as channel:
        with WorkerProcess(redis_url, JOBCAST_FILES_ROOT=str(tmp_path)):
            await enqueue(redis_client, job_id)
            *_, last = await channel.until("complete", "failed")
    assert last["event"] == "complete"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_an_idle_worker_with_0(redis_url: str, number: signal.Signals) -> None:
    with WorkerProcess(redis_url) as worker:
        worker.send(number)
        assert await asyncio.to_thread(worker.wait) == 0
    assert "Traceback" not in worker.log


@asynccontextmanager
async def shutting_down(
    url: str, redis: Redis, jobs: jobcast.Jobs, settings: Mapping[str, str]
) -> AsyncIterator[tuple[str, WorkerProcess]]:
    """Send SIGTERM to a worker that runs a job, and see it end with 0 after the block."""
    job_id = await jobs.create("checksum", user_id="u1", input={"folder": "."})
    async with Channel(redis, f"jobs:{job_id}:events") as channel:
        with WorkerProcess(url, **settings) as worker:
            await enqueue(redis, job_id)
            await channel.until("file-hashed")
            worker.send(signal.SIGTERM)
            yield job_id, worker
            assert await asyncio.to_thread(worker.wait) == 0


async def test_sigterm_fails_what_does_not_end_in_time(
    redis_url: str, redis_client: Redis, jobs: jobcast.Jobs, files: Path
) -> None:
    settings = {"JOBCAST_FILES_ROOT": str(files), "JOBCAST_GRACE_S": "0.2"}
    async with shutting_down(redis_url, redis_client, jobs, settings) as (job_id, worker):
        pass
    assert (await ending_of(redis_client, job_id))[2:] == (
        *("The worker was shut down", "WORKER_STOPPED"),
    )
    assert "Traceback" not in worker.log


async def test_a_second_signal_does_not_wait_for_the_grace_time(
    redis_url: str, redis_client: Redis, jobs: jobcast.Jobs, files: Path
) -> None:
    settings = {"JOBCAST_FILES_ROOT": str(files), "JOBCAST_GRACE_S": "1000"}
    async with shutting_down(redis_url, redis_client, jobs, settings) as (job_id, worker):
        await asyncio.to_thread(worker.wait_for_log, "shutting down")
        worker.send(signal.SIGTERM)
    assert (await ending_of(redis_client, job_id))[3] == "WORKER_STOPPED"


async def test_a_worker_outlives_a_restart_of_redis(own_valkey: Valkey, tmp_path: Path) -> None:
    async with (
        jobcast.connect(own_valkey.url) as jobs,
        Redis.from_url(own_valkey.url, decode_responses=True, protocol=2) as redis,
    ):
        with WorkerProcess(own_valkey.url, JOBCAST_FILES_ROOT=str(tmp_path)) as worker:
            own_valkey.kill()
            await asyncio.to_thread(worker.wait_for_log, "Redis is unavailable")
            await asyncio.to_thread(own_valkey.start)
            job_id = await jobs.create("checksum", user_id="u1", input={"folder": "."})
            await enqueue(redis, job_id)
            await until_status(redis, job_id, "succeeded")
    assert "Traceback" not in worker.log


async def test_a_job_that_runs_over_a_restart_of_redis_goes_on(
    own_valkey: Valkey, files: Path
) -> None:
    async with (
        jobcast.connect(own_valkey.url) as jobs,
        Redis.from_url(own_valkey.url, decode_responses=True, protocol=2) as redis,
    ):
        job_id = await jobs.create("checksum", user_id="u1", input={"folder": "."})
        settings = {"JOBCAST_FILES_ROOT": str(files), "JOBCAST_GRACE_S": "0"}
        with WorkerProcess(own_valkey.url, **settings) as worker:
            await enqueue(redis, job_id)
            await until_status(redis, job_id, "running")
            own_valkey.kill()
            await asyncio.to_thread(worker.wait_for_log, "Redis is unavailable")
            await asyncio.to_thread(own_valkey.start)
            before = await state_of(redis, job_id)
            async with asyncio.timeout(SOME_SECONDS):
                while (await state_of(redis, job_id))["last"] == before["last"]:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            after = await state_of(redis, job_id)
            assert (after["status"], after["run"]) == ("running", before["run"])


async def test_a_worker_may_be_started_before_redis(own_valkey: Valkey, tmp_path: Path) -> None:
    own_valkey.stop()
    worker = WorkerProcess(own_valkey.url, JOBCAST_FILES_ROOT=str(tmp_path))
    worker.start()
    await asyncio.to_thread(worker.wait_for_log, "Redis is unavailable")
    await asyncio.to_thread(own_valkey.start)
    await asyncio.to_thread(worker.wait_for_log, "serving the queue")
    worker.send(signal.SIGTERM)
    assert await asyncio.to_thread(worker.wait) == 0


@pytest.mark.parametrize("how", ["never there", "gone", "mute"])
async def test_sigterm_ends_a_worker_whose_redis_is_away(own_valkey: Valkey, how: str) -> None:
    worker = WorkerProcess(own_valkey.url)
    if how == "never there":
        own_valkey.stop()
    worker.start()
    await asyncio.to_thread(
        worker.wait_for_log, "Redis is unavailable" if how == "never there" else "serving the queue"
    )
    if how == "gone":
        own_valkey.kill()
    elif how == "mute":
        own_valkey.pause()
    worker.send(signal.SIGTERM)
    assert await asyncio.to_thread(worker.wait) == 0, worker.log
    assert "Warning" not in worker.log
    if how == "mute":
        own_valkey.resume()


def test_a_worker_says_which_setting_is_wrong_and_ends() -> None:
    environment = {**os.environ, "JOBCAST_CONCURRENCY": "many"}
    code, said = run_module(["worker", "demo.checksum"], environment)
    assert code == 2
    assert "JOBCAST_CONCURRENCY" in said
    assert "Traceback" not in said
