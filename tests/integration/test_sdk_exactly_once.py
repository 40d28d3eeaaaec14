"""Whatever becomes of Redis and of answers, each event is written once, in order."""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

import jobcast
from jobcast import (
    BufferFull,
    JobCancelled,
    JobExists,
    JobStalled,
    JobSuperseded,
    UnknownJob,
)
from jobcast.protocol.append import SCRIPT
from tests.support.channel import Channel
from tests.support.interruption import Interruption, Moment
from tests.support.short_block import shorten_block
from tests.support.stored import cancel, log_of, retry, state_of
from tests.support.valkey import Valkey
from tests.support.waiting import eventually, until

LOST: list[Moment] = ["before", "after"]
LOG = "jobs:{j1}:log"
STATE = "jobs:{j1}:state"
DIGEST = hashlib.sha1(SCRIPT.encode()).hexdigest()  # noqa: S324 - Redis' own


@pytest.fixture
def own_valkey() -> Iterator[Valkey]:
    with Valkey("--appendonly", "yes", "--appendfsync", "always") as server:
        yield server


async def started(jobs: jobcast.Jobs) -> jobcast.Run:
    run = jobs.run(await jobs.create("report", user_id="u1", job_id="j1"))
    await run.start()
    return run


async def names_of(redis: Redis) -> list[str]:
    return [fields["event"] for _, fields in await log_of(redis, "j1")]


async def notes_of(redis: Redis) -> list[int]:
    log = await log_of(redis, "j1")
    return [json.loads(fields["data"])["n"] for _, fields in log if fields["event"] == "note"]


def arguments(operation: str, run: str, seq: str, data: str = "{}") -> list[str]:
    """Return the arguments of the script."""
    return ["PUBLISH", operation, "", run, "note", data, "", f"0 {seq}"]


async def script(redis: Redis, operation: str, run: str, seq: str, data: str = "{}") -> list[Any]:
    """Append as a worker does that repeats for itself."""
    answer: list[Any] = await redis.register_script(SCRIPT)(
        keys=[LOG, STATE], args=arguments(operation, run, seq, data)
    )
    return answer


async def saved(redis: Redis) -> dict[str, Any]:
    """Return what Redis has of ``j1``, to be put back as a failover does that loses the rest."""
    return {key: await redis.dump(key) for key in (STATE, "jobs:{j1}:log")}


async def restore(redis: Redis, before: dict[str, Any]) -> None:
    for key, value in before.items():
        await redis.restore(key, 0, value, replace=True)


CALLS: dict[str, Callable[[jobcast.Run], Awaitable[str]]] = {
    "progress": lambda run: run.progress(50),
    "step": lambda run: run.step("Reading"),
    "emit": lambda run: run.emit("note", {"n": 1}),
    "complete": lambda run: run.complete({"n": 1}),
    "fail": lambda run: run.fail("Boom"),
}


@pytest.mark.parametrize("moment", LOST)
@pytest.mark.parametrize("name", CALLS)
async def test_a_call_whose_answer_gets_lost_is_written_once_and_returns_its_entry(
    valkey: Valkey, redis_client: Redis, name: str, moment: Moment
) -> None:
    async with (
        Interruption(valkey.port, 0) as way,
        jobcast.connect(way.url, progress_per_s=None) as jobs,
        Channel(redis_client, "jobs:j1:events") as channel,
    ):
        run = await started(jobs)
        before = await log_of(redis_client, "j1")
        way.fail_next(moment)
        entry_id = await CALLS[name](run)
        after = await log_of(redis_client, "j1")
        assert [each for each, _ in after[len(before) :]] == [entry_id]
        assert [each["id"] for each in await channel.rest()] == [each for each, _ in after]


@pytest.mark.parametrize("moment", LOST)
@pytest.mark.parametrize("at", [1, 2, 3])
async def test_a_start_whose_answer_gets_lost_starts_once(
    valkey: Valkey, redis_client: Redis, moment: Moment, at: int
) -> None:
    async with (
        Interruption(valkey.port, 0) as way,
        jobcast.connect(way.url, progress_per_s=None) as jobs,
    ):
        run = jobs.run(await jobs.create("report", user_id="u1", job_id="j1", input={"pages": 3}))
        way._at, way._moment = way.count + at, moment
        assert await run.start() == (await log_of(redis_client, "j1"))[-1][0]
        assert (run.type, run.input) == ("report", {"pages": 3})
        await run.complete()
    assert await names_of(redis_client) == ["_created", "step-change", "complete"]


