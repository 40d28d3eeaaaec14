"""The lease of a run: how it is taken, renewed in the background, given back, and lost."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import uvloop
from redis.asyncio import Redis

import jobcast
from eventlog.append import Appender
from eventlog.errors import Leased
from jobcast import InvalidEvent, JobFinished, JobStalled, JobSuperseded, Run
from jobcast._lease import OUTAGES
from jobcast.protocol.append import Answer
from jobcast.redis.caller import Caller
from tests.support.channel import Channel
from tests.support.stored import cancel, log_of, retry, state_of
from tests.support.valkey import Valkey
from tests.support.waiting import after, eventually

LEASE_S = 0.6
INDEX = "jobs:leases"


@pytest.fixture
async def leasing(redis_url: str) -> AsyncIterator[jobcast.Jobs]:
    """Return the worker library with leases so short that a test sees them renewed."""
    async with jobcast.connect(redis_url, lease_s=LEASE_S, progress_per_s=None) as connected:
        yield connected


async def started(jobs: jobcast.Jobs, job_id: str = "j1") -> Run:
    """Return a run of a job, both of which are new."""
    run = jobs.run(await jobs.create("report", user_id="u1", job_id=job_id))
    await run.start()
    return run


async def lease_of(redis: Redis, job_id: str = "j1") -> int:
    """Return when the job's lease is over, in ms; 0 if it has none."""
    return int((await state_of(redis, job_id)).get("lease", 0))


async def indexed(redis: Redis) -> dict[str, float]:
    """Return the members of the index and when each is due."""
    members: Any = await redis.zrange(INDEX, 0, -1, withscores=True)
    return dict(members)


async def until_renewed(redis: Redis, times: int = 1) -> None:
    """Wait until the lease of ``j1`` was moved on so often."""
    for _ in range(times):
        before = await lease_of(redis), await indexed(redis)

        async def is_renewed(before: tuple[int, dict[str, float]] = before) -> bool:
            lease, index = before
            is_later = any(due > index.get(run, 0) for run, due in (await indexed(redis)).items())
            return await lease_of(redis) > lease and is_later

        await eventually(is_renewed)


async def until_over(redis: Redis) -> None:
    """Wait until the lease of ``j1`` has run out by the clock of Redis."""

    async def is_over() -> bool:
        seconds, microseconds = await redis.time()
        return bool(await lease_of(redis) < seconds * 1000 + microseconds / 1000)

    await eventually(is_over)


async def stall(redis: Redis, caller: Caller) -> None:
    """Fail the run of ``j1`` as the service does when its lease is over."""
    run = (await state_of(redis, "j1"))["run"]

    async def is_over() -> bool:
        await redis.hset("jobs:{j1}:state", "lease", "1")
        try:
            await Appender(caller).stall("j1", run)
        except Leased:
            return False  # the run renewed it in between
        return True

    await eventually(is_over)


async def test_a_start_takes_a_lease_by_the_clock_of_redis(
    redis_url: str, redis_client: Redis
) -> None:
    lease_s = 60  # not renewed before it is looked at
    async with jobcast.connect(redis_url, lease_s=lease_s, progress_per_s=None) as jobs:
        await started(jobs)
        state = await state_of(redis_client, "j1")
    assert list(await indexed(redis_client)) == [f"j1:{state['run']}"]
    begun = int((await log_of(redis_client, "j1"))[-1][0].partition("-")[0])
    assert 0 <= int(state["lease"]) - begun - lease_s * 1000 <= 5


async def test_a_run_is_in_the_index_before_it_has_started(
    leasing: jobcast.Jobs, redis_client: Redis
) -> None:
    await leasing.create("report", user_id="u1", job_id="j1")
    async with redis_client.monitor() as monitor:
        await leasing.run("j1").start()
        commands = [(await monitor.next_command())["command"] for _ in range(4)]
    zadd, start = (
        next(i for i, command in enumerate(commands) if command.startswith(name))
        for name in ("ZADD", "EVALSHA")
    )
    assert zadd < start


