"""Jobs that hold what no reader takes: each is told of as far as it can be, and harms no other."""

import asyncio
import itertools
from typing import Any, NamedTuple
from unittest.mock import ANY

import httpx
import pytest
from redis.asyncio import Redis

import jobcast
from tests.support.calls import ON_A_JOB, call, create, status_of
from tests.support.service import SESSION, Service
from tests.support.sse import Event, watch, watch_many
from tests.support.stored import append
from tests.support.waiting import PATIENCE_SECONDS

INTERNAL = {
    "success": False,
    "error": "Internal server error",
    "message": "What is stored of the job can't be read",
    "code": "INTERNAL",
}
DEEP = "[" * 5000 + "]" * 5000

ENDS: dict[str, tuple[str, str, dict[str, str], Any]] = {
    "a result cut within a character": (
        "complete",
        r'{"result":"Done \ud83d"}',
        {"result": r'"Done \ud83d"'},
        {"result": "Done \ufffd"},
    ),
    "a cut character in a key, the wrong way round": (
        "complete",
        r'{"result":{"\ude00\ud83d":[1]}}',
        {"result": r'{"\ude00\ud83d":[1]}'},
        {"result": {"\ufffd\ufffd": [1]}},
    ),
    "NaN": ("complete", '{"result":NaN}', {"result": "NaN"}, {"result": None}),
    "no JSON": ("complete", "Done", {"result": "Done"}, {"result": None}),
    "an array": ("complete", "[1]", {"result": "1"}, {"result": 1}),
    "too deep": ("complete", f'{{"result":{DEEP}}}', {"result": DEEP}, {"result": None}),
    "half a frame": ("complete", '{"result":"a\r\n\nid: 9-9"}', {}, {"result": None}),
    "nothing": ("complete", "", {"result": ""}, {"result": None}),
    "no error": ("fail", "{}", {}, {"error": "The job failed", "errorCode": None}),
    "an error that is a number": (
        "fail",
        '{"error":5,"errorCode":6}',
        {"error": "5", "errorCode": "6"},
        {"error": "5", "errorCode": "6"},
    ),
    "an error cut within a character": (
        "fail",
        r'{"error":"\ud83d"}',
        {"error": "\ufffd"},
        {"error": "\ufffd", "errorCode": None},
    ),
}


class Odd(NamedTuple):
    """A job that runs: its id, and that of its last entry."""

    job_id: str
    started: str

    @property
    def log(self) -> str:
        return f"jobs:{{{self.job_id}}}:log"

    @property
    def state(self) -> str:
        return f"jobs:{{{self.job_id}}}:state"


NUMBERS = itertools.count(1)


@pytest.fixture
async def odd(jobs: jobcast.Jobs) -> Odd:
    """Return a job of a name that the service has not complained of yet; another one is good."""
    await jobs.create("report", session_id=SESSION, job_id="good")
    job_id = await jobs.create("report", session_id=SESSION, job_id=f"odd-{next(NUMBERS)}")
    return Odd(job_id, await jobs.run(job_id).start())


async def listed(client: httpx.AsyncClient, **params: Any) -> list[tuple[str, str]]:  # noqa: ANN401
    answer = await call(client, "list", params=params)
    assert answer.status_code == 200, answer.text
    return [(job["jobId"], job["status"]) for job in answer.json()["jobs"]]


async def streamed(service: Service, odd: Odd, cursor: str | None = None) -> list[Event]:
    """Return what a viewer of the finished job gets after ``connected``."""
    async with (
        asyncio.timeout(PATIENCE_SECONDS),
        watch(service.url, odd.job_id, last_event_id=cursor) as stream,
    ):
        return (await stream.rest())[1:]


def complaints(service: Service, odd: Odd) -> list[str]:
    return [line for line in service.log.splitlines() if f"job {odd.job_id} " in line]


