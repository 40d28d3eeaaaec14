"""How every refusal looks: JSON with a stable code, and no word about what is not the caller's."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import httpx
import pytest

import jobcast
from tests.support.calls import ON_A_JOB, call
from tests.support.service import SESSION, Service, token
from tests.support.sse import watch
from tests.support.valkey import Valkey

NOT_FOUND = (
    b'{"success":false,"error":"Not found",'
    b'"message":"Job not found or access denied","code":"JOB_NOT_FOUND"}'
)


def assert_error(answer: httpx.Response, status: int, title: str, code: str) -> Mapping[str, Any]:
    """Check the answer's shape and return it; the message is judged by the caller."""
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    body: dict[str, Any] = answer.json()
    assert list(body) == ["success", "error", "message", "code"]
    assert (body["success"], body["error"], body["code"]) == (False, title, code)
    assert body["message"]
    return body


@pytest.fixture
async def foreign(jobs: jobcast.Jobs) -> str:
    return await jobs.create("anything", user_id="another", session_id="another")


@pytest.mark.parametrize("name", ON_A_JOB)
async def test_foreign_unknown_and_malformed_ids_are_told_apart_by_nobody(
    service: Service, foreign: str, name: str
) -> None:
    ids = [foreign, foreign.upper(), str(uuid4()), "x", "x" * 128, "a.b", "-", "..."]
    ids += ["x" * 129, "%20", "a b", "ä", "%ff", "%00", "a%0Ab", "{x}", "*", "jobs:1", "%7B%7D"]
    async with service.client() as client, watch(service.url, foreign, session="another") as stream:
        assert stream.status == 200
        answers = [await call(client, name, job_id) for job_id in ids]
        one_that_is_mine = await jobs_own(client)
        assert (await call(client, "status", one_that_is_mine)).status_code == 200
    heads = [{**answer.headers, "date": ""} for answer in answers]
    assert {(answer.status_code, answer.content) for answer in answers} == {(404, NOT_FOUND)}
    assert all(head == heads[0] for head in heads)


async def jobs_own(client: httpx.AsyncClient) -> str:
    job_id: str = (await call(client, "create")).json()["jobId"]
    return job_id


async def test_what_is_refused_to_a_stranger_has_no_effect(service: Service, foreign: str) -> None:
    async with service.client() as client:
        for name in ON_A_JOB:
            await call(client, name, foreign)
        answer = await call(client, "status", foreign, headers={"x-session-id": "another"})
    assert answer.json()["status"] == "queued"


@pytest.mark.parametrize("name", ON_A_JOB)
async def test_an_upper_case_uuid_is_the_same_job(service: Service, name: str) -> None:
    async with service.client() as client:
        job_id = await jobs_own(client)
        if name == "retry":
            await call(client, "cancel", job_id)
        assert job_id == job_id.lower()
        assert (await call(client, name, job_id.upper())).status_code == 200
        expected = {"status": "queued", "stream": "queued", "cancel": "failed", "retry": "queued"}
        status = (await call(client, "status", job_id)).json()
    assert (status["jobId"], status["status"]) == (job_id, expected[name])


