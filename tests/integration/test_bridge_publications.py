"""The bridge as a process, and what publish-only workers publish."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from redis.asyncio import Redis

import jobcast
from tests.support.bridge_process import APPENDS, BridgeProcess, publish
from tests.support.service import SESSION, Service
from tests.support.sse import watch
from tests.support.stored import ending_of, log_of, retry, state_of
from tests.support.valkey import Valkey
from tests.support.waiting import eventually

SETTINGS = {"JOBCAST_BRIDGE_PUBLICATIONS": "1", "JOBCAST_BRIDGE_OWNER": "data.userId"}
STARTED = {"progress": 0, "currentStep": None, "estimatedTimeRemaining": None}

Logged = list[tuple[str, Any]]


async def events_of(redis: Redis, job_id: str) -> Logged:
    """Return name and data of each entry that viewers get."""
    entries = [entry for _, entry in await log_of(redis, job_id)]
    named = [(entry["event"], json.loads(entry["data"])) for entry in entries]
    return [each for each in named if not each[0].startswith("_")]


async def has_ended(redis: Redis, job_id: str) -> bool:
    return (await ending_of(redis, job_id))[0] in {"succeeded", "failed"}


async def ended(redis: Redis, job_id: str) -> Logged:
    await eventually(lambda: has_ended(redis, job_id))
    return await events_of(redis, job_id)


def numbers(events: Logged, name: str = "note") -> list[int]:
    return [data["n"] for each, data in events if each == name]


@pytest.fixture(scope="module")
def valkey() -> Iterator[Valkey]:
    """Return a server that nobody empties, which would depose the bridge."""
    with Valkey() as running:
        yield running


@pytest.fixture
def redis_url(valkey: Valkey) -> str:
    return valkey.url


@pytest.fixture(scope="module")
def bridge(valkey: Valkey) -> Iterator[BridgeProcess]:
    with BridgeProcess(valkey.url, **SETTINGS) as running:
        running.wait_for_log(APPENDS)
        yield running


@pytest.fixture(scope="module")
def service(valkey: Valkey) -> Iterator[Service]:
    with Service(valkey.url) as running:
        yield running


async def test_what_is_only_published_is_appended_in_order_and_once(
    bridge: BridgeProcess, jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    job_id = await jobs.create("report", session_id=SESSION)
    await publish(redis_client, job_id, "step-change", STARTED)
    await publish(redis_client, job_id, "progress-update", {"progress": 40, "phase": "x"})
    await publish(redis_client, job_id, "progress-update", {"progress": 30})
    await publish(redis_client, job_id, "step-change", {"progress": 10, "currentStep": "Ü"})
    for number in range(50):
        await publish(redis_client, job_id, "note", {"n": number % 2})
    await publish(redis_client, job_id, "complete", {"result": {"words": 3}})
    await publish(redis_client, job_id, "complete", {"result": 2})
    events = await ended(redis_client, job_id)
    nothing = {"currentStep": None, "estimatedTimeRemaining": None}
    assert events[:4] == [
        ("step-change", STARTED),
        ("progress-update", {"progress": 40, **nothing, "phase": "x"}),
        ("progress-update", {"progress": 40, **nothing}),
        ("step-change", {**nothing, "progress": 10, "currentStep": "Ü"}),
    ]
    assert numbers(events) == [0, 1] * 25
    assert events[-1] == ("complete", {"result": {"words": 3}})
    assert (await state_of(redis_client, job_id))["status"] == "succeeded"


async def test_a_job_is_started_by_its_first_event_and_ends_without_any(
    bridge: BridgeProcess, jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    one = await jobs.create("report", session_id=SESSION)
    other = await jobs.create("report", session_id=SESSION)
    await publish(redis_client, one, "note", {"n": 1})
    await publish(redis_client, one, "failed", {"error": "No disk", "errorCode": "disk-full"})
    await publish(redis_client, other, "failed", {"error": "No disk"})
    assert await ended(redis_client, one) == [
        ("step-change", STARTED),
        ("note", {"n": 1}),
        ("failed", {"error": "No disk", "errorCode": "disk-full"}),
    ]
    assert await ended(redis_client, other) == [("failed", {"error": "No disk", "errorCode": None})]


async def test_a_retried_job_goes_on_in_its_next_attempt(
    bridge: BridgeProcess, jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    job_id = await jobs.create("report", session_id=SESSION)
    await publish(redis_client, job_id, "note", {"n": 1})
    await publish(redis_client, job_id, "failed", {"error": "No disk"})
    await ended(redis_client, job_id)
    await retry(redis_client, job_id)
    await publish(redis_client, job_id, "note", {"n": 2})
    await publish(redis_client, job_id, "complete", {"result": None})
    events = await ended(redis_client, job_id)
    assert numbers(events) == [1, 2]
    assert [name for name, _ in events].count("step-change") == 2
    assert (await ending_of(redis_client, job_id))[0] == "succeeded"


async def test_an_unknown_job_is_created_for_the_owner_that_its_first_event_names(
    bridge: BridgeProcess, redis_client: Redis
) -> None:
    await publish(redis_client, "named", "note", {"n": 1, "userId": 7})
    await publish(redis_client, "named", "note", {"n": 2})
    await publish(redis_client, "unnamed", "note", {"n": 1})
    await publish(redis_client, "named", "complete", {"result": 1})
    assert numbers(await ended(redis_client, "named")) == [1, 2]
    state = await state_of(redis_client, "named")
    assert (state["userId"], state["type"]) == ("7", "job")
    listed: list[Any] = await redis_client.zrange("jobs:by-user:7", 0, -1)
    assert [member.partition(":")[2] for member in listed] == ["named"]
    assert await state_of(redis_client, "unnamed") == {}
    bridge.wait_for_log("job unnamed: without owner")


MALFORMED = [
    b"no JSON",
    b"\xff\xfe",
    b"[]",
    b"1",
    b'"' + b"x" * 100,
    b'{"event": "note"}',
    b'{"data": {}}',
    b'{"event": 1, "data": {}}',
    b'{"event": "note", "data": []}',
    b'{"event": "note", "data": null}',
    b'{"event": "Note", "data": {}}',
    b'{"event": "connected", "data": {}}',
    b'{"event": "child-x", "data": {}}',
    b'{"event": "_created", "data": {}}',
    b'{"event": "progress-update", "data": {}}',
    b'{"event": "progress-update", "data": {"progress": "40"}}',
    b'{"event": "progress-update", "data": {"progress": 101}}',
    b'{"event": "progress-update", "data": {"progress": 4, "currentStep": 4}}',
    b'{"event": "progress-update", "data": {"progress": 4, "estimatedTimeRemaining": -1}}',
    b'{"event": "failed", "data": {}}',
    b'{"event": "failed", "data": {"error": 4}}',
    b'{"event": "failed", "data": {"error": "x", "errorCode": 4}}',
    b'{"event": "note", "data": {"a": ' + b"[" * 100_000 + b"}}",
    b'{"event": "note", "data": {"a": "' + b"x" * (1024 * 1024) + b'"}}',
    b'{"id": "x", "event": "note", "data": {}}',
    b'{"id": 4, "event": "note", "data": {}}',
]


async def test_what_breaks_the_contract_is_left_out_and_harms_nothing(
    bridge: BridgeProcess, jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    job_id = await jobs.create("report", session_id=SESSION)
    for payload in MALFORMED:
        await redis_client.publish(f"jobs:{job_id}:events", payload)
    await redis_client.publish("jobs:not an id:events", b'{"event": "note", "data": {}}')
    await redis_client.publish("jobs::events", b'{"event": "note", "data": {}}')
    lone = b'{"event": "note", "data": {"n": 1, "text": "\\ud83d"}}'
    await redis_client.publish(f"jobs:{job_id}:events", lone)
    await publish(redis_client, job_id, "complete", {"result": 1})
    assert await ended(redis_client, job_id) == [
        ("step-change", STARTED),
        ("note", {"n": 1, "text": "�"}),
        ("complete", {"result": 1}),
    ]
    assert bridge.log.count(f"job {job_id}: malformed") == 1


async def test_a_job_of_which_something_else_is_stored_harms_no_other(
    bridge: BridgeProcess, jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    other = await jobs.create("report", session_id=SESSION)
    await redis_client.set("jobs:{corrupt}:state", "what no job is")
    for job_id in ("corrupt", other):
        await publish(redis_client, job_id, "note", {"n": 1})
        await publish(redis_client, job_id, "complete", {"result": 1})
    assert numbers(await ended(redis_client, other)) == [1]
    bridge.wait_for_log("job corrupt: malformed: WRONGTYPE")


async def test_what_was_appended_is_not_appended_again(
    bridge: BridgeProcess, jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    job_id = await jobs.create("report", session_id=SESSION)
    async with jobs.run(job_id) as run:
        for number in range(10):
            await run.emit("note", {"n": number})
        await publish(redis_client, job_id, "note", {"n": 10})
        await eventually(lambda: has_note(redis_client, job_id, 10))
        await run.emit("note", {"n": 11})
    assert numbers(await ended(redis_client, job_id)) == list(range(12))
    mark = await jobs.create("report", session_id=SESSION)
    await publish(redis_client, mark, "complete", {"result": 1})
    await ended(redis_client, mark)
    assert len(await events_of(redis_client, job_id)) == 14


async def has_note(redis: Redis, job_id: str, number: int) -> bool:
    return number in numbers(await events_of(redis, job_id))


async def test_a_viewer_gets_each_event_once_with_an_id(
    bridge: BridgeProcess, service: Service, jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    job_id = await jobs.create("report", session_id=SESSION)
    await eventually(lambda: is_left_to_the_bridge(service, jobs, redis_client))
    async with watch(service.url, job_id) as stream:
        await stream.until("progress-update")
        for number in range(20):
            await publish(redis_client, job_id, "note", {"n": number})
        await publish(redis_client, job_id, "complete", {"result": 1})
        events = await stream.rest()
    assert [event.name for event in events] == ["step-change", *["note"] * 20, "complete"]
    assert [event.data["n"] for event in events[1:-1]] == list(range(20))
    logged = [entry_id for entry_id, _ in await log_of(redis_client, job_id)]
    assert [event.id for event in events] == logged[1:]


async def is_left_to_the_bridge(service: Service, jobs: jobcast.Jobs, redis: Redis) -> bool:
    """Say whether what is only published comes by its append: it has an id then."""
    job_id = await jobs.create("report", session_id=SESSION)
    async with watch(service.url, job_id) as stream:
        first = (await stream.until("progress-update"))[-1]
        await publish(redis, job_id, "note", {"n": 0})
        note = (await stream.until("note"))[-1]
    return note.id != first.id