async def test_a_lease_is_renewed_without_an_entry_or_a_publication(
    leasing: jobcast.Jobs, redis_client: Redis
) -> None:
    run = await started(leasing)
    log = await log_of(redis_client, "j1")
    async with Channel(redis_client, "jobs:j1:events") as channel:
        await until_renewed(redis_client, times=3)
        assert await channel.rest() == []
    assert await log_of(redis_client, "j1") == log
    await run.complete()


@pytest.mark.parametrize("end", [Run.complete, lambda run: run.fail("no")], ids=["ends", "fails"])
async def test_the_end_of_a_run_gives_its_lease_back(
    leasing: jobcast.Jobs, redis_client: Redis, end: object
) -> None:
    async def is_unlisted() -> bool:
        return not await indexed(redis_client)

    run = await started(leasing)
    assert callable(end)
    await end(run)
    assert await lease_of(redis_client) == 0
    await eventually(is_unlisted)


async def test_a_cancel_request_is_told_by_the_renewal(
    leasing: jobcast.Jobs, redis_client: Redis
) -> None:
    async def is_told() -> bool:
        return run.cancel_requested

    run = await started(leasing)
    assert not run.cancel_requested
    await cancel(redis_client, "j1")
    await eventually(is_told)


async def test_without_a_lease_nothing_is_written_of_one(
    redis_url: str, redis_client: Redis
) -> None:
    async with jobcast.connect(redis_url, lease_s=None, progress_per_s=None) as jobs:
        run = await started(jobs)
        assert await lease_of(redis_client) == 0
        await run.complete()
    assert not await redis_client.exists(INDEX)


async def test_a_run_without_a_lease_that_takes_over_has_none(
    leasing: jobcast.Jobs, redis_url: str, redis_client: Redis
) -> None:
    await started(leasing)
    async with jobcast.connect(redis_url, lease_s=None, progress_per_s=None) as jobs:
        run = jobs.run("j1")
        await run.start()
        assert await lease_of(redis_client) == 0
        await run.progress(10)


async def test_a_run_that_was_taken_over_is_renewed_no_longer(
    leasing: jobcast.Jobs, redis_client: Redis
) -> None:
    async def is_alone() -> bool:
        return list(await indexed(redis_client)) == [f"j1:{token}"]

    first, second = await started(leasing), leasing.run("j1")
    await second.start()
    token = (await state_of(redis_client, "j1"))["run"]
    await eventually(is_alone)
    with pytest.raises(JobSuperseded):
        await first.progress(10)
    await second.complete()


async def test_a_start_that_is_refused_leaves_no_lease(
    leasing: jobcast.Jobs, redis_client: Redis
) -> None:
    async def is_unlisted() -> bool:
        return not await indexed(redis_client)

    await (await started(leasing)).complete()
    with pytest.raises(JobFinished):
        await leasing.run("j1").start()
    await eventually(is_unlisted)


async def test_a_run_that_nobody_holds_is_renewed_no_longer(
    leasing: jobcast.Jobs, redis_client: Redis
) -> None:
    run = await started(leasing)
    await until_renewed(redis_client)
    del run
    gc.collect()
    await until_over(redis_client)
    assert len(await indexed(redis_client)) == 1