async def test_other_ids_are_compared_letter_by_letter(
    service: Service, jobs: jobcast.Jobs
) -> None:
    for job_id in ("Report.1", "a" * 128, "A-b_c.D", str(uuid4())[:-1] + "G"):
        await jobs.create("anything", session_id=SESSION, job_id=job_id)
        async with service.client() as client:
            assert (await call(client, "status", job_id)).json()["jobId"] == job_id
            assert (await call(client, "status", job_id.swapcase())).status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/nothing"),
        ("GET", "/api"),
        ("GET", "/api/v1"),
        ("POST", "/api/v1/nothing"),
        ("GET", "/api/v2/jobs"),
        ("GET", "/api/v1/jobs/"),
        ("POST", "/api/v1/jobs/"),
        ("GET", "/api/v1//jobs"),
        ("GET", "//api/v1/jobs"),
        ("GET", "/api/v1/jobs//status"),
        ("GET", "/api/v1//jobs/x/stream"),
        ("GET", "/api/v1/jobs/x"),
        ("GET", "/api/v1/jobs/x/status/"),
        ("GET", "/api/v1/jobs/x/entries"),
        ("GET", "/static/../app/auth.py"),
        ("GET", "/static/%2e%2e/auth.py"),
        ("GET", "/static/css"),
        ("GET", f"/static/{'a' * 300}"),
        ("GET", f"/static{'/a' * 3000}"),
    ],
)
async def test_an_unknown_address_is_a_404(service: Service, method: str, path: str) -> None:
    async with service.client() as client:
        answer = await client.request(method, path)
    assert_error(answer, 404, "Not found", "NOT_FOUND")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/api/v1/jobs", {"GET", "HEAD", "POST", "OPTIONS"}),
        ("PUT", "/api/v1/jobs/x/status", {"GET", "HEAD", "OPTIONS"}),
        ("POST", "/api/v1/jobs/x/stream", {"GET", "HEAD", "OPTIONS"}),
        ("POST", "/api/v1/jobs/x/stream/", {"GET", "HEAD", "OPTIONS"}),
        ("GET", "/api/v1/jobs/x/cancel", {"POST", "OPTIONS"}),
        ("PATCH", "/api/v1/jobs/x/retry", {"POST", "OPTIONS"}),
        ("POST", "/healthz", {"GET", "HEAD", "OPTIONS"}),
        ("BREW", "/api/v1/jobs", {"GET", "HEAD", "POST", "OPTIONS"}),
    ],
)
async def test_another_method_is_a_405_that_names_the_right_ones(
    service: Service, method: str, path: str, allowed: set[str]
) -> None:
    async with service.client() as client:
        answer = await client.request(method, path)
    assert_error(answer, 405, "Method not allowed", "METHOD_NOT_ALLOWED")
    assert set(answer.headers["allow"].split(", ")) == allowed


async def test_the_wrong_state_of_a_job_is_a_400_with_a_code(
    service: Service, jobs: jobcast.Jobs
) -> None:
    async with service.client() as client:
        job_id = await jobs_own(client)
        answer = await call(client, "retry", job_id)
        body = assert_error(answer, 400, "Bad request", "JOB_NOT_FAILED")
        assert body["message"] == "Job is not in failed state"
        async with jobs.run(job_id):
            pass
        answer = await call(client, "cancel", job_id)
        body = assert_error(answer, 400, "Bad request", "JOB_NOT_CANCELLABLE")
        assert body["message"] == "Job is not cancellable"


async def test_no_refusal_is_kept_by_a_cache(service: Service, foreign: str) -> None:
    async with service.client() as client:
        answers = [
            await call(client, "status", foreign),
            await call(client, "create", json={}),
            await client.get("/nothing"),
            await client.delete("/api/v1/jobs"),
            await call(client, "status", foreign, headers={"x-session-id": ""}),
        ]
    assert [answer.status_code for answer in answers] == [404, 400, 404, 405, 401]
    assert all(answer.headers["cache-control"] == "no-store" for answer in answers)


async def test_a_secret_in_a_refused_request_is_not_logged(valkey: Valkey) -> None:
    with Service(valkey.url) as service:
        secrets = [token("secretive"), "a-secret-session"]
        async with service.client(None) as client:
            for name in ON_A_JOB:
                await call(client, name, "x", params={"token": secrets[0], "sessionId": secrets[1]})
                await call(client, name, "x", headers={"Referer": f"http://x/?token={secrets[0]}"})
            assert (await client.get("/nothing", params={"token": secrets[0]})).status_code == 404
        assert "/api/v1/jobs/x/status" in service.log
        assert not [secret for secret in secrets if secret in service.log]
