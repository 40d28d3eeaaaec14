"""Workers of BullMQ in Node whose jobs are followed."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from redis.asyncio import Redis

import jobcast
from tests.support.node_worker import BullProject, Threw
from tests.support.stored import cancel, ending_of, log_of, retry, state_of
from tests.support.valkey import Valkey
from tests.support.waiting import after, eventually

OWNER = {"userId": "u1"}
QUEUE = "reports"
OUTAGE_S = 3


@pytest.fixture
async def project(redis_url: str) -> AsyncIterator[BullProject]:
    async with BullProject(redis_url, QUEUE) as running:
        yield running


@pytest.fixture
def own_valkey() -> Iterator[Valkey]:
    with Valkey("--appendfsync", "always") as server:
        yield server


async def events_of(redis: Redis, job_id: str) -> list[list[Any]]:
    log = await log_of(redis, job_id)
    return [[fields["event"], json.loads(fields["data"])] for _, fields in log]


async def names_of(redis: Redis, job_id: str) -> list[str]:
    return [name for name, _ in await events_of(redis, job_id)]


async def entry(project: BullProject, entry_id: str, state: str) -> list[Any]:
    """Wait until an entry is in a state; return what it returned, and why it failed."""

    async def is_there() -> bool:
        found = await project.call("entry", entry_id)
        return found is not None and found[0] == state

    await eventually(is_there, what=f"{entry_id} is {state}")
    found: list[Any] = await project.call("entry", entry_id)
    return found[1:]


def nothing(percent: int, **further: object) -> dict[str, object]:
    return {"progress": percent, "currentStep": None, "estimatedTimeRemaining": None, **further}


async def test_its_own_progress_calls_and_its_result_are_forwarded(
    project: BullProject, redis_client: Redis
) -> None:
    job_id = await project.call("add", "report", {"pages": 3}, OWNER)
    assert await entry(project, job_id, "completed") == [{"got": {"pages": 3}}, None]
    events = await events_of(redis_client, job_id)
    reading = {"currentStep": "Reading", "estimatedTimeRemaining": 2, "files": 7}
    assert events[:2] == [["_created", {}], ["step-change", nothing(0)]]
    assert events[2] == ["progress-update", nothing(33)]
    # These may be conflated, as 50 ms pass between two; what comes before another event is sent.
    assert events[3:5] == [["progress-update", {"progress": 60, **reading}], ["note", {"a": 1}]]
    assert events[-2:] == [
        ["progress-update", nothing(100)],
        ["complete", {"result": {"got": {"pages": 3}}}],
    ]
    state = await state_of(redis_client, job_id)
    assert (state["type"], state["input"]) == ("report", '{"pages":3}')
    assert (state["status"], state["userId"]) == ("succeeded", "u1")


async def test_its_retries_are_attempts(project: BullProject, redis_client: Redis) -> None:
    options = {"attempts": 3}
    job_id = await project.call("add", "flaky", {"failures": 2}, OWNER, options)
    assert (await entry(project, job_id, "completed"))[0] == 2
    data = {"error": "No paper", "errorCode": "PAPER", "willRetry": True}
    failure = [["failed", data], ["_retried", {}]]
    started = ["step-change", nothing(0)]
    expected = [["_created", {}], *([started, *failure] * 2), started, ["complete", {"result": 2}]]
    assert await events_of(redis_client, job_id) == expected
    assert (await state_of(redis_client, job_id))["attempt"] == "3"


async def test_between_two_tries_the_job_is_queued_and_may_be_cancelled(
    project: BullProject, redis_client: Redis
) -> None:
    options = {"attempts": 2, "backoff": {"type": "fixed", "delay": 1500}}
    job_id = await project.call("add", "flaky", {"failures": 1}, OWNER, options)

    async def is_queued_again() -> bool:
        state = await state_of(redis_client, job_id)
        return (state["status"], state["attempt"]) == ("queued", "2")

    await eventually(is_queued_again)
    await cancel(redis_client, job_id)
    assert (await entry(project, job_id, "failed"))[1] == "Cancelled"
    assert await project.call("processed") == [["flaky", {"failures": 1}]]


async def test_its_last_failure_is_the_jobs_and_may_be_retried_from_a_dashboard(
    project: BullProject, redis_client: Redis
) -> None:
    job_id = await project.call("add", "flaky", {"failures": 1}, OWNER)
    assert (await entry(project, job_id, "failed"))[1] == "No paper"
    assert await ending_of(redis_client, job_id) == ("failed", None, "No paper", "PAPER")
    await project.call("retry", job_id)
    await entry(project, job_id, "completed")
    state = await state_of(redis_client, job_id)
    assert (state["status"], state["attempt"]) == ("succeeded", "2")


@pytest.mark.parametrize("kind", ["watchful", "signalled"])
async def test_a_cancel_stops_a_processor_for_good(
    redis_url: str, redis_client: Redis, kind: str
) -> None:
    async with BullProject(redis_url, QUEUE, leaseS=0.3) as project:
        job_id = await project.call("add", kind, {}, OWNER, {"attempts": 3})

        async def is_reported() -> bool:
            return "progress-update" in await names_of(redis_client, job_id)

        await eventually(is_reported)
        await cancel(redis_client, job_id)
        assert (await entry(project, job_id, "failed"))[1] == "Cancelled"
    assert await ending_of(redis_client, job_id) == ("failed", None, "Cancelled", None)
    assert (await state_of(redis_client, job_id))["attempt"] == "1"


async def test_a_job_that_was_cancelled_in_the_queue_is_not_processed(
    project: BullProject, redis_client: Redis
) -> None:
    job_id = await project.call("add", "report", {}, OWNER, {"delay": 300})
    await cancel(redis_client, job_id)
    assert (await entry(project, job_id, "failed"))[1] == "Cancelled"
    assert await project.call("processed") == []


async def test_a_result_that_is_no_json_completes_the_job_with_a_note(
    project: BullProject, redis_client: Redis
) -> None:
    job_id = await project.call("add", "odd", {}, OWNER)
    await entry(project, job_id, "completed")
    (name, data), complete = (await events_of(redis_client, job_id))[-2:]
    assert (name, data["level"]) == ("log", "warning")
    assert "Map" in data["text"]
    assert complete == ["complete", {"result": None}]


async def test_an_entry_that_is_put_off_is_not_over(
    project: BullProject, redis_client: Redis
) -> None:
    job_id = await project.call("add", "delayed", {}, OWNER)
    assert await entry(project, job_id, "completed") == ["late", None]
    names = ["_created", "step-change", "step-change", "complete"]
    assert await names_of(redis_client, job_id) == names


async def test_the_services_entries_are_served_and_a_refused_start_is_acknowledged(
    project: BullProject, redis_client: Redis, jobs: jobcast.Jobs
) -> None:
    job_id = await jobs.create("report", user_id="u1", input={"folder": "."})
    for each in (job_id, job_id, "gone"):
        entry_id = await project.call("addPlain", "report", {"jobId": each, "attempt": 1})
        await entry(project, entry_id, "completed")
    assert await project.call("processed") == [["report", {"folder": "."}]]
    assert (await state_of(redis_client, job_id))["result"] == '{"got":{"folder":"."}}'
    failing = await jobs.create("flaky", user_id="u1", input={"failures": 9})
    late = await project.call("addPlain", "flaky", {"jobId": failing, "attempt": 1})
    assert (await entry(project, late, "failed"))[1] == "No paper"
    await retry(redis_client, failing)
    again = await project.call("addPlain", "flaky", {"jobId": failing, "attempt": 1})
    await entry(project, again, "completed")
    assert (await state_of(redis_client, failing))["status"] == "queued"


async def test_what_has_no_owner_is_processed_as_before(
    project: BullProject, redis_client: Redis
) -> None:
    entry_id = await project.call("addPlain", "report", {"pages": 3})
    assert await entry(project, entry_id, "completed") == [{"got": {"pages": 3}}, None]
    assert await redis_client.keys("jobs:*") == []


async def test_an_addition_may_be_repeated_and_leaves_no_job_that_waits_for_nobody(
    project: BullProject, redis_client: Redis
) -> None:
    for _ in range(2):
        assert await project.call("add", "odd", {}, OWNER, {"jobId": "mine"}) == "mine"
    await entry(project, "mine", "completed")
    assert (await names_of(redis_client, "mine")).count("complete") == 1
    with pytest.raises(Threw, match="no queue"):
        await project.call("addNowhere", "odd", {}, OWNER, "other")
    assert await ending_of(redis_client, "other") == (
        *("failed", None, "The job could not be queued", "NOT_QUEUED"),
    )
    with pytest.raises(Threw, match="owner"):
        await project.call("add", "odd", {}, {})


async def test_another_worker_takes_over_what_a_killed_one_has_left(
    redis_url: str, redis_client: Redis
) -> None:
    async with BullProject(redis_url, QUEUE, lockDuration=500) as doomed:
        job_id = await doomed.call("add", "steps", {"steps": 3, "ms": 300}, OWNER)

        async def has_begun() -> bool:
            return "note" in await names_of(redis_client, job_id)

        await eventually(has_begun)
        doomed.kill()
    async with BullProject(redis_url, QUEUE, lockDuration=500) as project:
        await entry(project, job_id, "completed")
        assert await project.left() == 0
    events = await events_of(redis_client, job_id)
    run = [name for name, _ in events[2:]]
    second = run.index("step-change")
    assert run[second + 1 :] == ["note", "note", "note", "complete"]
    assert (await state_of(redis_client, job_id))["attempt"] == "1"


async def test_an_outage_of_redis_costs_nothing_but_time(own_valkey: Valkey) -> None:
    async with BullProject(own_valkey.url, QUEUE) as project:
        job_id = await project.call("add", "steps", {"steps": 20, "ms": 50}, OWNER)
        async with Redis.from_url(own_valkey.url, decode_responses=True) as redis:

            async def has_begun() -> bool:
                return "note" in await names_of(redis, job_id)

            await eventually(has_begun)
        own_valkey.kill()
        await after(OUTAGE_S)
        await asyncio.to_thread(own_valkey.start)
        async with Redis.from_url(own_valkey.url, decode_responses=True) as redis:

            async def has_ended() -> bool:
                return (await state_of(redis, job_id))["status"] == "succeeded"

            await eventually(has_ended)
            events = await events_of(redis, job_id)
    assert [data["n"] for name, data in events if name == "note"] == list(range(1, 21))
    assert [name for name, _ in events].count("complete") == 1
