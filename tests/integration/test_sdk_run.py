import json
import logging
from collections.abc import Awaitable, Callable

import pytest
from redis import Redis as BlockingRedis
from redis.asyncio import Redis

import jobcast
import jobcast.sync
from jobcast import (
    InvalidEvent,
    JobCancelled,
    JobFinished,
    JobNotRunning,
    JobSuperseded,
    Run,
    UnknownJob,
)
from tests.support.channel import Channel
from tests.support.stored import cancel, ending_of, log_of, retry, state_of

LOG, STATE, CHANNEL = "jobs:{j1}:log", "jobs:{j1}:state", "jobs:j1:events"


@pytest.fixture
async def run(jobs: jobcast.Jobs) -> Run:
    """Return a run of the job ``j1``, which is queued."""
    await jobs.create("report", user_id="u1", input={"title": "Grüße"}, job_id="j1")
    return jobs.run("j1")


async def test_a_start_tells_what_is_to_be_done(run: Run) -> None:
    assert (run.attempt, run.type, run.input) == (None, "", {})
    await run.start()
    assert (run.attempt, run.type, run.input) == (1, "report", {"title": "Grüße"})


DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    "text", [f'{{"a":{DEEP}}}', "{", "[1]", '"x"', "5"], ids=lambda text: text[:9]
)
async def test_a_job_whose_input_cannot_be_read_fails(
    run: Run, redis_client: Redis, text: str
) -> None:
    await redis_client.hset(STATE, "input", text)
    with pytest.raises(jobcast.InvalidEvent):
        await run.start()
    assert (await state_of(redis_client, "j1"))["errorCode"] == "BAD_INPUT"


async def test_an_input_that_another_language_wrote_is_read_as_far_as_it_can_be(
    run: Run, redis_client: Redis
) -> None:
    await redis_client.hset(STATE, "input", r'{"a":"\ud83d","\udc00":NaN}')
    await run.start()
    assert run.input == {"a": "\ufffd", "\ufffd": None}


DAMAGE: dict[str, tuple[str, str]] = {
    "attempt": ("attempt", "x"),
    "no attempt": ("attempt", ""),
    "progress": ("progress", "NaN"),
    "negative progress": ("progress", "-5"),
    "last": ("last", ""),
    "status": ("status", "sleeping"),
    "bound of the log": ("maxEntries", "nan"),
    "bound of an event": ("maxEventBytes", "1e999"),
    "retention": ("retention", "0.5"),
    "long retention": ("retention", "1e999"),
    "checkpoint": ("checkpoint", "x"),
}


@pytest.mark.parametrize("what", DAMAGE)
async def test_a_run_goes_on_over_a_state_that_is_damaged(
    run: Run, redis_client: Redis, what: str
) -> None:
    await run.start()
    await redis_client.hset(STATE, *DAMAGE[what])
    async with Channel(redis_client, CHANNEL) as channel:
        await run.progress(40)
        await run.step("Sorting")
        await run.emit("note", {"text": "x" * 2000})
        await run.complete()
        published = [(each["event"], each["data"].get("progress")) for each in await channel.rest()]
    assert published == [
        *(("progress-update", 40), ("step-change", 40), ("note", None), ("complete", None)),
    ]
    state = await state_of(redis_client, "j1")
    assert (state["status"], state["progress"]) == ("succeeded", "100")
    assert await redis_client.ttl(STATE) > 0


async def test_a_damaged_attempt_is_followed_by_the_second(run: Run, redis_client: Redis) -> None:
    await run.start()
    await run.fail("x")
    await redis_client.hset(STATE, "attempt", "many")
    await retry(redis_client, "j1")
    assert (await state_of(redis_client, "j1"))["attempt"] == "2"


@pytest.mark.parametrize("key", ["log", "state"])
async def test_keys_that_hold_something_else_are_no_job(
    run: Run, redis_client: Redis, key: str
) -> None:
    await run.start()
    await redis_client.set(f"jobs:{{j1}}:{key}", "x")
    with pytest.raises(UnknownJob, match="no job"):
        await run.progress(5)


async def test_a_job_without_input_has_an_empty_one(jobs: jobcast.Jobs) -> None:
    await jobs.create("report", user_id="u1", job_id="j2")
    run = jobs.run("j2")
    await run.start()
    assert run.input == {}


