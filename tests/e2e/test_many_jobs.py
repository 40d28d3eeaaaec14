"""Many jobs on one stream: each as on a stream of its own, and none affects another."""

import asyncio
import json
from collections.abc import Sequence

import pytest

import jobcast
import jobcast.sync
from tests.support.service import SESSION, Service, token
from tests.support.sse import Event, of_jobs, states_of, watch_many

OTHER = "session-of-another"
PATH = "/api/v1/stream"


async def created(jobs: jobcast.Jobs, count: int, session: str = SESSION) -> list[str]:
    return [await jobs.create("report", session_id=session) for _ in range(count)]


def seen(events: Sequence[Event]) -> list[tuple[str, str]]:
    return [(event.name, event.data["jobId"]) for event in events]


async def test_each_job_comes_with_its_state_its_events_and_its_end(
    jobs: jobcast.Jobs, writer: Service
) -> None:
    first, second = await created(jobs, 2)
    async with watch_many(writer.url, of_jobs(first, second)) as stream:
        connected = await stream.next()
        assert connected.data["jobIds"] == [first, second]
        assert connected.data["keepaliveSeconds"] == 15
        assert sorted(seen([await stream.next(), await stream.next()])) == sorted(
            [("progress-update", first), ("progress-update", second)]
        )
        async with jobs.run(first) as run:
            await run.emit("file-hashed", {"n": 1, "jobId": second})
            await run.complete({"jobId": second})
        assert seen([await stream.next() for _ in range(4)]) == [
            ("step-change", first),
            ("file-hashed", first),
            ("complete", first),
            ("left", first),
        ]
        async with jobs.run(second) as run:
            await run.progress(40, "Half")
            await run.fail("no")
        events = await stream.rest()
        assert seen(events) == [
            ("step-change", second),
            ("progress-update", second),
            ("failed", second),
            ("left", second),
        ]
        assert events[-1].data == {"jobId": second, "reason": "ended"}
    assert b"id: " not in stream.body
    assert all(json.loads(block.split(b"data: ")[1]) for block in stream.blocks[1:-1])
    assert stream.blocks[2].startswith(b'event: progress-update\ndata: {"jobId":"')
    assert stream.parser.retries == [600_000]


async def test_a_foreign_an_unknown_and_a_malformed_job_look_the_same_and_harm_no_other(
    jobs: jobcast.Jobs, writer: Service
) -> None:
    [own], [foreign] = await created(jobs, 1), await created(jobs, 1, OTHER)
    query = of_jobs(foreign, "no-such-job", "a%20b", own, own.upper())
    async with watch_many(writer.url, query) as stream:
        events = await stream.until("progress-update")
        assert [event.data for event in events[1:-1]] == [
            {"jobId": job_id, "reason": "not-found"} for job_id in (foreign, "no-such-job", "a b")
        ]
        async with jobs.run(foreign) as run:
            await run.progress(50)
            await run.complete("secret")
        async with jobs.run(own) as run:
            await run.complete(1)
        assert {event.data["jobId"] for event in await stream.rest()} == {own}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "jobs: job ids separated by commas, or mine=active, are required"),
        ("jobs=", "jobs: at least one job id is required"),
        ("jobs=,,", "jobs: at least one job id is required"),
        (f"jobs={','.join(map(str, range(201)))}", "jobs: at most 200 job ids"),
        ("mine=all", "mine: must be active"),
        ("mine=", "mine: must be active"),
        ("jobs=a&mine=active", "mine: not together with jobs"),
    ],
)
async def test_a_wrong_selection_is_refused_with_the_parameters_name(
    service: Service, query: str, message: str
) -> None:
    async with service.client() as client:
        answer = await client.get(f"{PATH}?{query}")
    assert (answer.status_code, answer.json()["message"]) == (400, message)


async def test_who_has_no_identity_is_refused(service: Service) -> None:
    async with service.client(None) as client:
        assert (await client.get(f"{PATH}?mine=active")).status_code == 401