@pytest.mark.parametrize("moment", LOST)
@pytest.mark.parametrize("at", [1, 2, 3])
async def test_a_creation_whose_answer_gets_lost_creates_once_and_lists_the_job(
    valkey: Valkey, redis_client: Redis, moment: Moment, at: int
) -> None:
    async with (
        Interruption(valkey.port, 0) as way,
        jobcast.connect(way.url, progress_per_s=None) as jobs,
    ):
        way._at, way._moment = way.count + at, moment
        assert await jobs.create("report", user_id="u1", job_id="j1") == "j1"
        with pytest.raises(JobExists):
            await jobs.create("report", user_id="u1", job_id="j1")
    assert await names_of(redis_client) == ["_created"]
    assert len(await redis_client.zrange("jobs:by-user:u1", 0, -1)) == 1


async def test_calls_under_way_when_the_connection_breaks_are_written_once_and_in_order(
    valkey: Valkey, redis_client: Redis
) -> None:
    async with (
        Interruption(valkey.port, 0) as way,
        jobcast.connect(way.url, progress_per_s=None) as jobs,
    ):
        run = await started(jobs)
        for moment in LOST * 5:
            way.fail_next(moment)
            last = (await log_of(redis_client, "j1"))[-1][0]
            ids = await asyncio.gather(*(run.emit("note", {"n": n}) for n in range(10)))
            log = await log_of(redis_client, "j1", last)
            assert [entry_id for entry_id, _ in log] == ids
            assert [json.loads(fields["data"])["n"] for _, fields in log] == list(range(10))


async def test_a_restart_of_redis_costs_nothing_but_time(own_valkey: Valkey) -> None:
    async with jobcast.connect(own_valkey.url, block_s=None, progress_per_s=None) as jobs:
        run = await started(jobs)
        own_valkey.kill()
        call = asyncio.create_task(run.emit("note", {"n": 1}))
        await asyncio.wait([call], timeout=0.3)
        await asyncio.to_thread(own_valkey.start)
        assert await call
        await run.complete()
    async with Redis.from_url(own_valkey.url, decode_responses=True) as client:
        assert await names_of(client) == ["_created", "step-change", "note", "complete"]


async def test_a_call_blocks_no_longer_than_it_may_and_its_event_is_written_later(
    own_valkey: Valkey,
) -> None:
    async with jobcast.connect(own_valkey.url, progress_per_s=None) as jobs:
        run = await started(jobs)
        shorten_block(jobs)
        own_valkey.kill()
        ids = [await run.emit("note", {"n": n}) for n in range(20)]
        assert ids == [""] * 20
        assert await run.complete() == ""
        assert not run.finished
        await asyncio.to_thread(own_valkey.start)
        await until(lambda: run.finished)
    async with Redis.from_url(own_valkey.url, decode_responses=True) as client:
        assert await notes_of(client) == list(range(20))
        assert (await state_of(client, "j1"))["status"] == "succeeded"
        assert "lease" not in await state_of(client, "j1")


async def test_a_full_buffer_keeps_the_newest_progress_and_then_refuses_all_but_the_end(
    own_valkey: Valkey,
) -> None:
    async with jobcast.connect(own_valkey.url, buffer_events=4, progress_per_s=None) as jobs:
        run = await started(jobs)
        shorten_block(jobs)
        own_valkey.kill()
        assert await run.emit("note", {"n": 0}) == ""
        for percent in range(1, 9):
            assert await run.progress(percent) == ""
        assert await run.emit("note", {"n": 1}) == ""
        assert await run.emit("note", {"n": 2}) == ""
        with pytest.raises(BufferFull):
            await run.emit("note", {"n": 3})
        assert await run.complete() == ""
        await asyncio.to_thread(own_valkey.start)
        await until(lambda: run.finished)
    async with Redis.from_url(own_valkey.url, decode_responses=True) as client:
        assert await notes_of(client) == [0, 1, 2]
        progress = [f["data"] for _, f in await log_of(client, "j1") if "update" in f["event"]]
        assert [json.loads(data)["progress"] for data in progress] == [8]