async def test_every_event_is_published_with_its_log_entry(run: Run, redis_client: Redis) -> None:
    async with Channel(redis_client, CHANNEL) as channel:
        ids = [
            await run.start(),
            await run.progress(40, "Writing...", eta=30, phase="draft"),
            await run.progress(50),
            await run.step("Reading", 10, 2.5),
            await run.step("Sorting"),
            await run.emit("blog-result", {"title": "Grüße 🚀", "lines": "a\nb\r\u2028c"}),
            await run.complete({"pages": 12}),
        ]
        published = await channel.rest()
    created = (await state_of(redis_client, "j1"))["created"]
    assert [message.pop("id") for message in published] == ids
    assert [message.pop("prev") for message in published] == [created, *ids[:-1]]
    nothing = {"currentStep": None, "estimatedTimeRemaining": None}
    writing = {"currentStep": "Writing...", "estimatedTimeRemaining": 30}
    reading = {"currentStep": "Reading", "estimatedTimeRemaining": 2.5}
    sorting = {"currentStep": "Sorting", "estimatedTimeRemaining": None}
    assert published == [
        {"event": "step-change", "data": {"progress": 0, **nothing}},
        {"event": "progress-update", "data": {"progress": 40, **writing, "phase": "draft"}},
        {"event": "progress-update", "data": {"progress": 50, **nothing}},
        {"event": "step-change", "data": {"progress": 10, **reading}},
        {"event": "step-change", "data": {"progress": 10, **sorting}},
        {"event": "blog-result", "data": {"title": "Grüße 🚀", "lines": "a\nb\r\u2028c"}},
        {"event": "complete", "data": {"result": {"pages": 12}}},
    ]


async def test_the_log_holds_what_was_published(run: Run, redis_client: Redis) -> None:
    await run.start()
    entry_id = await run.progress(40, "Writing...")
    last_id, fields = (await log_of(redis_client, "j1"))[-1]
    assert last_id == entry_id
    assert fields["event"] == "progress-update"
    assert json.loads(fields["data"])["currentStep"] == "Writing..."


async def test_the_state_follows_each_event(run: Run, redis_client: Redis) -> None:
    await run.start()
    await run.progress(40, "Grüße", eta=30, phase="draft", detail={"page": 3})
    state = await state_of(redis_client, "j1")
    assert state["status"] == "running"
    assert state["progress"] == "40"
    assert state["currentStep"] == "Grüße"
    assert state["estimatedTimeRemaining"] == "30"
    assert json.loads(state["extra"]) == {"phase": "draft", "detail": {"page": 3}}
    await run.progress(50)
    state = await state_of(redis_client, "j1")
    assert not state.keys() & {"currentStep", "estimatedTimeRemaining", "extra"}
    last = await run.complete(["ü"])
    state = await state_of(redis_client, "j1")
    assert (state["status"], state["progress"], state["result"]) == ("succeeded", "100", '["ü"]')
    assert state["last"] == last


async def test_progress_never_falls_but_in_a_step(run: Run, redis_client: Redis) -> None:
    await run.start()
    await run.progress(60)
    async with Channel(redis_client, CHANNEL) as channel:
        await run.progress(30, "Slower")
        await run.step("Again", 20)
        progresses = [message["data"]["progress"] for message in await channel.rest()]
    assert progresses == [60, 20]
    assert (await state_of(redis_client, "j1"))["progress"] == "20"


async def test_a_failure_has_an_error_and_a_code(run: Run, redis_client: Redis) -> None:
    await run.start()
    async with Channel(redis_client, CHANNEL) as channel:
        await run.fail("No paper", "E_PAPER")
        message = await channel.next()
    assert message["event"] == "failed"
    assert message["data"] == {"error": "No paper", "errorCode": "E_PAPER"}
    state = await state_of(redis_client, "j1")
    assert (state["status"], state["error"], state["errorCode"]) == (
        *("failed", "No paper", "E_PAPER"),
    )


async def test_an_exception_is_a_failure_with_its_message_and_code(
    run: Run, redis_client: Redis
) -> None:
    await run.start()
    error = ValueError("No paper")
    error.code = "E_PAPER"  # type: ignore[attr-defined]
    await run.fail(error)
    assert (await ending_of(redis_client, "j1"))[2:] == ("No paper", "E_PAPER")


async def test_a_given_code_is_stronger_than_that_of_the_exception(
    run: Run, redis_client: Redis
) -> None:
    await run.start()
    error = ValueError("No paper")
    error.code = "E_PAPER"  # type: ignore[attr-defined]
    await run.fail(error, "E_OTHER")
    assert (await ending_of(redis_client, "j1"))[2:] == ("No paper", "E_OTHER")


async def test_a_run_starts_under_the_attempt_that_it_was_queued_for(
    jobs: jobcast.Jobs, run: Run, redis_client: Redis
) -> None:
    await run.start()
    await run.fail("Boom")
    await retry(redis_client, "j1")
    with pytest.raises(JobSuperseded, match="Attempt 1 was followed by attempt 2"):
        await jobs.run("j1", attempt=1).start()
    second = jobs.run("j1", attempt=2)
    await second.start()
    assert second.attempt == 2


