import logging

import pytest
from redis import Redis as BlockingRedis
from redis.asyncio import Redis

import jobcast
import jobcast.sync
from jobcast import (
    JobSuperseded,
    Run,
    UnknownJob,
)
from tests.support.channel import Channel
from tests.support.run_calls import CALLS
from tests.support.stored import log_of, retry, state_of

LOG, STATE, CHANNEL = "jobs:{j1}:log", "jobs:{j1}:state", "jobs:j1:events"


@pytest.fixture
async def run(jobs: jobcast.Jobs) -> Run:
    """Return a run of the job ``j1``, which is queued."""
    await jobs.create("report", user_id="u1", input={"title": "Grüße"}, job_id="j1")
    return jobs.run("j1")


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
