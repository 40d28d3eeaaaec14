"""How calls share one connection, and how it comes and goes."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
import uvloop
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

import jobcast
from jobcast import JobFinished
from tests.support.stored import log_of, state_of
from tests.support.valkey import HOST, Valkey
from tests.support.waiting import eventually

RUNS: list[Callable[[Coroutine[Any, Any, None]], None]] = [asyncio.run, uvloop.run]


@pytest.fixture
def own_valkey() -> Iterator[Valkey]:
    with Valkey() as server:
        yield server


async def started(jobs: jobcast.Jobs, job_id: str) -> jobcast.Run:
    """Return a run of a job, both of which are new."""
    run = jobs.run(await jobs.create("report", user_id="u1", job_id=job_id))
    await run.start()
    return run


async def connections_to(client: Redis) -> int:
    """Return how many clients the server has besides the one that asks."""
    return len(await client.client_list()) - 1


@pytest.mark.parametrize("run_on", RUNS, ids=["asyncio", "uvloop"])
def test_calls_at_once_share_one_connection_and_each_gets_its_answer(
    redis_url: str, run_on: Callable[[Coroutine[Any, Any, None]], None]
) -> None:
    async def check() -> None:
        async with (
            jobcast.connect(redis_url, progress_per_s=None) as jobs,
            Redis.from_url(redis_url, decode_responses=True) as client,
        ):
            others = await connections_to(client)
            runs = await asyncio.gather(*(started(jobs, f"j{n}") for n in range(50)))
            await runs[0].complete()
            ids = await asyncio.gather(
                *(run.emit("note", {"text": run.job_id * 2000}) for run in runs),
                return_exceptions=True,
            )
            assert isinstance(ids[0], JobFinished)
            for run, entry_id in zip(runs[1:], ids[1:], strict=True):
                assert (await log_of(client, run.job_id))[-1][0] == entry_id
            assert await connections_to(client) == others + 1

    run_on(check())


async def test_a_path_of_a_unix_socket_is_an_address(own_valkey: Valkey) -> None:
    async with jobcast.connect(own_valkey.unix_url.partition("?")[0], progress_per_s=None) as jobs:
        await (await started(jobs, "j1")).progress(10)
    assert own_valkey.port


async def test_a_password_is_given(own_valkey: Valkey) -> None:
    async with Redis.from_url(own_valkey.url) as client:
        await client.config_set("requirepass", "secret")
    async with jobcast.connect(
        own_valkey.url.replace("//", "//:secret@"), progress_per_s=None
    ) as jobs:
        await (await started(jobs, "j1")).progress(10)
    async with jobcast.connect(own_valkey.url, progress_per_s=None) as jobs:
        with pytest.raises(RedisConnectionError, match=r"[Aa]uthentication"):
            await jobs.run("j1").start()


async def test_what_happened_to_the_connection_while_the_loop_was_busy_goes_unnoticed(
    own_valkey: Valkey,
) -> None:
    async with jobcast.connect(own_valkey.url, progress_per_s=None) as jobs:
        run = await started(jobs, "j1")
        # Not in a thread: a worker that computes lets the event loop see nothing.
        own_valkey.kill()
        own_valkey.start()
        await run.progress(10)


async def test_a_call_that_gets_no_answer_in_time_leaves_the_later_ones_their_time(
    own_valkey: Valkey,
) -> None:
    async with jobcast.connect(own_valkey.url, block_s=4, progress_per_s=None) as jobs:
        first, second = await started(jobs, "j1"), await started(jobs, "j2")
        own_valkey.pause()
        early = asyncio.create_task(first.progress(10))
        late = asyncio.create_task(after(3, second.progress(20)))
        assert await early == ""
        own_valkey.resume()
        assert await late
        await first.progress(30)


async def after(delay_s: float, call: Coroutine[Any, Any, str]) -> str:
    """Make a call when so many seconds have passed."""
    due = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(delay_s, due.set_result, None)
    await due
    return await call


async def test_a_call_under_way_learns_that_the_connection_is_closed(own_valkey: Valkey) -> None:
    async with jobcast.connect(own_valkey.url, progress_per_s=None) as jobs:
        run = await started(jobs, "j1")
        own_valkey.pause()
        call = asyncio.create_task(run.progress(10))
        await asyncio.wait([call], timeout=0.1)
        await jobs.aclose()
        with pytest.raises(RedisConnectionError):
            await call
        own_valkey.resume()
        await run.progress(20)


async def test_what_is_no_answer_of_redis_ends_the_connection() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(b"+OK\r\n" * data.count(b"CLIENT\r\n"))
            if b"EVAL" in data:
                writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(talk, HOST, 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with jobcast.connect(
            f"redis://{HOST}:{port}/0", block_s=2, progress_per_s=None
        ) as jobs:
            with pytest.raises(RedisConnectionError, match="no answer"):
                await jobs.run("j1").start()


def test_another_event_loop_gets_a_connection_of_its_own(redis_url: str) -> None:
    jobs = jobcast.connect(redis_url, progress_per_s=None)

    async def begin() -> None:
        await started(jobs, "j1")
        await jobs.aclose()

    async def go_on() -> None:
        run = jobs.run("j1")
        await run.start()
        await run.complete()
        await jobs.aclose()

    asyncio.run(begin())
    asyncio.run(go_on())


@pytest.mark.parametrize("run_on", RUNS, ids=["asyncio", "uvloop"])
def test_a_run_goes_on_in_another_event_loop(
    redis_url: str, run_on: Callable[[Coroutine[Any, Any, None]], None]
) -> None:
    jobs = jobcast.connect(redis_url, lease_s=86_400)
    runs: list[jobcast.Run] = []
    leases: list[str] = []

    async def state(name: str) -> str:
        async with Redis.from_url(redis_url, decode_responses=True) as client:
            return (await state_of(client, "j1"))[name]

    async def begin() -> None:
        runs.append(await started(jobs, "j1"))
        await runs[0].progress(10)
        assert not await runs[0].progress(20)  # waits for the pace
        leases.append(await state("lease"))
        await jobs._connection.aclose()  # its socket would be left to the collector

    async def is_seen() -> bool:
        return await state("progress") == "30" and await state("lease") > leases[0]

    async def go_on() -> None:
        await runs[0].progress(30)
        await eventually(is_seen)
        await runs[0].complete()
        await jobs.aclose()

    run_on(begin())
    run_on(go_on())