Call = Callable[[Run], Awaitable[str]]
CALLS: dict[str, Call] = {
    "progress": lambda run: run.progress(50),
    "step": lambda run: run.step("Reading"),
    "emit": lambda run: run.emit("note", {}),
    "complete": lambda run: run.complete(),
    "fail": lambda run: run.fail("Boom"),
}


async def refused(redis: Redis, run: Run, call: Call, error: type[Exception]) -> None:
    """Check that the call raises the error, and changes and publishes nothing."""
    log, state = await log_of(redis, "j1"), await state_of(redis, "j1")
    async with Channel(redis, CHANNEL) as channel:
        with pytest.raises(error):
            await call(run)
        assert await channel.rest() == []
    assert await log_of(redis, "j1") == log
    assert await state_of(redis, "j1") == state
    assert not run.finished


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
async def test_a_run_that_was_taken_over_is_refused(
    jobs: jobcast.Jobs, run: Run, redis_client: Redis, call: Call
) -> None:
    await run.start()
    await run.progress(70, "Writing...")
    second = jobs.run("j1", attempt=1)
    await second.start()
    assert (await state_of(redis_client, "j1"))["progress"] == "0"
    assert "currentStep" not in await state_of(redis_client, "j1")
    await refused(redis_client, run, call, JobSuperseded)
    await second.complete()


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
async def test_a_run_of_an_older_attempt_is_refused(
    jobs: jobcast.Jobs, run: Run, redis_client: Redis, call: Call
) -> None:
    await run.start()
    await jobs.run("j1").start()
    first_again = jobs.run("j1")
    await first_again.start()
    await first_again.fail("Boom")
    await retry(redis_client, "j1")
    await refused(redis_client, run, call, JobSuperseded)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
async def test_a_finished_job_is_left_as_it_is(
    jobs: jobcast.Jobs, run: Run, redis_client: Redis, call: Call
) -> None:
    await run.start()
    second = jobs.run("j1")
    second._sender = run._sender
    await run.complete({"pages": 12})
    await refused(redis_client, second, call, JobFinished)


async def test_a_finished_job_does_not_start_again(
    jobs: jobcast.Jobs, run: Run, redis_client: Redis
) -> None:
    await run.start()
    await run.complete()
    await refused(redis_client, jobs.run("j1"), lambda again: again.start(), JobFinished)


async def test_a_start_that_was_refused_started_nothing(jobs: jobcast.Jobs, run: Run) -> None:
    await run.start()
    await run.complete()
    late = jobs.run("j1")
    with pytest.raises(JobFinished):
        await late.start()
    with pytest.raises(JobNotRunning):
        await late.progress(10)


@pytest.mark.parametrize("name", ["progress", "step", "emit"])
async def test_the_call_after_a_cancel_request_raises_and_is_written(
    run: Run, redis_client: Redis, name: str
) -> None:
    await run.start()
    await cancel(redis_client, "j1")
    length = await redis_client.xlen(LOG)
    async with Channel(redis_client, CHANNEL) as channel:
        with pytest.raises(JobCancelled):
            await CALLS[name](run)
        assert len(await channel.rest()) == 1
    assert await redis_client.xlen(LOG) == length + 1


async def test_a_start_after_a_cancel_request_raises(
    jobs: jobcast.Jobs, run: Run, redis_client: Redis
) -> None:
    await run.start()
    await cancel(redis_client, "j1")
    second = jobs.run("j1")
    with pytest.raises(JobCancelled):
        await second.start()
    assert second.type == "report"
    await second.fail("Cancelled")


@pytest.mark.parametrize("name", ["complete", "fail"])
async def test_an_end_is_not_disturbed_by_a_cancel_request(
    run: Run, redis_client: Redis, name: str
) -> None:
    await run.start()
    await cancel(redis_client, "j1")
    await CALLS[name](run)
    assert run.finished


async def test_a_retry_forgets_the_cancel_request(
    jobs: jobcast.Jobs, run: Run, redis_client: Redis
) -> None:
    await run.start()
    await cancel(redis_client, "j1")
    await run.fail("Cancelled")
    await retry(redis_client, "j1")
    second = jobs.run("j1", attempt=2)
    await second.start()
    await second.progress(10)