@pytest.mark.parametrize("how", ENDS)
async def test_a_viewer_gets_the_end_whatever_the_worker_ended_its_job_with(
    service: Service, redis_client: Redis, odd: Odd, how: str
) -> None:
    operation, data, fields, shown = ENDS[how]
    name = "complete" if operation == "complete" else "failed"
    async with watch(service.url, odd.job_id) as live, asyncio.timeout(PATIENCE_SECONDS):
        await live.until("progress-update")
        end = await append(redis_client, odd.job_id, operation, data, fields)
        expected = [Event(name, shown, end)]
        assert await live.rest() == expected
    assert await streamed(service, odd) == expected
    assert await streamed(service, odd, odd.started) == expected
    async with service.client() as client:
        headers = {"Last-Event-ID": end}
        assert (await call(client, "stream", odd.job_id, headers=headers)).status_code == 204
        status = await status_of(client, odd.job_id)
        assert status["status"] == {"complete": "succeeded", "failed": "failed"}[name]
        assert await listed(client) == [(odd.job_id, status["status"]), ("good", "queued")]
        if name == "failed":
            assert (await call(client, "retry", odd.job_id)).status_code == 200


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (
            (
                ',"currentStep":null,"estimatedTimeRemaining":NaN}',
                {"estimatedTimeRemaining": "NaN"},
            ),
            {"progress": 7, "currentStep": None, "estimatedTimeRemaining": None},
        ),
        (
            (
                r',"currentStep":"\ud83d","estimatedTimeRemaining":1,"x":1e999}',
                {"currentStep": "x", "estimatedTimeRemaining": "1", "extra": '{"x":1e999}'},
            ),
            {"progress": 7, "currentStep": "\ufffd", "estimatedTimeRemaining": 1, "x": None},
        ),
        (
            (
                ',"currentStep":5,"estimatedTimeRemaining":-1,"x":{"a":Infinity}}',
                {"estimatedTimeRemaining": "-1", "extra": r'{"x":{"a":null}}'},
            ),
            {
                "progress": 7,
                "currentStep": None,
                "estimatedTimeRemaining": None,
                "x": {"a": None},
            },
        ),
    ],
)
async def test_progress_that_is_wrong_in_part_reaches_viewers_without_that(
    service: Service,
    redis_client: Redis,
    odd: Odd,
    said: tuple[str, dict[str, str]],
    shown: dict[str, Any],
) -> None:
    data, fields = said
    async with watch(service.url, odd.job_id) as live, asyncio.timeout(PATIENCE_SECONDS):
        await live.until("progress-update")
        entry = await append(redis_client, odd.job_id, "progress", data, fields, "7")
        (event,) = await live.until("progress-update")
        assert event == Event("progress-update", shown, entry)
        async with watch(service.url, odd.job_id, last_event_id=odd.started) as resumed:
            assert await resumed.until("progress-update") == [ANY, event]
        await append(redis_client, odd.job_id, "complete", '{"result":1}', {"result": "1"})
        assert [event.name for event in await live.rest()] == ["complete"]


async def test_what_cant_be_shown_costs_a_viewer_nothing_else(
    service: Service, redis_client: Redis, odd: Odd
) -> None:
    async with watch(service.url, odd.job_id) as live, asyncio.timeout(PATIENCE_SECONDS):
        await live.until("progress-update")
        first = await append(redis_client, odd.job_id, "emit", '{"n":1}')
        for nothing in ("", "5", "[1]", "{", DEEP):
            await append(redis_client, odd.job_id, "emit", nothing)
        second = await append(redis_client, odd.job_id, "emit", '{"n":2}')
        end = await append(redis_client, odd.job_id, "complete", '{"result":null}')
        expected = [
            *(Event("note", {"n": 1}, first), Event("note", {"n": 2}, second)),
            Event("complete", {"result": None}, end),
        ]
        assert await live.rest() == expected
    assert await streamed(service, odd, odd.started) == expected


async def test_what_is_read_as_something_else_is_logged_once_with_its_cause(
    service: Service, redis_client: Redis, odd: Odd
) -> None:
    await append(
        redis_client, odd.job_id, "complete", r'{"result":"\ud83d"}', {"result": r'"\ud83d"'}
    )
    async with service.client() as client:
        for _ in range(3):
            await status_of(client, odd.job_id)
            await listed(client)
            await streamed(service, odd, odd.started)
    (complaint,) = complaints(service, odd)
    assert 'result is read as "\ufffd"' in complaint


