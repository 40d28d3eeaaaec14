"""Creating a job and looking at it."""

import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from redis.asyncio import Redis

import jobcast
from tests.support.calls import FRESH, call, create, status_of, without_times
from tests.support.service import SESSION, Service, token
from tests.support.stored import log_of, state_of
from tests.support.waiting import after

STATUS_KEYS = [
    *("jobId", "status", "progress", "currentStep", "estimatedTimeRemaining"),
    *("error", "errorCode", "result", "attempt", "createdAt", "updatedAt"),
]


async def test_a_job_is_created_with_the_addresses_to_watch_it_at(service: Service) -> None:
    async with service.client() as client:
        answer = await call(client, "create", json={"type": "report", "input": {"pages": 3}})
        body = answer.json()
        assert answer.status_code == 201
        assert answer.headers["content-type"] == "application/json"
        assert list(body) == ["jobId", "statusUrl", "streamUrl"]
        assert str(UUID(body["jobId"])) == body["jobId"]
        path = f"/api/v1/jobs/{body['jobId']}"
        assert body["statusUrl"] == answer.headers["location"] == f"{path}/status"
        assert body["streamUrl"] == f"{path}/stream"
        assert (await client.get(body["statusUrl"])).json()["jobId"] == body["jobId"]
        async with client.stream("GET", body["streamUrl"]) as stream:
            assert stream.status_code == 200


@pytest.mark.parametrize(
    "given",
    [
        {"a": [1, 2.5, None, True, {"b": "ü\n\u2028😀"}], "": {}},
        {"large": 10**30, "negative": -(2**63), "small": 1e-300},
        {"text": "x" * 1_000_000},
        {},
    ],
    ids=["all kinds", "numbers", "a megabyte", "nothing"],
)
async def test_what_is_given_as_input_reaches_the_worker(
    service: Service, jobs: jobcast.Jobs, given: dict[str, Any]
) -> None:
    async with service.client() as client:
        job_id = await create(client, input=given)
    async with jobs.run(job_id) as run:
        assert run.input == given


async def test_a_new_job_remembers_its_owner_and_how_long_it_is_kept(
    service: Service, redis_client: Redis
) -> None:
    async with service.client() as client:
        client.headers["Authorization"] = f"Bearer {token('user-1')}"
        job_id = await create(client)
    state = await state_of(redis_client, job_id)
    assert (state["userId"], state["sessionId"]) == ("user-1", SESSION)
    assert (state["type"], state["input"], state["attempt"]) == ("report", "{}", "1")
    assert [fields["event"] for _, fields in await log_of(redis_client, job_id)] == ["_created"]
    for key in ("log", "state"):
        assert 0 < await redis_client.ttl(f"jobs:{{{job_id}}}:{key}") <= 7 * 24 * 3600 + 100