async def test_closing_waits_for_what_waits(own_valkey: Valkey) -> None:
    async with jobcast.connect(own_valkey.url, block_s=5, progress_per_s=None) as jobs:
        run = await started(jobs)
        own_valkey.kill()
        call = asyncio.create_task(run.emit("note", {"n": 1}))
        await asyncio.wait([call], timeout=0.1)
        closing = asyncio.create_task(jobs.aclose())
        await asyncio.wait([closing], timeout=0.1)
        await asyncio.to_thread(own_valkey.start)
        await closing
        assert await call


async def test_closing_gives_up_events_but_not_the_end_of_a_run(own_valkey: Valkey) -> None:
    async with jobcast.connect(own_valkey.url, progress_per_s=None) as jobs:
        first, second = await started(jobs), jobs.run(await jobs.create("report", user_id="u1"))
        await second.start()
        shorten_block(jobs)
        own_valkey.kill()
        assert await first.emit("note", {"n": 1}) == ""
        assert await second.complete() == ""
        await jobs.aclose()
        await asyncio.to_thread(own_valkey.start)
        await until(lambda: second.finished)
    async with Redis.from_url(own_valkey.url, decode_responses=True) as client:
        assert await notes_of(client) == []


async def test_a_cancelled_call_that_was_not_sent_is_not_written(own_valkey: Valkey) -> None:
    async with jobcast.connect(own_valkey.url, progress_per_s=None) as jobs:
        run = await started(jobs)
        own_valkey.pause()
        first = asyncio.create_task(run.emit("note", {"n": 1}))
        second = asyncio.create_task(run.emit("note", {"n": 2}))
        await asyncio.wait([first, second], timeout=0.1)
        second.cancel()
        await asyncio.wait([second])
        own_valkey.resume()
        await first
        await run.complete()
    async with Redis.from_url(own_valkey.url, decode_responses=True) as client:
        assert await notes_of(client) == [1]


