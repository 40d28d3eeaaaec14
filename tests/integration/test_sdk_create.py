import re
from collections.abc import Callable

import pytest
from redis.asyncio import Redis

import jobcast
import jobcast.sync
from jobcast import InvalidEvent, JobExists, UnknownJob
from tests.support.channel import Channel
from tests.support.stored import log_of, retry, state_of

NINE_DAYS = 9 * 24 * 3600  # the life of an unfinished job and the retention after it, and more
SEVEN_DAYS = 7 * 24 * 3600
TEN_YEARS = 10 * 365 * 24 * 3600
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


async def test_a_job_gets_a_lower_case_uuid(jobs: jobcast.Jobs) -> None:
    assert UUID.fullmatch(await jobs.create("report", user_id="u1"))


@pytest.mark.parametrize("created", ["x", b"\xff", ""])
async def test_a_job_that_is_there_and_damaged_is_not_listed_under_what_it_says(
    jobs: jobcast.Jobs, redis_client: Redis, created: str | bytes
) -> None:
    job_id = await jobs.create("report", user_id="u1")
    await redis_client.hset(f"jobs:{{{job_id}}}:state", "created", created)
    listed = await redis_client.zrange("jobs:by-user:u1", 0, -1)
    with pytest.raises(JobExists):
        await jobs.create("report", user_id="u1", job_id=job_id)
    assert await redis_client.zrange("jobs:by-user:u1", 0, -1) == listed


async def test_the_longest_retention_is_one_that_redis_takes(
    redis_url: str, redis_client: Redis
) -> None:
    async with jobcast.connect(redis_url, retention_s=TEN_YEARS, max_entries=1_000_000) as jobs:
        run = jobs.run(await jobs.create("report", user_id="u1", job_id="j1"))
        await run.start()
        await run.complete()
    assert await redis_client.ttl("jobs:{j1}:state") > TEN_YEARS - SEVEN_DAYS
    assert await redis_client.ttl("jobs:by-user:u1") > TEN_YEARS


@pytest.mark.parametrize("connect", [jobcast.connect, jobcast.sync.connect])
@pytest.mark.parametrize(
    ("setting", "value"),
    [("retention_s", TEN_YEARS + 1), ("retention_s", 10**30), ("max_entries", 1_000_001)],
)
def test_a_bound_that_redis_or_the_log_can_not_keep_is_refused_before_any_job(
    connect: Callable[..., object], setting: str, value: int
) -> None:
    with pytest.raises(InvalidEvent, match=setting):
        connect("redis://127.0.0.1:1", **{setting: value})


async def test_a_job_begins_queued_with_all_that_was_given(
    jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    job_id = await jobs.create(
        "report", user_id="u1", session_id="s1", input={"title": "Grüße 🚀"}, job_id="Job.1"
    )
    assert job_id == "Job.1"
    state = await state_of(redis_client, "Job.1")
    assert state.pop("token")
    assert state.pop("last") == state.pop("created") == state.pop("attemptId")
    assert state == {
        "status": "queued",
        "attempt": "1",
        "progress": "0",
        "seq": "0",
        "type": "report",
        "userId": "u1",
        "sessionId": "s1",
        "input": '{"title":"Grüße 🚀"}',
        "retention": "86400",
        "maxEntries": "10000",
        "maxEventBytes": "1048576",
    }


async def test_an_upper_case_uuid_is_the_same_job(jobs: jobcast.Jobs) -> None:
    given = "3F2504E0-4F89-11D3-9A0C-0305E82C3301"
    assert await jobs.create("report", user_id="u1", job_id=given) == given.lower()
    with pytest.raises(JobExists):
        await jobs.create("report", user_id="u1", job_id=given.lower())
    await jobs.run(given).start()


async def test_an_id_can_be_given_once(jobs: jobcast.Jobs, redis_client: Redis) -> None:
    await jobs.create("report", user_id="u1", job_id="j1")
    before = await state_of(redis_client, "j1")
    with pytest.raises(JobExists, match="exists already"):
        await jobs.create("other", user_id="u2", job_id="j1")
    assert await state_of(redis_client, "j1") == before
    assert not await redis_client.exists("jobs:by-user:u2")


async def test_a_job_is_listed_among_those_of_its_owners_by_time(
    jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    await jobs.create("report", user_id="u1", session_id="s1", job_id="j1")
    created = (await state_of(redis_client, "j1"))["created"]
    member = f"{int(created.split('-')[0]):013}:j1"
    for key in ("jobs:by-user:u1", "jobs:by-session:s1"):
        assert await redis_client.zrange(key, 0, -1, withscores=True) == [(member, 0.0)]
        assert NINE_DAYS - 10 < await redis_client.ttl(key) <= NINE_DAYS


async def test_a_job_with_one_owner_is_listed_once(jobs: jobcast.Jobs, redis_client: Redis) -> None:
    await jobs.create("report", session_id="s1", job_id="j1")
    assert sorted(await redis_client.keys("jobs:by-*")) == ["jobs:by-session:s1"]


async def test_creating_publishes_its_entry_and_nothing_of_the_job(
    jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    async with Channel(redis_client, "jobs:j1:events") as channel:
        await jobs.create("report", user_id="u1", job_id="j1", input={"secret": 1})
        [(created, _)] = await log_of(redis_client, "j1")
        assert await channel.rest() == [{"id": created, "event": "_created", "data": {}}]


async def test_an_unfinished_job_expires_after_a_week_and_a_finished_one_after_its_retention(
    redis_url: str, redis_client: Redis
) -> None:
    async with jobcast.connect(redis_url, retention_s=60) as jobs:
        await jobs.create("report", user_id="u1", job_id="j1")
        for key in ("jobs:{j1}:log", "jobs:{j1}:state"):
            assert SEVEN_DAYS < await redis_client.ttl(key) <= SEVEN_DAYS + 100
        async with jobs.run("j1"):
            pass
        for key in ("jobs:{j1}:log", "jobs:{j1}:state"):
            assert 50 < await redis_client.ttl(key) <= 60


async def test_an_entry_much_later_than_the_one_before_renews_the_expiry(
    jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    await jobs.create("report", user_id="u1", job_id="j1")
    run = jobs.run("j1")
    earlier, _, _ = (await run.start()).partition("-")
    keys = ("jobs:{j1}:log", "jobs:{j1}:state")
    await redis_client.hset("jobs:{j1}:state", "last", f"{int(earlier) - 100_000}-0")
    for key in keys:
        await redis_client.expire(key, 60)
    await run.emit("note", {})
    for key in keys:
        assert SEVEN_DAYS < await redis_client.ttl(key) <= SEVEN_DAYS + 100


async def test_a_retry_lifts_the_expiry(jobs: jobcast.Jobs, redis_client: Redis) -> None:
    await jobs.create("report", user_id="u1", job_id="j1")
    run = jobs.run("j1")
    await run.start()
    await run.fail("Boom")
    await retry(redis_client, "j1")
    for key in ("jobs:{j1}:log", "jobs:{j1}:state"):
        assert SEVEN_DAYS < await redis_client.ttl(key) <= SEVEN_DAYS + 100


async def test_a_job_that_never_was_is_unknown(jobs: jobcast.Jobs) -> None:
    with pytest.raises(UnknownJob, match="no such job"):
        await jobs.run("nobody").start()
