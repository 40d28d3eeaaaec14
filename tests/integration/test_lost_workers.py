"""Workers that are gone without a word, and those that only seem so."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis

import jobcast
from app.upkeep.stalled_runs import StalledRuns
from eventlog.append import Appender
from eventlog.errors import LogUnavailable
from eventlog.leases import Leases
from eventlog.redis_calls import connect
from jobcast import JobStalled, Run
from jobcast._settings import LEASE_S
from jobcast.protocol.append import Answer
from jobcast.redis.caller import Caller
from tests.faults.clock import LIBRARY, Clock
from tests.support.channel import Channel
from tests.support.deployments import deployment
from tests.support.lone_worker import LoneWorker
from tests.support.needs import FAKETIME
from tests.support.stored import ending_of, log_of, retry, state_of
from tests.support.valkey import Valkey
from tests.support.waiting import after, eventually, until
from tests.support.worker_process import enqueue
from tests.support.working import until_idle, working
from worker.queue import LOCK_S
from worker.registry import Registry

GRACE_S = 0.4
SHORT_S = 0.3
STALLED = ("failed", None, "The worker was lost", "STALLED")
INDEX = "jobs:leases"


@asynccontextmanager
async def looking_out(caller: Caller) -> AsyncIterator[StalledRuns]:
    """Look for lost workers for the length of the block."""
    stalled_runs = StalledRuns(Leases(caller), Appender(caller), GRACE_S)
    running = asyncio.create_task(stalled_runs.run())
    try:
        yield stalled_runs
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def created(redis_url: str, job_id: str = "j1") -> str:
    async with jobcast.connect(redis_url, progress_per_s=None) as jobs:
        return await jobs.create("report", user_id="u1", job_id=job_id)


async def abandoned(redis_url: str, *job_ids: str, lease_s: float | None = SHORT_S) -> None:
    """Create and start jobs whose worker then says no more."""
    async with jobcast.connect(redis_url, lease_s=lease_s, progress_per_s=None) as jobs:
        for job_id in job_ids:
            run = jobs.run(await jobs.create("report", user_id="u1", job_id=job_id))
            await run.start()


async def until_failed(redis: Redis, job_id: str = "j1") -> None:
    async def has_failed() -> bool:
        return (await state_of(redis, job_id))["status"] == "failed"

    await eventually(has_failed)


async def until_unlisted(redis: Redis) -> None:
    async def is_unlisted() -> bool:
        return not await redis.exists(INDEX)

    await eventually(is_unlisted)


async def names(redis: Redis, job_id: str = "j1") -> list[str]:
    return [fields["event"] for _, fields in await log_of(redis, job_id)]


async def test_a_job_whose_worker_was_killed_fails_with_a_code_of_its_own(
    redis_url: str, redis_client: Redis, caller: Caller
) -> None:
    lease_s = 1.0
    with LoneWorker(redis_url, await created(redis_url), lease_s) as worker:
        async with looking_out(caller), Channel(redis_client, "jobs:j1:events") as channel:
            await after(2 * lease_s)
            assert (await state_of(redis_client, "j1"))["status"] == "running"
            worker.send(signal.SIGKILL)
            *_, last = await channel.until("failed")
            await until_unlisted(redis_client)
    assert last["data"] == {"error": "The worker was lost", "errorCode": "STALLED"}
    assert await ending_of(redis_client, "j1") == STALLED
    assert await names(redis_client) == ["_created", "step-change", "failed"]


async def test_a_worker_that_wakes_up_later_is_refused_with_a_clear_error(
    redis_url: str, redis_client: Redis, caller: Caller
) -> None:
    with LoneWorker(redis_url, await created(redis_url), SHORT_S) as worker:
        async with looking_out(caller):
            worker.send(signal.SIGSTOP)
            await until_failed(redis_client)
            worker.send(signal.SIGCONT)
            refusal = "JobStalled: The lease of this run ran out, and the job was failed"
            assert await asyncio.to_thread(worker.report) == refusal
            await retry(redis_client, "j1")
            assert await asyncio.to_thread(worker.report) == refusal
    assert await names(redis_client) == ["_created", "step-change", "failed", "_retried"]


async def test_a_worker_that_blocks_its_event_loop_is_taken_for_dead(
    redis_url: str, redis_client: Redis, caller: Caller
) -> None:
    async def block() -> None:
        async with (
            jobcast.connect(redis_url, lease_s=SHORT_S, progress_per_s=None) as jobs,
            jobs.run("j1") as run,
        ):
            started.set()
            asyncio.run_coroutine_threadsafe(until_failed(redis_client), loop).result()
            await run.progress(50)

    await created(redis_url)
    loop, started = asyncio.get_running_loop(), asyncio.Event()
    async with looking_out(caller):
        with pytest.raises(JobStalled):
            await asyncio.to_thread(asyncio.run, block())
    assert await names(redis_client) == ["_created", "step-change", "failed"]


async def test_a_run_without_a_lease_is_never_failed(
    redis_url: str, redis_client: Redis, caller: Caller
) -> None:
    await abandoned(redis_url, "j1", lease_s=None)
    await abandoned(redis_url, "j2")
    async with looking_out(caller):
        await until_failed(redis_client, "j2")
        await until_unlisted(redis_client)
    assert (await state_of(redis_client, "j1"))["status"] == "running"


async def test_two_services_fail_a_job_once(
    redis_url: str, redis_client: Redis, caller: Caller
) -> None:
    job_ids = [f"j{n}" for n in range(60)]
    await abandoned(redis_url, *job_ids)
    other = connect(redis_url)
    async with looking_out(caller) as first, looking_out(other) as second:
        for job_id in job_ids:
            await until_failed(redis_client, job_id)
        await until_unlisted(redis_client)
    await other.aclose()
    assert first.stalled + second.stalled == len(job_ids)
    for job_id in job_ids:
        assert await names(redis_client, job_id) == ["_created", "step-change", "failed"]


async def test_a_run_that_is_due_is_given_to_one_process_until_some_time_has_passed(
    redis_client: Redis, caller: Caller
) -> None:
    async def all_were_due_again() -> bool:
        due = await leases.claim((await leases.check()).index_ms, 100, 60_000)
        again.extend(run.job_id for run in due)
        return len(again) == 50

    leases, again = Leases(caller), list[str]()
    await redis_client.zadd(INDEX, {f"j{n}:r": n for n in range(50)})
    now_ms = (await leases.check()).index_ms
    claims = await asyncio.gather(*(leases.claim(now_ms, 20, 300) for _ in range(4)))
    assert sorted(len(claim) for claim in claims) == [0, 10, 20, 20]
    assert {run.job_id for claim in claims for run in claim} == {f"j{n}" for n in range(50)}
    await eventually(all_were_due_again)
    assert len(set(again)) == 50


async def test_two_scripts_at_the_same_time_fail_a_job_once(
    redis_url: str, redis_client: Redis, caller: Caller
) -> None:
    await abandoned(redis_url, "j1", lease_s=0.1)
    run = (await state_of(redis_client, "j1"))["run"]
    await redis_client.hset("jobs:{j1}:state", "lease", "1")
    stalls = [Appender(caller).stall("j1", run) for _ in range(10)]
    answers = await asyncio.gather(*stalls, return_exceptions=True)
    assert sorted(type(each).__name__ for each in answers) == ["Answer"] + ["JobStalled"] * 9


async def test_what_is_over_or_is_no_run_leaves_the_index(
    jobs: jobcast.Jobs, redis_client: Redis, caller: Caller
) -> None:
    await (await begun(jobs, "ended")).complete()
    await begun(jobs, "taken")
    await jobs.create("report", user_id="u1", job_id="queued")
    left = ["ended:r", "taken:r", "queued:r", "gone:r", "nonsense", ""]
    await redis_client.delete(INDEX)
    await redis_client.zadd(INDEX, dict.fromkeys(left, 1))
    async with looking_out(caller) as stalled_runs:
        await until_unlisted(redis_client)
    assert stalled_runs.stalled == 0


async def test_a_run_that_is_leased_still_is_looked_at_when_its_lease_is_over(
    jobs: jobcast.Jobs, redis_client: Redis, caller: Caller
) -> None:
    async def is_postponed() -> bool:
        lease = int((await state_of(redis_client, "j1"))["lease"])
        return bool(abs((await redis_client.zscore(INDEX, member) or 0) - lease) < 1000)

    run = await begun(jobs)
    member = f"j1:{(await state_of(redis_client, 'j1'))['run']}"
    await redis_client.zadd(INDEX, {member: 1})
    async with looking_out(caller):
        await eventually(is_postponed)
    await run.complete()


async def test_jobs_that_cannot_be_read_do_not_stand_in_the_way(
    redis_url: str, redis_client: Redis, caller: Caller
) -> None:
    for n in range(50):
        await redis_client.set(f"jobs:{{bad{n}}}:state", "no hash")
        await redis_client.zadd(INDEX, {f"bad{n}:r": 1})
    await abandoned(redis_url, "j1")
    async with looking_out(caller):
        await until_failed(redis_client)


async def test_an_outage_longer_than_the_lease_fails_only_whose_workers_are_gone() -> None:
    with Valkey() as own:
        caller = connect(own.url)
        async with (
            jobcast.connect(own.url, lease_s=SHORT_S, progress_per_s=None) as jobs,
            Redis.from_url(own.url, decode_responses=True) as redis,
            looking_out(caller),
        ):
            run = await begun(jobs, "lives")
            await abandoned(own.url, "lost")
            own.pause()
            await after(4 * SHORT_S)
            own.resume()
            await until_failed(redis, "lost")
            await run.complete()
            assert await names(redis, "lives") == ["_created", "step-change", "complete"]
        await caller.aclose()


@pytest.mark.skipif(LIBRARY is None, reason=FAKETIME)
async def test_a_clock_that_leaps_past_a_long_lease_fails_only_whose_workers_are_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("jobcast._lease.MAX_INTERVAL_S", GRACE_S / 4)
    clock = Clock()
    with Valkey(environment=clock.environment) as own:
        caller = connect(own.url)
        async with (
            jobcast.connect(own.url, lease_s=1800, progress_per_s=None) as jobs,
            Redis.from_url(own.url, decode_responses=True) as redis,
            looking_out(caller),
        ):
            run = await begun(jobs, "lives")
            await abandoned(own.url, "lost", lease_s=1800)
            await after(2 * GRACE_S)
            clock.jump_to(3600)
            await until_failed(redis, "lost")
            await run.complete()
        await caller.aclose()


async def test_a_redis_without_memory_is_away_for_renewals_too_and_said_to_be_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Valkey() as own:
        caller = connect(own.url)
        leases = Leases(caller)
        await leases.check()
        for _ in range(2):
            own.ask("CONFIG", "SET", "maxmemory", "1")
            for _ in range(2):
                with pytest.raises(LogUnavailable):
                    await leases.check()
            own.ask("CONFIG", "SET", "maxmemory", "0")
            await leases.check()
        await caller.aclose()
    (begins, ends, begins_anew, ends_anew) = caplog.messages
    assert begins == begins_anew
    assert "lets no lease be renewed: Redis refuses it: command not allowed when used mem" in begins
    assert ends == ends_anew == "leases can be renewed again"


@pytest.mark.parametrize("form", ["plain", "user", "sentinel"])
async def test_a_look_leaves_nothing_behind(form: str, request: pytest.FixtureRequest) -> None:
    redis = deployment(form, request)
    caller = connect(redis.url)
    times = await Leases(caller).check()
    seconds, _ = redis.server_of("").ask("TIME")
    assert abs(times.index_ms / 1000 - seconds) < 10
    assert redis.server_of("").ask("DBSIZE") == 0
    await caller.aclose()


async def test_an_index_that_was_lost_is_made_again_by_the_renewals(
    redis_url: str, redis_client: Redis, caller: Caller
) -> None:
    async def is_listed() -> bool:
        return bool(await redis_client.exists(INDEX))

    async with looking_out(caller):
        async with jobcast.connect(redis_url, lease_s=SHORT_S, progress_per_s=None) as jobs:
            run = await begun(jobs)
            await redis_client.delete(INDEX)
            await eventually(is_listed)
        await until_failed(redis_client)
    assert not run.finished


async def test_data_that_redis_has_lost_are_not_missed(
    redis_url: str, redis_client: Redis, caller: Caller
) -> None:
    await abandoned(redis_url, "j1")
    members: Any = await redis_client.zrange(INDEX, 0, -1, withscores=True)
    await redis_client.flushall()
    await redis_client.zadd(INDEX, dict(members))
    async with looking_out(caller) as stalled_runs:
        await until_unlisted(redis_client)
    assert stalled_runs.stalled == 0
    assert await redis_client.keys("jobs:*") == []


def test_the_queue_hands_a_lost_workers_job_out_again_before_its_lease_is_over() -> None:
    assert 2 * (LOCK_S + LOCK_S / 3) < LEASE_S


async def test_a_job_that_the_queue_hands_out_again_in_time_is_run_again(
    redis_url: str, redis_client: Redis, caller: Caller
) -> None:
    registry = Registry()

    @registry.job("report")
    async def report(_: Run) -> object:
        await redis_client.zadd(INDEX, {lost: 1})
        await eventually(is_alone)
        return "done"

    async def is_alone() -> bool:
        return bool(await redis_client.zcard(INDEX) == 1)

    await lose_worker(redis_url, redis_client, lease_s=30)
    members: Any = await redis_client.zrange(INDEX, 0, -1)
    (lost,) = members
    async with looking_out(caller) as stalled_runs, working(redis_url, registry, lock_s=1):
        await until_idle(redis_client)
    assert stalled_runs.stalled == 0
    assert await ending_of(redis_client, "j1") == ("succeeded", '"done"', None, None)


async def test_a_job_that_the_queue_hands_out_too_late_has_failed_already(
    redis_url: str, redis_client: Redis, caller: Caller
) -> None:
    registry = Registry()

    @registry.job("report")
    async def report(_: Run) -> object:
        pytest.fail("the job was run after it had failed")

    await lose_worker(redis_url, redis_client, lease_s=SHORT_S)
    async with looking_out(caller):
        await until_failed(redis_client)
    async with working(redis_url, registry, lock_s=1):
        await until_idle(redis_client)
    assert await ending_of(redis_client, "j1") == STALLED


async def begun(jobs: jobcast.Jobs, job_id: str = "j1") -> Run:
    """Return a run of a job, both of which are new."""
    run = jobs.run(await jobs.create("report", user_id="u1", job_id=job_id))
    await run.start()
    return run


async def lose_worker(redis_url: str, redis: Redis, *, lease_s: float) -> None:
    """Leave ``j1`` as a worker leaves it that dies: its entry active, without a lock."""
    await enqueue(redis, await created(redis_url))
    await redis.lmove("bull:jobcast:wait", "bull:jobcast:active")
    with LoneWorker(redis_url, "j1", lease_s):
        pass


async def test_a_job_whose_numbers_are_none_is_failed_like_any_other(
    caller: Caller, redis_client: Redis, redis_url: str
) -> None:
    await abandoned(redis_url, "j1")
    damage = (("attempt", "many"), ("progress", "NaN"), ("retention", "1e999"), ("maxEntries", "x"))
    for field, value in damage:
        await redis_client.hset("jobs:{j1}:state", field, value)
    async with looking_out(caller):
        await until_failed(redis_client, "j1")
        await until_unlisted(redis_client)
    assert await names(redis_client) == ["_created", "step-change", "failed"]


@pytest.mark.parametrize("lease", ["inf", "1e300", "nan", "soon", ""])
async def test_a_run_whose_lease_is_no_time_is_missed_by_nobody_and_stops_no_look(
    caller: Caller, redis_client: Redis, redis_url: str, lease: str
) -> None:
    await abandoned(redis_url, "j1", "j2")
    await redis_client.hset("jobs:{j1}:state", "lease", lease)
    async with looking_out(caller):
        await until_failed(redis_client, "j2")
        await until_unlisted(redis_client)
    assert (await state_of(redis_client, "j1"))["status"] == "running"


async def test_a_run_that_fails_unexpectedly_stops_no_look_and_is_logged_once(
    caller: Caller,
    redis_client: Redis,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    stall, tries = Appender.stall, 0

    async def stall_but_one(appender: Appender, job_id: str, run: str | bytes) -> Answer:
        nonlocal tries
        if job_id == "j1":
            tries += 1
            raise RuntimeError("something new")
        return await stall(appender, job_id, run)

    monkeypatch.setattr(Appender, "stall", stall_but_one)
    await abandoned(redis_url, "j1", "j2")
    async with looking_out(caller):
        await until_failed(redis_client, "j2")
        await until(lambda: tries >= 2)
    assert caplog.text.count("can't tell whether a worker is lost: job j1") == 1


async def test_a_run_whose_job_cannot_be_read_leaves_the_index_and_stops_no_look(
    caller: Caller, redis_client: Redis, redis_url: str
) -> None:
    await abandoned(redis_url, "j1", "j2")
    await redis_client.set("jobs:{j1}:state", "no hash")
    async with looking_out(caller):
        await until_failed(redis_client, "j2")
        await until_unlisted(redis_client)


@pytest.mark.parametrize("token", [b"a:b", b"\xff\x00\xfe", b"\r\n", b""])
async def test_a_run_may_have_any_bytes_for_a_token(
    caller: Caller, redis_client: Redis, redis_url: str, token: bytes
) -> None:
    async def is_failed() -> bool:
        return await redis_client.hget("jobs:{j1}:state", "status") == "failed"

    await abandoned(redis_url, "j1")
    await redis_client.hset("jobs:{j1}:state", "run", token)
    await redis_client.zadd(INDEX, {b"j1:" + token: 1})
    async with looking_out(caller):
        await eventually(is_failed)
        await until_unlisted(redis_client)