SPOILT: dict[str, tuple[str, ...]] = {
    "no hash": ("SET", "x"),
    "no such status": ("HSET", "status", "sleeping"),
    "no id of the last entry": ("HSET", "last", "x"),
    "an id that Redis does not give": ("HSET", "last", "9" * 15 + "-0"),
    "no id of the first entry": ("HDEL", "created"),
}


async def spoil(redis: Redis, odd: Odd, how: str) -> None:
    """Make the state of a job nothing that can be read."""
    command, *given = SPOILT[how]
    await redis.execute_command(command, odd.state, *given)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("how", SPOILT)
async def test_a_job_that_cannot_be_read_is_a_fault_of_its_own_and_of_nobody_else(
    service: Service, redis_client: Redis, odd: Odd, how: str
) -> None:
    logged = len(service.log)
    await spoil(redis_client, odd, how)
    async with service.client() as client:
        for name in (*ON_A_JOB, *ON_A_JOB):
            for headers in ({}, {"Last-Event-ID": odd.started}):
                answer = await call(client, name, odd.job_id, headers=headers)
                assert (answer.status_code, answer.json()) == (500, INTERNAL), name
                assert "retry-after" not in answer.headers
        answer = await call(client, "list")
        spoilt, good = answer.json()["jobs"]
        assert (good["jobId"], good["status"], good["error"]) == ("good", "queued", None)
        assert (spoilt["jobId"], spoilt["errorCode"]) == (odd.job_id, "INTERNAL")
        expected = "failed" if how in {"no hash", "no such status"} else "running"
        assert spoilt["status"] == expected
        assert spoilt["createdAt"][:4] == good["createdAt"][:4]
    async with service.client("somebody-else") as client:
        for name in ON_A_JOB:
            assert (await call(client, name, odd.job_id)).status_code == 404
        assert await listed(client) == []
    (complaint,) = complaints(service, odd)
    assert "can't be read" in complaint
    assert "Traceback" not in service.log[logged:]


@pytest.mark.parametrize("how", SPOILT)
async def test_a_viewer_of_a_job_that_becomes_unreadable_is_sent_to_where_it_is_told(
    service: Service, redis_client: Redis, odd: Odd, how: str
) -> None:
    async with watch(service.url, odd.job_id) as live, asyncio.timeout(PATIENCE_SECONDS):
        await live.until("progress-update")
        await spoil(redis_client, odd, how)
        event = '{"id":"9999999999999-0","event":"note","data":{}}'
        await redis_client.publish(f"jobs:{odd.job_id}:events", event)  # as any append does
        assert await live.rest() == []
        assert b"retry: " in live.body
    async with service.client() as client:
        headers = {"Last-Event-ID": odd.started}
        assert (await call(client, "stream", odd.job_id, headers=headers)).status_code == 500


@pytest.mark.parametrize(
    ("fields", "end"),
    [
        ({"status": "succeeded", "result": '"x"'}, ("complete", {"result": "x"})),
        ({"status": "failed"}, ("failed", {"error": "The job failed", "errorCode": None})),
    ],
)
async def test_a_job_that_ended_without_an_entry_has_ended(
    service: Service, redis_client: Redis, odd: Odd, fields: dict[str, str], end: tuple[str, Any]
) -> None:
    async with watch(service.url, odd.job_id) as live, asyncio.timeout(PATIENCE_SECONDS):
        await live.until("progress-update")
        for name, value in fields.items():
            await redis_client.hset(odd.state, name, value)
        event = '{"id":"9999999999999-0","event":"note","data":{}}'
        await redis_client.publish(f"jobs:{odd.job_id}:events", event)
        assert await live.rest() == [Event(*end, odd.started)]
    assert await streamed(service, odd) == [Event(*end, odd.started)]