@pytest.mark.parametrize("name", ["t", "t" * 128, "ä" * 128, "no worker knows this: {}\n/", " "])
async def test_a_type_is_any_text_of_1_to_128_characters(service: Service, name: str) -> None:
    async with service.client() as client:
        await create(client, type=name)
        listed = (await call(client, "list")).json()["jobs"]
    assert [job["type"] for job in listed] == [name]


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b"{}", "type"),
        (b'{"input":{}}', "type"),
        (b'{"type":""}', "type"),
        (b'{"type":"%s"}' % (b"t" * 129), "type"),
        (b'{"type":null}', "type"),
        (b'{"type":5}', "type"),
        (b'{"type":["a"]}', "type"),
        (b'{"type":"a","input":[]}', "input"),
        (b'{"type":"a","input":null}', "input"),
        (b'{"type":"a","input":"{}"}', "input"),
        (b'{"type":"a","input":{"n":1e999}}', "input"),
        (b'{"type":"a","sessionId":5}', "sessionId"),
        (b'{"type":"a","sessionId":{}}', "sessionId"),
        (b'{"type":"a","priority":1}', "priority"),
        (b'{"type":"a","Input":{}}', "Input"),
        (b'{"type":"a","session_id":"s"}', "session_id"),
        (b'{"type":"a","userId":"u"}', "userId"),
        *(
            (body, "^type: ")
            for body in (rb'{"type":"\ud83d"}', rb'{"type":"\ude00\ud83d","input":{}}')
        ),
        *((body, "^type: ") for body in (b'{"type":NaN}', b'{"type":"\xed\xa0\x80"}')),
        *(
            (b'{"type":"a","input":%b}' % value, "^input: ")
            for value in (
                *(rb'{"\ud83d":1}', rb'{"a":["\udc00\ud83d"]}', rb'{"a":"\ud83d\ud83d\ude00"}'),
                *(rb'"\ud83d"', b'{"a":-Infinity}', b'{"a":"\xff"}', b'{"a":' + b"[" * 5000),
            )
        ),
        (rb'{"type":"a","sessionId":"\ud83d"}', "^sessionId: "),
        (rb'{"type":"a","sessionId":"s\udfff"}', "^sessionId: "),
        (rb'{"type":"a","\ud83d":1}', r"^\\ud83d: "),
        (rb'{"type":"a","%s\ud83d":1}' % (b"x" * 1000), "^xxx"),
        (b"", "JSON"),
        (b"nope", "JSON"),
        (b"type=a", "JSON"),
        (b'{"type":"a"', "JSON"),
        (b'{"type":"a"} {}', "JSON"),
        (b"{'type':'a'}", "JSON"),
        (b'{"type":"a","input":{"n":NaN}}', "JSON"),
        (b'{"type":"\xff"}', "JSON"),
        (b'\xef\xbb\xbf{"type":"a"}', "JSON"),
        (b'{"type":"a","input":{"\\ud800":1}}', "JSON"),
        ('{"type":"a"}'.encode("utf-16"), "JSON"),
        (b'{"type":"a","input":%s1%s}' % (b'{"a":' * 100_000, b"}" * 100_000), "deep|depth"),
        (b"null", "object"),
        (b"[]", "object"),
        (b'"type"', "object"),
        (b"5", "object"),
        (b'{"type":"a","input":{"t":"%s"}}' % (b"x" * 1_100_000), "larger than 1 MiB"),
    ],
    ids=lambda value: value[:30].decode("latin-1") if isinstance(value, bytes) else value,
)
async def test_a_body_that_is_wrong_is_a_400_that_says_where(
    service: Service, redis_client: Redis, body: bytes, names: str
) -> None:
    async with service.client() as client:
        answer = await call(client, "create", json=None, content=body)
    assert answer.status_code == 400
    shown = answer.json()
    assert list(shown) == ["success", "error", "message", "code"]
    assert (shown["error"], shown["code"]) == ("Bad request", "BAD_REQUEST")
    assert re.search(names, shown["message"])
    assert len(shown["message"]) < 300
    assert await redis_client.keys("*") == []


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (rb'{"type":"a","sessionId":"\ud83d"}', "sessionId"),
        (rb'{"type":"\ud83d","sessionId":"s"}', "type"),
        (b'{"type":"a","input":{"n":NaN},"sessionId":"s"}', "input"),
    ],
)
async def test_a_session_in_a_body_that_is_wrong_is_no_missing_identity(
    service: Service, body: bytes, names: str
) -> None:
    async with service.client(None) as client:
        answer = await call(client, "create", json=None, content=body)
    assert answer.status_code == 400
    assert answer.json()["message"].startswith(f"{names}: ")


@pytest.mark.parametrize(
    "body", [rb'{"type":"\ud83d"}', rb'{"type":"a","sessionId":5,"input":"\ud83d"}', b"nope"]
)
async def test_a_body_that_is_wrong_and_names_no_session_is_from_nobody(
    service: Service, body: bytes
) -> None:
    async with service.client(None) as client:
        assert (await call(client, "create", json=None, content=body)).status_code == 401


@pytest.mark.parametrize(("depth", "taken"), [(100, True), (101, False), (950, False)])
@pytest.mark.parametrize("pair", [(b'{"a":', b"}"), (b"[", b"]")], ids=["{", "["])
async def test_an_input_is_never_so_deep_that_a_worker_cant_read_it(
    service: Service, jobs: jobcast.Jobs, pair: tuple[bytes, bytes], depth: int, *, taken: bool
) -> None:
    nested = pair[0] * (depth - 1) + b"1" + pair[1] * (depth - 1)
    body = b'{"type":"a","input":{"a":%s,"b":[{}]}}' % nested
    async with service.client() as client:
        answer = await call(client, "create", json=None, content=body)
    if taken:
        async with jobs.run(answer.json()["jobId"]) as run:
            assert run.input["a"] == json.loads(nested)
    else:
        assert answer.status_code == 400
        assert answer.json()["message"].startswith("input: nested more than 100 levels deep")


async def test_a_body_without_a_length_is_bounded_too(service: Service) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b'{"type":"a"'
        for _ in range(30):
            yield b" " * 50_000

    async with service.client() as client:
        answer = await call(client, "create", json=None, content=endless())
    assert (answer.status_code, answer.json()["code"]) == (400, "BAD_REQUEST")