async def test_new_jobs_of_the_caller_join_by_themselves(
    jobs: jobcast.Jobs, writer: Service
) -> None:
    await created(jobs, 1, OTHER)
    [old] = await created(jobs, 1)
    async with watch_many(writer.url, "mine=active") as stream:
        events = await stream.until("progress-update")
        assert events[0].data["jobIds"] == [old]
        assert events[-1].data["jobId"] == old
        [new] = await created(jobs, 1)
        await created(jobs, 1, OTHER)
        assert seen([await stream.next()]) == [("progress-update", new)]
        async with writer.client() as client:
            answer = await client.post("/api/v1/jobs", json={"type": "report"})
        assert seen([await stream.next()]) == [("progress-update", answer.json()["jobId"])]
        async with jobs.run(old) as run:
            await run.fail("no")
        assert seen(await stream.until("left")) == [
            ("step-change", old),
            ("failed", old),
            ("left", old),
        ]
        async with writer.client() as client:
            await client.post(f"/api/v1/jobs/{old}/retry")
        reset, state = await stream.next(), await stream.next()
        assert (reset.name, reset.data) == (
            "reset",
            {"jobId": old, "attempt": 2, "reason": "attempt"},
        )
        assert seen([state]) == [("progress-update", old)]


async def test_a_retry_by_the_library_joins_again(
    jobs: jobcast.Jobs, service: Service, redis_url: str
) -> None:
    [job_id] = await created(jobs, 1)
    with jobcast.sync.connect(redis_url) as blocking:
        async with watch_many(service.url, "mine=active") as stream:
            await states_of(stream, [job_id])
            for retry in (jobs.retry, lambda job_id: asyncio.to_thread(blocking.retry, job_id)):
                await jobs.cancel(job_id)
                await stream.until("left")
                await retry(job_id)
                assert seen([await stream.next()]) == [("reset", job_id)]


async def test_what_has_just_ended_is_among_the_callers_active_jobs(
    jobs: jobcast.Jobs, service: Service
) -> None:
    ended, live = await created(jobs, 2)
    async with jobs.run(ended) as run:
        await run.complete(1)
    async with watch_many(service.url, "mine=active") as stream:
        events = [await stream.next() for _ in range(4)]
        assert set(events[0].data["jobIds"]) == {live, ended}
        assert sorted(seen(events[1:])) == [
            ("complete", ended),
            ("left", ended),
            ("progress-update", live),
        ]


async def test_a_user_and_a_session_see_the_jobs_of_both(
    jobs: jobcast.Jobs, service: Service
) -> None:
    headers = {"Authorization": f"Bearer {token('u1')}"}
    async with watch_many(service.url, "mine=active", headers=headers) as stream:
        await stream.next()
        for user, session in (("u1", None), (None, SESSION)):
            job_id = await jobs.create("report", user_id=user, session_id=session)
            assert seen([await stream.next()]) == [("progress-update", job_id)]


async def test_two_hundred_jobs_come_on_one_stream(jobs: jobcast.Jobs, writer: Service) -> None:
    job_ids = await asyncio.gather(*(jobs.create("report", session_id=SESSION) for _ in range(200)))
    async with watch_many(writer.url, of_jobs(*job_ids)) as stream:
        await states_of(stream, job_ids)

        async def end(job_id: str) -> None:
            async with jobs.run(job_id) as run:
                await run.complete(job_id)

        await asyncio.gather(*map(end, job_ids))
        events = await stream.rest()
    for job_id in job_ids:
        own = [event.name for event in events if event.data["jobId"] == job_id]
        assert own == ["step-change", "complete", "left"]


async def test_large_results_come_at_the_speed_of_the_viewer(
    jobs: jobcast.Jobs, writer: Service
) -> None:
    job_ids = await created(jobs, 8)
    for job_id in job_ids:
        async with jobs.run(job_id) as run:
            run.result = "x" * 600_000
    async with watch_many(writer.url, of_jobs(*job_ids)) as stream:
        events = await stream.rest()
    assert seen(events[1:]) == [
        (name, job_id) for job_id in job_ids for name in ("complete", "left")
    ]
    assert stream.parser.retries == [600_000]