async def test_pages_go_on_over_jobs_that_cannot_be_read_and_members_that_are_none(
    service: Service, jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    names = [f"j{number}" for number in range(6)]
    for name in names:
        await jobs.create("report", session_id=SESSION, job_id=name)
    for name in names[::2]:
        await redis_client.set(f"jobs:{{{name}}}:state", "x")
    index = f"jobs:by-session:{SESSION}"
    nobodys = [b"\x80" * 3, b"\xff", b"", b"x", b"1234567890123:", b"9999999999999:a/b", b"1:j1"]
    nobodys += [b"9999999999999:\xff%d" % number for number in range(9)]
    await redis_client.zadd(index, dict.fromkeys(nobodys, 0))
    found: list[str] = []
    async with service.client() as client, asyncio.timeout(PATIENCE_SECONDS):
        cursor = ""
        while True:
            answer = await call(client, "list", params={"limit": 2, "cursor": cursor})
            assert answer.status_code == 200, answer.text
            found += [job["jobId"] for job in answer.json()["jobs"]]
            cursor = answer.json()["cursor"]
            if cursor is None:
                break
    assert found == names[::-1]
    assert await redis_client.zcard(index) == len(names)


async def test_an_idempotency_key_that_holds_something_else_is_no_outage(
    service: Service, redis_client: Redis
) -> None:
    async with service.client() as client:
        headers = {"Idempotency-Key": "k"}
        assert (await call(client, "create", headers=headers)).status_code == 201
        (key,) = await redis_client.keys("jobs:idempotency:*")
        await redis_client.set(key, "{")
        for _ in range(2):
            answer = await call(client, "create", headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (500, "INTERNAL")
            assert "retry-after" not in answer.headers
        assert len(await listed(client)) == 1


async def test_a_list_that_is_none_is_empty_until_the_next_job(
    service: Service, redis_client: Redis
) -> None:
    await redis_client.set(f"jobs:by-session:{SESSION}", "no sorted set")
    async with service.client() as client:
        assert await listed(client) == []
        async with watch_many(service.url, "mine=active") as stream:
            assert (await stream.next()).data["jobIds"] == []
            job_id = await create(client)
            assert (await stream.next()).data["jobId"] == job_id
        assert await listed(client) == [(job_id, "queued")]


async def test_a_job_whose_log_cannot_be_read_is_told_of_by_its_state(
    service: Service, redis_client: Redis, odd: Odd
) -> None:
    await append(redis_client, odd.job_id, "complete", '{"result":1}', {"result": "1"})
    await redis_client.set(odd.log, "no stream")
    for cursor in (None, odd.started):
        assert (await streamed(service, odd, cursor))[-1].data == {"result": 1}
    async with service.client() as client:
        assert (await status_of(client, odd.job_id))["status"] == "succeeded"


async def test_an_entry_that_the_script_did_not_write_is_asked_for_once(
    service: Service, redis_client: Redis, odd: Odd
) -> None:
    past = str(await redis_client.xadd(odd.log, {"event": "note", "data": "{}"}))
    async with watch(service.url, odd.job_id) as live, asyncio.timeout(PATIENCE_SECONDS):
        await live.until("progress-update")
        await redis_client.config_resetstat()
        async with watch(service.url, odd.job_id, last_event_id=past) as ahead:
            assert (await ahead.until("progress-update"))[-2].name == "reset"
            await append(redis_client, odd.job_id, "complete")
            assert (await ahead.rest())[-1].name == "complete"
    counts = await redis_client.info("commandstats")
    assert counts["cmdstat_xrange"]["calls"] < 10


async def test_an_end_that_only_the_log_knows_of_ends_nothing(
    service: Service, redis_client: Redis, odd: Odd
) -> None:
    async with watch(service.url, odd.job_id) as live, asyncio.timeout(PATIENCE_SECONDS):
        await live.until("progress-update")
        await redis_client.xadd(odd.log, {"event": "complete", "data": '{"result":0}'})
        await append(redis_client, odd.job_id, "emit", '{"n":1}')
        end = await append(redis_client, odd.job_id, "fail", '{"error":"x"}', {"error": "x"})
        assert [event.name for event in await live.rest()] == ["note", "failed"]
    assert [event.id for event in await streamed(service, odd, odd.started)][-1] == end