async def test_a_slow_uplink_is_no_outage(service: Service) -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield b'{"type":'
        await after(2.2)
        yield b'"report"}'

    async with service.client() as client:
        assert (await call(client, "create", json=None, content=slow())).status_code == 201


async def test_the_content_type_of_a_body_does_not_matter(service: Service) -> None:
    async with service.client() as client:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
            headers = {"Content-Type": kind}
            answer = await call(
                client, "create", json=None, content=b'{"type":"a"}', headers=headers
            )
            assert answer.status_code == 201


async def test_unknown_query_parameters_are_ignored(service: Service) -> None:
    async with service.client() as client:
        more: dict[str, Any] = {"params": {"_": "1", "limits": "x", "type": "b"}}
        answer = await call(client, "create", **more)
        assert answer.status_code == 201
        for name in ("status", "stream", "list", "cancel", "retry"):
            assert (await call(client, name, answer.json()["jobId"], **more)).status_code == 200


@pytest.mark.parametrize("host", ["", "a..b", ".a", "x" * 64, "a b", "[::1", "a:port", "\xff"])
async def test_a_host_that_is_no_domain_name_does_not_matter(service: Service, host: str) -> None:
    given = {b"Host": host.encode("latin-1")}
    async with service.client() as client:
        assert (await call(client, "list", headers=given)).status_code == 200
        assert (await client.get("/nothing", headers=given)).status_code == 404


async def test_the_status_of_a_fresh_job_has_every_field(service: Service) -> None:
    async with service.client() as client:
        job_id = await create(client)
        answer = await call(client, "status", job_id)
    status = answer.json()
    assert list(status) == STATUS_KEYS
    assert status["jobId"] == job_id
    assert without_times(status) == FRESH
    assert answer.headers["cache-control"] == "no-store"


async def test_the_status_follows_the_job(service: Service, jobs: jobcast.Jobs) -> None:
    async with service.client() as client:
        job_id = await create(client)
        async with jobs.run(job_id) as run:
            running = {**FRESH, "status": "running"}
            assert without_times(await status_of(client, job_id)) == running
            await run.progress(40, "Writing…", eta=2.5, phase="x")
            running |= {"progress": 40, "currentStep": "Writing…", "estimatedTimeRemaining": 2.5}
            assert without_times(await status_of(client, job_id)) == running
            run.result = {"rows": [1, None], "text": "é"}
        assert without_times(await status_of(client, job_id)) == {
            **running,
            "status": "succeeded",
            "progress": 100,
            "estimatedTimeRemaining": None,
            "result": {"rows": [1, None], "text": "é"},
        }


async def test_a_failed_job_says_why(service: Service, jobs: jobcast.Jobs) -> None:
    async with service.client() as client:
        job_id = await create(client)
        async with jobs.run(job_id) as run:
            await run.progress(40)
            await run.fail("No paper", code="NO_PAPER")
        assert without_times(await status_of(client, job_id)) == {
            **FRESH,
            "status": "failed",
            "progress": 40,
            "error": "No paper",
            "errorCode": "NO_PAPER",
        }


async def test_times_are_utc_with_milliseconds_and_move_with_each_entry(
    service: Service, jobs: jobcast.Jobs
) -> None:
    async with service.client() as client:
        job_id = await create(client)
        first = await status_of(client, job_id)
        async with jobs.run(job_id):
            pass
        last = await status_of(client, job_id)
    for text in (first["createdAt"], first["updatedAt"], last["updatedAt"]):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text)
    assert first["createdAt"] == first["updatedAt"] == last["createdAt"]
    assert last["updatedAt"] > last["createdAt"]
    age = datetime.now(UTC) - datetime.fromisoformat(first["createdAt"])
    assert timedelta(seconds=-1) < age < timedelta(seconds=30)


async def test_a_job_of_a_worker_that_only_publishes_can_be_looked_at(
    service: Service, redis_client: Redis
) -> None:
    async with service.client() as client:
        job_id = await create(client)
        async with client.stream("GET", f"/api/v1/jobs/{job_id}/stream") as stream:
            lines = stream.aiter_lines()
            while await anext(lines) != "event: progress-update":
                pass
            done = {"event": "complete", "data": {"result": {"ok": True}}}
            assert await redis_client.publish(f"jobs:{job_id}:events", json.dumps(done)) == 1
            assert "event: complete" in [line async for line in lines]
        status = await status_of(client, job_id)
    assert (status["status"], status["result"]) == ("succeeded", {"ok": True})