async def test_closing_leaves_the_lease_of_an_unfinished_run_to_run_out(
    redis_url: str, redis_client: Redis
) -> None:
    async with jobcast.connect(redis_url, lease_s=LEASE_S, progress_per_s=None) as jobs:
        run = await started(jobs)
        await until_renewed(redis_client)
    await until_over(redis_client)
    assert len(await indexed(redis_client)) == 1
    assert not run.finished


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_an_event_loop_may_end_at_any_time(
    redis_url: str,
    caplog: pytest.LogCaptureFixture,
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    jobs = jobcast.connect(
        redis_url, lease_s=60, progress_per_s=None
    )  # not renewed while the test lasts
    loop = new_loop()
    run = loop.run_until_complete(started(jobs))
    loop.run_until_complete(loop.run_until_complete(started(jobs, "j2")).complete())
    assert asyncio.all_tasks(loop) == set()
    loop.run_until_complete(jobs._connection.aclose())
    loop.close()
    del run, jobs
    gc.collect()
    assert "destroyed" not in caplog.text


async def test_a_lease_is_renewed_again_when_redis_is_back_and_both_are_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    OUTAGES.end("what other tests have left")
    with Valkey() as own:
        async with (
            jobcast.connect(own.url, lease_s=LEASE_S, progress_per_s=None) as jobs,
            Redis.from_url(own.url, decode_responses=True) as client,
        ):
            run = await started(jobs)
            await until_renewed(client)
            before = await lease_of(client)
            await client.connection_pool.disconnect()
            own.kill()
            await after(2 * LEASE_S)
            own.start()
            await until_renewed(client)
            assert await lease_of(client) > before + 2 * LEASE_S * 1000
            await run.complete()
    assert any("leases of runs can't be renewed: " in each for each in caplog.messages)
    assert "leases of runs are renewed again" in caplog.messages


async def test_a_lease_is_renewed_again_after_something_unforeseen(
    leasing: jobcast.Jobs,
    redis_client: Redis,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(_reply: object) -> None:
        raise ValueError("an answer that was cut short")

    async def is_told() -> bool:
        return "j1: its lease could not be renewed" in caplog.text

    run = await started(leasing)
    with monkeypatch.context() as for_a_while:
        for_a_while.setattr(Answer, "from_reply", fail)
        await eventually(is_told)
    await until_renewed(redis_client)
    await run.complete()


async def test_a_run_whose_job_redis_has_lost_gives_up(
    leasing: jobcast.Jobs, redis_client: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    async def has_given_up() -> bool:
        return "renewed no longer: There is no such job" in caplog.text

    run = await started(leasing)
    await redis_client.flushall()
    await eventually(has_given_up)
    assert not await redis_client.exists(INDEX)
    with pytest.raises(jobcast.UnknownJob):
        await run.progress(10)


@pytest.mark.parametrize("has_retried", [False, True])
async def test_a_run_that_overslept_its_lease_is_refused_and_told_why(
    leasing: jobcast.Jobs, redis_client: Redis, caller: Caller, *, has_retried: bool
) -> None:
    run = await started(leasing)
    log = await log_of(redis_client, "j1")
    await stall(redis_client, caller)
    if has_retried:
        await retry(redis_client, "j1")
        await leasing.run("j1").start()
    with pytest.raises(JobSuperseded if has_retried else JobStalled) as refusal:
        await run.progress(50)
    if not has_retried:
        assert str(refusal.value) == "The lease of this run ran out, and the job was failed"
        assert issubclass(refusal.type, JobFinished)
        assert len(await log_of(redis_client, "j1")) == len(log) + 1


async def test_a_renewal_that_comes_after_the_stall_is_said_in_the_log(
    leasing: jobcast.Jobs, redis_client: Redis, caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    async def has_given_up() -> bool:
        return "j1: its lease is renewed no longer: The lease of this run ran out" in caplog.text

    run = await started(leasing)
    with caplog.at_level(logging.WARNING, "jobcast"):
        await stall(redis_client, caller)
        await eventually(has_given_up)
    assert not await indexed(redis_client)
    with pytest.raises(JobStalled):
        await run.complete()


@pytest.mark.parametrize("lease_s", [0, -1, 0.05, float("nan"), float("inf"), 86_401, True, "60"])
def test_a_lease_is_a_number_of_seconds(lease_s: float) -> None:
    with pytest.raises(InvalidEvent, match="lease_s"):
        jobcast.connect("redis://127.0.0.1:1", lease_s=lease_s, progress_per_s=None)
