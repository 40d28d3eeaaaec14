"""Calls from pages of other origins."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

import jobcast
from tests.support.calls import CALLS, call, create, status_of
from tests.support.service import Service, token
from tests.support.sse import watch
from tests.support.valkey import Valkey

FIRST, SECOND = "https://first.example", "http://localhost:3000"
WEB_VIEW = "capacitor://localhost"
ELSEWHERE = ["https://elsewhere.example", "http://first.example", f"{FIRST}:444", "null"]
ASKED = sorted(
    (
        *("authorization", "content-type", "idempotency-key", "last-event-id", "x-session-id"),
        *("cache-control", "traceparent", "tracestate", "baggage", "sentry-trace", "x-tenant"),
    )
)


@pytest.fixture(scope="module")
def own_valkey() -> Iterator[Valkey]:
    with Valkey() as running:
        yield running


@pytest.fixture(scope="module")
def cors_service(own_valkey: Valkey) -> Iterator[Service]:
    settings: dict[str, Any] = {
        "JOBCAST_CORS_ORIGINS": f"HTTPS://First.Example:443,{SECOND},{WEB_VIEW}",
        "JOBCAST_CORS_HEADERS": "X-Tenant",
        "JOBCAST_STREAMS_PER_JOB": "1",
    }
    with Service(own_valkey.url, **settings) as running:
        yield running


@pytest.fixture
async def own_jobs(own_valkey: Valkey) -> jobcast.Jobs:
    own_valkey.flush()
    return jobcast.connect(own_valkey.url)


def of_cors(answer: httpx.Response) -> dict[str, str]:
    """Return the headers that a browser judges by."""
    return {k: v for k, v in answer.headers.items() if k.startswith("access-control-")}


def assert_open_to(answer: httpx.Response, origin: str) -> None:
    given = of_cors(answer)
    assert given["access-control-allow-origin"] == origin, answer
    assert given["access-control-allow-credentials"] == "true"
    exposed = given["access-control-expose-headers"].lower().split(", ")
    assert {"location", "retry-after"} <= set(exposed)
    assert "origin" in answer.headers["vary"].lower()


async def each_answer(
    client: httpx.AsyncClient, service: Service, own_jobs: jobcast.Jobs
) -> dict[int, httpx.Response]:
    """Return an answer of each status that needs no outage."""
    job_id, done = await create(client), await create(client)
    async with own_jobs.run(done):
        pass
    given: list[httpx.Response] = []
    async with watch(service.url, job_id) as stream:
        assert stream.status == 200
        given += [
            await call(client, "create"),
            await call(client, "stream", done),
            await call(client, "stream", job_id),
            await call(client, "create", json={}),
            await call(client, "status", job_id, headers={"x-session-id": ""}),
            await call(client, "status", job_id, headers={"x-session-id": "another"}),
            await client.delete("/api/v1/jobs"),
            await call(client, "create", headers={"Idempotency-Key": "a"}),
            await call(client, "create", json={"type": "b"}, headers={"Idempotency-Key": "a"}),
        ]
    async with watch(service.url, done) as stream:
        last = (await stream.until("complete"))[-1].id
    given.append(await call(client, "stream", done, headers={"Last-Event-ID": last}))
    return {answer.status_code: answer for answer in given}


STATUSES = {200, 201, 204, 400, 401, 404, 405, 409, 429}


@pytest.mark.parametrize("origin", [FIRST, SECOND, WEB_VIEW])
async def test_every_answer_is_open_to_a_configured_origin(
    cors_service: Service, own_jobs: jobcast.Jobs, origin: str
) -> None:
    async with own_jobs, cors_service.client() as client:
        client.headers["Origin"] = origin
        given = await each_answer(client, cors_service, own_jobs)
    assert set(given) == STATUSES
    for answer in given.values():
        assert_open_to(answer, origin)
    assert given[200].headers["content-type"] == "text/event-stream"
    assert given[429].headers["retry-after"]


@pytest.mark.parametrize("origin", ELSEWHERE)
async def test_no_answer_is_open_to_another_origin(
    cors_service: Service, own_jobs: jobcast.Jobs, origin: str
) -> None:
    async with own_jobs, cors_service.client() as client:
        client.headers["Origin"] = origin
        given = await each_answer(client, cors_service, own_jobs)
    assert set(given) == STATUSES
    for answer in given.values():
        assert of_cors(answer) == {}
        assert "origin" in answer.headers["vary"].lower()


@pytest.mark.parametrize("name", CALLS)
async def test_a_preflight_allows_what_the_calls_need(cors_service: Service, name: str) -> None:
    method, path = CALLS[name]
    headers = {
        "Origin": FIRST,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": ", ".join(name.title() for name in ASKED),
    }
    async with cors_service.client(None) as client:
        answer = await client.options(path.format("x"), headers=headers)
        assert answer.status_code in {200, 204}
        given = of_cors(answer)
        assert given["access-control-allow-origin"] == FIRST
        assert given["access-control-allow-credentials"] == "true"
        assert method in given["access-control-allow-methods"].split(", ")
        assert sorted(given["access-control-allow-headers"].lower().split(", ")) == ASKED
        assert int(given["access-control-max-age"]) > 0
        for origin in ELSEWHERE:
            answer = await client.options(path.format("x"), headers={**headers, "Origin": origin})
            assert of_cors(answer) == {}


async def test_a_preflight_does_not_allow_other_headers(cors_service: Service) -> None:
    headers = {
        "Origin": FIRST,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,x-forwarded-for",
    }
    async with cors_service.client(None) as client:
        answer = await client.options("/api/v1/jobs", headers=headers)
    assert of_cors(answer)["access-control-allow-headers"].lower() == "content-type"


async def test_nothing_is_open_when_nothing_is_configured(service: Service) -> None:
    async with service.client() as client:
        client.headers["Origin"] = FIRST
        job_id = await create(client)
        for answer in (
            await call(client, "status", job_id),
            await call(client, "stream", job_id),
            await call(client, "status", "x"),
            await client.options(
                "/api/v1/jobs",
                headers={"Origin": FIRST, "Access-Control-Request-Method": "POST"},
            ),
        ):
            assert of_cors(answer) == {}


async def test_a_star_opens_to_all_origins_but_never_with_credentials(valkey: Valkey) -> None:
    settings: dict[str, Any] = {"JOBCAST_CORS_ORIGINS": "*", "JOBCAST_COOKIE_NAME": "jwt"}
    with Service(valkey.url, **settings) as service:
        async with service.client() as client:
            client.headers["Origin"] = ELSEWHERE[0]
            job_id = await create(client)
            answer = await call(client, "status", job_id)
            assert answer.headers["access-control-allow-origin"] == "*"
            assert "access-control-allow-credentials" not in answer.headers
            cookie = {"Cookie": f"jwt={token()}", "x-session-id": ""}
            assert (await call(client, "create", headers=cookie)).status_code == 401


async def test_an_outage_is_open_to_a_configured_origin_too() -> None:
    with Valkey() as valkey, Service(valkey.url, JOBCAST_CORS_ORIGINS=FIRST) as service:
        async with service.client() as client:
            client.headers["Origin"] = FIRST
            job_id = await create(client)
            assert (await status_of(client, job_id))["status"] == "queued"
            valkey.kill()
            answers = await asyncio.gather(*(call(client, name, job_id) for name in CALLS))
            last_id = {"Last-Event-ID": "1-0"}
            reconnected = await call(client, "stream", job_id, headers=last_id)
    assert {answer.status_code for answer in answers} == {503}
    assert reconnected.status_code == 200
    for answer in (*answers, reconnected):
        assert_open_to(answer, FIRST)
