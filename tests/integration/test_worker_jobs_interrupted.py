"""Whichever command to Redis fails: a worker by HTTP repeats, and nothing is doubled."""

from contextlib import suppress
from itertools import count

import pytest
from redis.asyncio import Redis

from app.auth import Grant
from eventlog.errors import LogUnavailable
from schema.http import AppendEvents, CreateJobAsWorker, EntryIds, RunEvent
from tests.support.interruption import Interruption, Moment
from tests.support.parts import parts
from tests.support.queued import left_over, waiting
from tests.support.stored import log_of, state_of
from tests.support.valkey import Valkey

MOMENTS: list[Moment] = ["before", "after"]
BATCH = AppendEvents(
    run="run-of-the-test",
    events=[
        RunEvent(1, "step-change"),
        RunEvent(2, "note", {"n": 2}),
        RunEvent(5, "progress-update", {"progress": 40}),
    ],
)
END = AppendEvents(run=BATCH.run, events=[*BATCH.events, RunEvent(6, "complete")])
NAMES = ["_created", "step-change", "note", "progress-update", "complete"]
JOB = CreateJobAsWorker(type="report", user_id="u", job_id="j")


async def append(url: str, batch: AppendEvents, ids: EntryIds) -> None:
    async with parts(url) as built:
        answer = await built.worker_jobs.append(Grant(), "j", batch, "events[{}].", ids)
        assert answer.job is not None


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("batch", [BATCH, END], ids=["goes on", "ends"])
async def test_a_batch_that_was_interrupted_is_finished_by_its_repeat(
    valkey: Valkey, redis_client: Redis, moment: Moment, batch: AppendEvents
) -> None:
    for at in count(1):
        await redis_client.flushall()
        async with parts(valkey.url) as built:
            await built.worker_jobs.create(Grant(), JOB, None)
        first: EntryIds = []
        async with Interruption(valkey.port, 0, at=at, moment=moment) as way:
            with suppress(LogUnavailable):
                await append(way.url, batch, first)
            if way.count < at:  # every command has failed once
                assert at > len(batch.events)
                break
        log = await log_of(redis_client, "j")
        assert [entry for entry, _ in log[1:]][: len(first)] == first
        if "lease" in await state_of(redis_client, "j"):  # it is missed, should nobody repeat
            assert await redis_client.zcard("jobs:leases") == 1
        again: EntryIds = []
        await append(valkey.url, batch, again)
        log = await log_of(redis_client, "j")
        assert [fields["event"] for _, fields in log] == NAMES[: len(batch.events) + 1]
        assert again == [entry for entry, _ in log[1:]]
        has_lease = "lease" in await state_of(redis_client, "j")
        assert has_lease is (batch is BATCH)
        assert bool(await redis_client.zcard("jobs:leases")) is has_lease


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("queued", [True, False])
async def test_a_creation_that_was_interrupted_is_finished_by_its_repeat(
    valkey: Valkey, redis_client: Redis, moment: Moment, *, queued: bool
) -> None:
    job = CreateJobAsWorker(type="report", user_id="u", job_id="j", queued=queued)
    for at in count(1):
        await redis_client.flushall()
        async with Interruption(valkey.port, 0, at=at, moment=moment) as way:
            async with parts(way.url) as built:
                with suppress(LogUnavailable):
                    await built.worker_jobs.create(Grant(), job, "key")
            if way.count < at:
                assert at > 4
                break
        async with parts(valkey.url) as built:
            for _ in range(2):
                assert await built.worker_jobs.create(Grant(), job, "key") == "j"
        assert [fields["event"] for _, fields in await log_of(redis_client, "j")] == ["_created"]
        assert await redis_client.exists("jobs:by-user:u")
        assert await waiting(redis_client) == (["j-1"] if queued else [])
        assert not await redis_client.exists("jobs:unconfirmed")
        assert await left_over(redis_client) == ([] if queued else ["j-1"])


async def test_of_two_creations_with_one_id_the_later_one_changes_nothing(
    valkey: Valkey, redis_client: Redis
) -> None:
    async with parts(valkey.url) as built:
        await built.worker_jobs.create(Grant(), JOB, "one")
        with pytest.raises(Exception, match="exists already"):
            await built.worker_jobs.create(Grant(), JOB, "other")
    assert await waiting(redis_client) == ["j-1"]
    assert await left_over(redis_client) == []