async def test_a_log_stays_within_its_bound_and_keeps_a_checkpoint(
    redis_url: str, redis_client: Redis
) -> None:
    async with jobcast.connect(redis_url, max_entries=10, progress_per_s=None) as jobs:
        await jobs.create("report", user_id="u1", input={"title": "Grüße"}, job_id="j1")
        run = jobs.run("j1")
        await run.start()
        for number in range(95):
            await run.progress(number, f"Page {number}")
            assert await redis_client.xlen(LOG) <= 12
    entries = await log_of(redis_client, "j1")
    assert entries[0][1]["event"] == "_checkpoint"
    assert entries[0][1]["input"] == '{"title":"Grüße"}'
    assert entries[-1][1]["event"] == "progress-update"
    assert (await state_of(redis_client, "j1"))["currentStep"] == "Page 94"


async def test_an_event_larger_than_its_job_allows_is_refused_and_leaves_no_trace(
    redis_url: str, redis_client: Redis
) -> None:
    async with jobcast.connect(redis_url, max_event_bytes=1024, progress_per_s=None) as jobs:
        await jobs.create("report", user_id="u1", job_id="j1")
    async with jobcast.connect(redis_url, progress_per_s=None) as others, others.run("j1") as run:
        before = await log_of(redis_client, "j1")
        for call in (
            run.complete("x" * 1024),
            run.emit("note", {"text": "x" * 1024}),
            run.progress(1, "x" * 1024),
        ):
            with pytest.raises(InvalidEvent, match="bytes, more than 1024"):
                await call
        assert await log_of(redis_client, "j1") == before
        await run.emit("note", {"text": "x" * 1000})
        await run.complete("x" * 1000)


@pytest.mark.parametrize("max_event_bytes", [1023, 1024 * 1024 + 1, 0, -1])
def test_a_bound_that_no_event_can_have_is_refused(max_event_bytes: int) -> None:
    with pytest.raises(InvalidEvent, match="max_event_bytes"):
        jobcast.connect("redis://127.0.0.1:1", max_event_bytes=max_event_bytes, progress_per_s=None)


async def test_a_flushed_script_cache_goes_unnoticed(run: Run, redis_client: Redis) -> None:
    await run.start()
    await redis_client.script_flush()
    await run.progress(10)


async def test_a_key_of_another_kind_is_an_error_of_redis_and_harms_nothing(
    run: Run, redis_client: Redis
) -> None:
    await run.start()
    state = await state_of(redis_client, "j1")
    await redis_client.set(LOG, "not a stream")
    with pytest.raises(Exception, match="WRONGTYPE"):
        await run.progress(10)
    assert await state_of(redis_client, "j1") == state


async def calls_of_the_script(redis: Redis) -> int:
    stats = await redis.info("commandstats")
    return int(stats["cmdstat_evalsha"]["calls"])


async def test_after_a_refusal_that_is_final_nothing_more_is_sent(
    jobs: jobcast.Jobs, run: Run, redis_client: Redis
) -> None:
    await run.start()
    handler = run.log_handler()
    second = jobs.run("j1")
    await second.start()
    with pytest.raises(JobSuperseded):
        await run.emit("note", {})
    before = await calls_of_the_script(redis_client)
    for call in CALLS.values():
        handler.emit(logging.makeLogRecord({"name": "of.a.test", "msg": "late"}))
        with pytest.raises(JobSuperseded, match="took over"):
            await call(run)
    with pytest.raises(JobSuperseded):
        await run._renew(1000)
    assert await calls_of_the_script(redis_client) == before
    await run.start()  # a start is judged anew
    await run.progress(10)
    with pytest.raises(JobSuperseded):
        await second.progress(10)


def test_after_a_refusal_that_is_final_nothing_more_is_sent_without_asyncio(redis_url: str) -> None:
    with (
        jobcast.sync.connect(redis_url) as jobs,
        BlockingRedis.from_url(redis_url, decode_responses=True) as redis,
    ):
        run = jobs.run(jobs.create("report", user_id="u1", job_id="j1"))
        run.start()
        handler = run.log_handler()
        jobs.run("j1").start()
        with pytest.raises(JobSuperseded):
            run.emit("note", {})
        before = redis.info("commandstats")["cmdstat_evalsha"]["calls"]
        for n in range(20):
            handler.emit(logging.makeLogRecord({"name": "of.a.test", "msg": "late"}))
            with pytest.raises(JobSuperseded, match="took over"):
                run.progress(n)
        with pytest.raises(JobSuperseded):
            run.complete()
        assert redis.info("commandstats")["cmdstat_evalsha"]["calls"] == before


async def test_a_refusal_of_one_event_is_not_final(run: Run) -> None:
    await run.start()
    with pytest.raises(InvalidEvent):
        await run.emit("note", {"text": "x" * 2**20})
    await run.emit("note", {})
