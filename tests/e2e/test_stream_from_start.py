"""``?from=start``: the whole attempt, from its first entry."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from redis.asyncio import Redis

import jobcast
from tests.support.service import SESSION, Service
from tests.support.sse import Stream, request, watch
from tests.support.stored import log_of, retry


def whole(
    service: Service, job_id: str, cursor: str | None = None, query: str = "from=start"
) -> AbstractAsyncContextManager[Stream]:
    """Ask for the whole attempt, as a viewer that has seen nothing, or has."""
    return watch(service.url, job_id, last_event_id=cursor, query=query)


async def sent_of(redis: Redis, job_id: str, attempt: int = 1) -> list[tuple[str, str]]:
    """Return id and name of what is sent of an attempt."""
    sent, number = [], 1
    for entry_id, entry in await log_of(redis, job_id):
        number += entry["event"] == "_retried"
        if number == attempt and not entry["event"].startswith("_"):
            sent.append((entry_id, entry["event"]))
    return sent


def seen(events: list[Any]) -> list[tuple[str, str]]:
    return [(event.id, event.name) for event in events]


async def test_a_viewer_gets_every_entry_and_then_what_happens(
    writer: Service, jobs: jobcast.Jobs, job_id: str, redis_client: Redis
) -> None:
    run = jobs.run(job_id)
    async with whole(writer, job_id) as queued:
        assert (await queued.next()).name == "connected"
        await run.start()
        for number in range(150):
            await (run.progress(number // 2) if number % 2 else run.emit("log", {"text": "…"}))
        async with whole(writer, job_id) as running:
            assert (await running.next()).name == "connected"
            for number in range(20):
                await run.emit("note", {"n": number})
            await run.complete({"n": 1})
            sent = await sent_of(redis_client, job_id)
            assert seen(await running.rest()) == sent
        assert seen(await queued.rest()) == sent
    async with whole(writer, job_id) as finished:
        assert (await finished.next()).name == "connected"
        assert seen(await finished.rest()) == sent
        assert not finished.cut
    assert len(sent) == 172


async def test_of_a_retried_job_the_current_attempt_comes(
    service: Service, jobs: jobcast.Jobs, job_id: str, redis_client: Redis
) -> None:
    first = jobs.run(job_id)
    await first.start()
    await first.emit("note", {"n": 1})
    await first.fail("No disk")
    async with whole(service, job_id) as stream:
        assert seen(await stream.rest())[1:] == await sent_of(redis_client, job_id)
    await retry(redis_client, job_id)
    async with whole(service, job_id) as waiting:
        second = jobs.run(job_id)
        await second.start()
        await second.complete()
        sent = await sent_of(redis_client, job_id, 2)
        assert seen(await waiting.rest())[1:] == sent
    async with whole(service, job_id) as stream:
        assert seen(await stream.rest())[1:] == sent
    assert [name for _, name in sent] == ["step-change", "complete"]


@pytest.mark.parametrize("ends", [False, True], ids=["running", "finished"])
async def test_what_a_viewer_has_seen_counts_before_what_it_wants(
    service: Service, jobs: jobcast.Jobs, job_id: str, redis_client: Redis, *, ends: bool
) -> None:
    run = jobs.run(job_id)
    await run.start()
    cursor = await run.progress(10)
    ids = [await run.progress(20)]
    if ends:
        ids.append(await run.complete())
    async with whole(service, job_id, cursor) as stream:
        await stream.next()
        assert [(await stream.next()).id for _ in ids] == ids
    async with whole(service, job_id, "rubbish") as stream:
        told = [await stream.next() for _ in range(3)]
    assert [event.name for event in told][:2] == ["connected", "reset"]
    assert (told[1].data, told[2].id) == ({"attempt": 1, "reason": "unknown"}, ids[-1])
    async with whole(service, job_id, "") as stream:
        assert [(await stream.next()).name for _ in range(2)] == ["connected", "step-change"]
    if ends:
        async with whole(service, job_id, ids[-1]) as stream:
            assert stream.status == 204


@pytest.mark.parametrize("query", ["from=", "from=end", "from=START", "from=0-0", "From=start"])
async def test_any_other_value_is_as_none(
    service: Service, jobs: jobcast.Jobs, job_id: str, query: str
) -> None:
    run = jobs.run(job_id)
    await run.start()
    last = await run.progress(50)
    async with whole(service, job_id, query=query) as stream:
        await stream.next()
        shown = await stream.next()
    assert (shown.name, shown.id) == ("progress-update", last)


@pytest.fixture
async def few(redis_url: str) -> AsyncIterator[jobcast.Jobs]:
    """Return the worker library, set to keep short logs."""
    async with jobcast.connect(redis_url, max_entries=10, progress_per_s=None) as connected:
        yield connected


@pytest.mark.parametrize("ends", [False, True], ids=["running", "finished"])
async def test_where_the_beginning_was_trimmed_the_state_at_the_oldest_entry_comes_first(
    writer: Service, few: jobcast.Jobs, redis_client: Redis, *, ends: bool
) -> None:
    job_id = await few.create("anything", session_id=SESSION)
    run = few.run(job_id)
    await run.start()
    for number in range(1, 50):
        await run.progress(number, f"Step {number}", part=number)
    if ends:
        await run.complete({"n": 1})
    (oldest, fields), *rest = await log_of(redis_client, job_id)
    assert fields["event"] == "_checkpoint"
    async with whole(writer, job_id) as stream:
        connected, reset, snapshot = [await stream.next() for _ in range(3)]
        followed = [entry_id for entry_id, entry in rest if not entry["event"].startswith("_")]
        assert [(await stream.next()).id for _ in followed] == followed
    assert (connected.name, reset.name, reset.id) == ("connected", "reset", "")
    assert reset.data == {"attempt": 1, "reason": "trimmed"}
    assert (snapshot.name, snapshot.id) == ("progress-update", oldest)
    percent = int(fields["progress"])
    assert snapshot.data == {
        "progress": percent,
        "currentStep": f"Step {percent}",
        "estimatedTimeRemaining": None,
        "part": percent,
    }


async def test_the_id_of_the_oldest_state_is_a_cursor(
    service: Service, few: jobcast.Jobs, redis_client: Redis
) -> None:
    job_id = await few.create("anything", session_id=SESSION)
    run = few.run(job_id)
    await run.start()
    for number in range(1, 30):
        await run.progress(number)
    (oldest, _), *rest = await log_of(redis_client, job_id)
    followed = [entry_id for entry_id, entry in rest if not entry["event"].startswith("_")]
    async with whole(service, job_id, oldest) as stream:
        await stream.next()
        assert [(await stream.next()).id for _ in followed] == followed


async def test_a_head_says_nothing(service: Service, jobs: jobcast.Jobs, job_id: str) -> None:
    await jobs.run(job_id).start()
    headers = {"x-session-id": SESSION, "Last-Event-ID": "rubbish", "Connection": "close"}
    target = f"/api/v1/jobs/{job_id}/stream?from=start&ping=1"
    async with request(service.url, target, method="HEAD", headers=headers) as stream:
        assert stream.status == 200
        assert await stream.closed_by_server()