async def test_a_failover_that_lost_entries_is_no_error(
    jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    run = await started(jobs)
    before = await saved(redis_client)
    for n in range(3):
        await run.emit("note", {"n": n})
    await restore(redis_client, before)
    await run.emit("note", {"n": 3})
    await run.complete()
    assert await notes_of(redis_client) == [3]


@pytest.mark.parametrize("name", CALLS)
async def test_a_failover_that_lost_the_start_is_made_good(
    jobs: jobcast.Jobs, redis_client: Redis, name: str
) -> None:
    run = jobs.run(await jobs.create("report", user_id="u1", job_id="j1"))
    before = await saved(redis_client)
    await run.start()
    await restore(redis_client, before)
    assert await CALLS[name](run)
    names = await names_of(redis_client)
    assert names[:2] == ["_created", "step-change"]
    assert len(names) == 3


@pytest.mark.parametrize("name", CALLS)
async def test_another_job_under_the_same_id_is_not_taken_over(
    jobs: jobcast.Jobs, redis_client: Redis, name: str
) -> None:
    run = await started(jobs)
    await redis_client.delete(STATE, "jobs:{j1}:log")
    await jobs.create("report", user_id="stranger", job_id="j1")
    with pytest.raises(UnknownJob):
        await CALLS[name](run)
    assert await names_of(redis_client) == ["_created"]
    assert (await state_of(redis_client, "j1"))["status"] == "queued"


async def test_nor_is_it_by_a_renewal(jobs: jobcast.Jobs, redis_client: Redis) -> None:
    run = await started(jobs)
    await redis_client.delete(STATE, "jobs:{j1}:log")
    await jobs.create("report", user_id="stranger", job_id="j1")
    await run._renew(60_000)
    await until(lambda: run._sender.is_idle)
    assert await names_of(redis_client) == ["_created"]


async def test_a_run_whose_lease_was_lost_with_its_start_is_started_again_by_its_renewal(
    redis_url: str, redis_client: Redis
) -> None:
    async with jobcast.connect(redis_url, lease_s=0.6, progress_per_s=None) as jobs:
        run = jobs.run(await jobs.create("report", user_id="u1", job_id="j1"))
        before = await saved(redis_client)
        await run.start()
        await restore(redis_client, before)

        async def is_running() -> bool:
            return (await state_of(redis_client, "j1"))["status"] == "running"

        await eventually(is_running)
        await run.complete()


async def test_a_run_that_was_taken_over_meanwhile_is_refused(own_valkey: Valkey) -> None:
    async with jobcast.connect(own_valkey.url, progress_per_s=None) as jobs:
        run = await started(jobs)
        shorten_block(jobs)
        own_valkey.kill()
        assert await run.emit("note", {"n": 1}) == ""
        await asyncio.to_thread(own_valkey.start)
        async with jobcast.connect(own_valkey.url, progress_per_s=None) as others:
            await others.run("j1").start()

        async def is_refused() -> bool:
            try:
                await run.emit("note", {"n": 2})
            except JobSuperseded:
                return True
            return False

        await eventually(is_refused)


async def test_a_lease_that_ran_out_meanwhile_is_said(valkey: Valkey, redis_client: Redis) -> None:
    async with (
        Interruption(valkey.port, 0) as way,
        jobcast.connect(way.url, progress_per_s=None) as jobs,
    ):
        run = await started(jobs)
        token = (await state_of(redis_client, "j1"))["run"]
        await redis_client.hset(STATE, "lease", "1")
        await redis_client.register_script(SCRIPT)(
            keys=["jobs:{j1}:log", STATE], args=["PUBLISH", "stall", "", token, "", "{}", "", "0"]
        )
        way.fail_next("before")
        with pytest.raises(JobStalled):
            await run.progress(10)


async def test_a_cancel_request_between_call_and_repeat_is_told(
    valkey: Valkey, redis_client: Redis
) -> None:
    async with (
        Interruption(valkey.port, 0) as way,
        jobcast.connect(way.url, progress_per_s=None) as jobs,
    ):
        run = await started(jobs)
        way.fail_next("late")
        call = asyncio.create_task(run.emit("note", {"n": 1}))
        await until(lambda: way._holds)
        await cancel(redis_client, "j1")
        await way.let_go()
        with pytest.raises(JobCancelled):
            await call
    assert await names_of(redis_client) == [
        *("_created", "step-change", "_cancel-requested", "note"),
    ]


async def test_the_script_answers_each_repeat_with_the_entry_of_its_number(
    jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    await jobs.create("report", user_id="u1", job_id="j1")
    ids = [(await script(redis_client, "start", "r", "1"))[0]]
    ids += [(await script(redis_client, "emit", "r", str(n)))[0] for n in (2, 3, 7, 8)]
    await cancel(redis_client, "j1")
    log, state = await log_of(redis_client, "j1"), await state_of(redis_client, "j1")
    async with Channel(redis_client, "jobs:j1:events") as channel:
        for number, entry_id in zip((1, 2, 3, 5, 7, 8), [*ids[:3], "", *ids[3:]], strict=True):
            operation = "start" if number == 1 else "emit"
            answer = await script(redis_client, operation, "r", str(number))
            assert answer[:4] == [entry_id, 1, 0, 1]
        assert await channel.rest() == []
    assert await log_of(redis_client, "j1") == log
    assert await state_of(redis_client, "j1") == state


async def test_an_end_is_repeated_until_the_job_is_retried(
    jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    await jobs.create("report", user_id="u1", job_id="j1")
    await script(redis_client, "start", "r", "1")
    end = await script(redis_client, "fail", "r", "2", '{"error":"x","errorCode":null}')
    assert (await script(redis_client, "fail", "r", "2"))[0] == end[0]
    await retry(redis_client, "j1")
    await script(redis_client, "start", "s", "1")
    assert (await script(redis_client, "emit", "s", "2"))[0] > end[0]


async def test_the_numbers_of_a_run_are_its_own(jobs: jobcast.Jobs, redis_client: Redis) -> None:
    await jobs.create("report", user_id="u1", job_id="j1")
    await script(redis_client, "start", "r", "1")
    for number in range(2, 10):
        await script(redis_client, "emit", "r", str(number))
    for token, first in (("s", "1"), ("t", "")):  # the last one numbers no start
        await script(redis_client, "start", token, first)
        length = len(await log_of(redis_client, "j1"))
        await script(redis_client, "emit", token, "2")
        await script(redis_client, "emit", token, "")
        assert len(await log_of(redis_client, "j1")) == length + 2


async def test_a_start_that_is_repeated_late_takes_nothing_over(
    jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    await jobs.create("report", user_id="u1", job_id="j1")
    for run in ("a", "b"):
        await script(redis_client, "start", run, "1")
    log = await log_of(redis_client, "j1")
    for seq in ("1", "7"):
        with pytest.raises(ResponseError, match=r"^SUPERSEDED "):
            await script(redis_client, "start", "a", seq)
    await script(redis_client, "fail", "b", "2", '{"error":"x","errorCode":null}')
    await retry(redis_client, "j1")
    for run in ("a", "b"):
        with pytest.raises(ResponseError, match=r"^SUPERSEDED "):
            await script(redis_client, "start", run, "1")
    assert len(await log_of(redis_client, "j1")) == len(log) + 2
    for number in range(20):
        await script(redis_client, "start", f"of the next attempt, {number}", "1")
    assert (
        len((await state_of(redis_client, "j1"))["runs"]) == 64
    )  # Redis keeps a hash of longer values otherwise


@pytest.mark.parametrize("seq", ["0", "-1", "1.5", "x", "1e400", "1 2"])
async def test_a_sequence_number_is_a_whole_number(
    jobs: jobcast.Jobs, redis_client: Redis, seq: str
) -> None:
    await jobs.create("report", user_id="u1", job_id="j1")
    with pytest.raises(Exception, match="BADEVENT a sequence number"):
        await script(redis_client, "start", "r", seq)


async def test_a_repeat_of_what_was_trimmed_is_written_no_second_time(
    redis_url: str, redis_client: Redis
) -> None:
    async with jobcast.connect(redis_url, max_entries=10, progress_per_s=None) as jobs:
        await jobs.create("report", user_id="u1", job_id="j1")
    await script(redis_client, "start", "r", "1")
    for number in range(2, 40):
        await script(redis_client, "emit", "r", str(number))
    log = await log_of(redis_client, "j1")
    assert (await script(redis_client, "emit", "r", "3"))[0] == ""
    assert (await script(redis_client, "emit", "r", "38"))[0] == log[-2][0]
    assert await log_of(redis_client, "j1") == log


@pytest.mark.parametrize("step", [1, 2, 3, 16, 17, 1000])
async def test_a_large_log_keeps_its_bound_whatever_the_numbers_are(
    redis_url: str, redis_client: Redis, step: int
) -> None:
    most = 600
    async with jobcast.connect(redis_url, max_entries=most, progress_per_s=None) as jobs:
        await jobs.create("report", user_id="u1", job_id="j1")
    await script(redis_client, "start", "r", "1")
    numbers = list(range(2, 2 + 1500 * step, step))
    for first in range(0, len(numbers), 50):
        async with redis_client.pipeline(transaction=False) as pipeline:
            for number in numbers[first : first + 50]:
                pipeline.evalsha(DIGEST, 2, LOG, STATE, *arguments("emit", "r", str(number)))
                pipeline.xlen(LOG)
            lengths = (await pipeline.execute())[1::2]
        assert max(lengths) <= most
    assert min(lengths) > most // 3
    assert (await log_of(redis_client, "j1"))[0][1]["event"] == "_checkpoint"


async def test_a_refused_number_that_a_later_one_has_passed_is_not_written_out_of_order(
    jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    await jobs.create("report", user_id="u1", job_id="j1")
    await script(redis_client, "start", "r", "1")
    too_large = json.dumps({"text": "x" * 2**20})
    with pytest.raises(ResponseError, match="BADEVENT"):
        await script(redis_client, "emit", "r", "2", too_large)
    later = await script(redis_client, "emit", "r", "3")
    log = await log_of(redis_client, "j1")
    # A caller that lost both answers repeats both, in order: what is empty is not in the log.
    for data in (too_large, "{}"):
        assert (await script(redis_client, "emit", "r", "2", data))[0] in {"", b""}
    assert (await script(redis_client, "emit", "r", "3"))[0] == later[0]
    assert await log_of(redis_client, "j1") == log


async def test_a_number_that_was_refused_is_judged_anew_as_long_as_no_later_one_was_written(
    jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    await jobs.create("report", user_id="u1", job_id="j1")
    await script(redis_client, "start", "r", "1")
    too_large = json.dumps({"text": "x" * 2**20})
    for _ in range(2):
        with pytest.raises(ResponseError, match="BADEVENT"):
            await script(redis_client, "emit", "r", "2", too_large)
    assert (await script(redis_client, "emit", "r", "2"))[0]
