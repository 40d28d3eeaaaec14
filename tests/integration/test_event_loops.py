"""One `Jobs` in several event loops: one after another, in threads, and in forked processes."""

import asyncio
import gc
import multiprocessing
import os
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import uvloop
from redis import Redis

import jobcast
from jobcast import JobNotRunning
from jobcast._chance import chance

RUNS: list[Callable[[Coroutine[Any, Any, Any]], Any]] = [asyncio.run, uvloop.run]
LOOPS = 25
THREADS = 4

pytestmark = pytest.mark.filterwarnings(
    # Event loops end here as those of ``asyncio.run`` do: with open connections.
    "ignore:unclosed:ResourceWarning",
    "ignore:loop is closed:ResourceWarning",
)


@pytest.fixture(autouse=True)
def _warnings_of_the_collector_are_ignored() -> Iterator[None]:
    """Collect what a test leaves while these warnings are ignored."""
    yield
    gc.collect()


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


def named(url: str, name: str) -> str:
    return f"{url}?client_name={name}"


def connections(redis: Redis, name: str) -> int:
    return sum(client["name"] == name for client in redis.client_list())


@pytest.mark.parametrize("run_on", RUNS, ids=["asyncio", "uvloop"])
def test_loops_that_have_ended_leave_no_connections(
    redis_url: str, redis: Redis, run_on: Callable[[Coroutine[Any, Any, Any]], Any]
) -> None:
    jobs = jobcast.connect(named(redis_url, run_on.__module__))

    async def create() -> str:
        return await jobs.create("report", user_id="u1")

    assert len({run_on(create()) for _ in range(LOOPS)}) == LOOPS
    assert connections(redis, run_on.__module__) <= 2
    (server,) = jobs._connection._caller.servers.serving()
    assert len(server._earlier) <= 1


def test_each_thread_may_have_its_own_loop(redis_url: str, redis: Redis) -> None:
    jobs = jobcast.connect(redis_url, progress_per_s=None)
    together = threading.Barrier(THREADS)

    async def work() -> str:
        job_id = await jobs.create("report", user_id="u1")
        together.wait()
        async with jobs.run(job_id) as run:
            for n in range(10):
                await run.emit("note", {"n": n})
        return job_id

    with ThreadPoolExecutor(THREADS) as pool:
        ids = list(pool.map(lambda _: asyncio.run(work()), range(THREADS)))
    assert {redis.hget(f"jobs:{{{each}}}:state", "status") for each in ids} == {"succeeded"}


def in_a_loop(call: Callable[[], Coroutine[Any, Any, str]]) -> str:
    return asyncio.run(call())


async def test_a_run_is_not_for_the_loop_of_another_thread(jobs: jobcast.Jobs) -> None:
    run = jobs.run(await jobs.create("report", user_id="u1"))
    await run.start()
    calls: list[Callable[[], Coroutine[Any, Any, str]]] = [
        *(lambda: run.progress(50), run.advance, run.complete),
    ]
    for call in calls:
        with pytest.raises(JobNotRunning, match="of the event loop and the process"):
            await asyncio.to_thread(in_a_loop, call)
    assert await run.complete()


def in_child(jobs: jobcast.Jobs, run: jobcast.Run, answers: Any) -> None:  # noqa: ANN401 - a queue
    async def work() -> None:
        async with jobs.run(await jobs.create("report", user_id="u1", job_id="child")) as own:
            own.result = jobcast.current_run() is own
        try:
            await run.progress(50)
        except JobNotRunning as refusal:
            answers.put(str(refusal))
        await jobs.aclose()

    asyncio.run(work())


async def test_a_process_that_is_forked_in_a_loop_opens_its_own_connection(
    jobs: jobcast.Jobs, redis: Redis
) -> None:
    context = multiprocessing.get_context("fork")
    await jobs.create("report", user_id="u1", job_id="j1")
    async with jobs.run("j1") as run:
        answers = context.Queue()
        child = context.Process(target=in_child, args=(jobs, run, answers))
        child.start()
        assert "the process" in await asyncio.to_thread(answers.get, timeout=60)
        await asyncio.to_thread(child.join)
        ids = [await run.emit("note", {"n": n}) for n in range(3)]
    log: Any = redis.xrange("jobs:{j1}:log")
    assert [entry_id for entry_id, fields in log if fields["event"] == "note"] == ids
    assert redis.hmget("jobs:{child}:state", "status", "result") == ["succeeded", "true"]


def test_forked_processes_wait_for_different_times() -> None:
    readable, writable = os.pipe()
    for _ in range(2):
        child = os.fork()
        if child == 0:
            os.write(writable, f"{chance.random()}\n".encode())
            os._exit(0)
        os.waitpid(child, 0)
    os.close(writable)
    assert len(set(os.read(readable, 1000).split())) == 2
    os.close(readable)
