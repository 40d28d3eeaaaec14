"""Who may append by HTTP and create for others, and for whom jobs do not exist."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

import jobcast
from tests.support.calls import ON_A_JOB, call, status_of
from tests.support.http_worker import START, HttpWorker, event, new_run, worker_token
from tests.support.queued import finish, waiting
from tests.support.service import SESSION, Service, token
from tests.support.stored import job_ids, log_of, state_of

JOBS = "/api/v1/jobs"
NOT_FOUND = {
    "success": False,
    "error": "Not found",
    "message": "Job not found or access denied",
    "code": "JOB_NOT_FOUND",
}
BODY = {"run": new_run(), "events": [START]}


def caller(service: Service, headers: dict[str, str]) -> httpx.AsyncClient:
    client = service.client(None)
    client.headers.update(headers)
    return client


@pytest.fixture
async def worker(service: Service) -> AsyncIterator[HttpWorker]:
    async with HttpWorker(service) as connected:
        yield connected


@pytest.fixture
async def job_id(worker: HttpWorker) -> str:
    return await worker.create()


async def test_without_a_valid_token_in_the_header_it_is_a_401(
    service: Service, job_id: str, redis_client: Redis
) -> None:
    good = worker_token()
    places: list[dict[str, Any]] = [
        {},
        {"headers": {"x-session-id": SESSION}},
        {"params": {"token": good}},
        {"headers": {"Cookie": f"token={good}; auth={good}"}},
        {"headers": {"Authorization": f"Basic {good}"}},
        {"headers": {"Authorization": f"Bearer {good[:-2]}"}},
        {"headers": {"Authorization": f"Bearer {worker_token(exp=1)}"}},
    ]
    async with service.client(None) as client:
        for place in places:
            for name in (job_id, "unknown", "%20"):
                answer = await client.post(f"{JOBS}/{name}/events", json=BODY, **place)
                assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHORIZED")
    assert len(await log_of(redis_client, job_id)) == 1


@pytest.mark.parametrize("claims", [{}, {"scope": "jobs:read"}, {"scope": "jobs:publish-all"}])
async def test_a_users_token_is_a_403_whatever_jobs_there_are(
    service: Service, job_id: str, redis_client: Redis, claims: dict[str, Any]
) -> None:
    async with HttpWorker(service, token("user-1", **claims)) as user:
        answers = [await user.post(name, BODY) for name in (job_id, "unknown", "%20")]
    assert {answer.status_code for answer in answers} == {403}
    assert len({answer.content for answer in answers}) == 1
    assert answers[0].json()["code"] == "FORBIDDEN"
    assert len(await log_of(redis_client, job_id)) == 1


@pytest.mark.parametrize("claims", [{}, {"user": "user-1"}, {"sub": SESSION}])
async def test_a_worker_token_is_no_viewers(
    service: Service, job_id: str, claims: dict[str, Any]
) -> None:
    async with HttpWorker(service, worker_token(**claims)) as worker:
        mine = await worker.create(userId="user-1", sessionId=None)
        for name in (*ON_A_JOB, "list"):
            for its in (job_id, mine):
                answer = await call(worker.client, name, its)
                assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHORIZED")


async def test_a_restricted_token_finds_no_other_jobs(
    service: Service, worker: HttpWorker, redis_client: Redis
) -> None:
    report, other = await worker.create(), await worker.create(type="other", jobId="other")
    await redis_client.hset("jobs:{odd}:state", mapping={"type": "other", "status": "?"})
    for claims in (
        {"jobType": "report"},
        {"jobId": [report, "gone"]},
        {"jobType": ["a", "report"]},
    ):
        async with HttpWorker(service, worker_token(**claims)) as restricted:
            answers = [await restricted.post(name, BODY) for name in (other, "none", "%20", "odd")]
            assert [answer.status_code for answer in answers] == [404] * 4
            assert [answer.json() for answer in answers] == [NOT_FOUND] * 4
            assert len({tuple(answer.headers) for answer in answers}) == 1
            await restricted.send(report, str(BODY["run"]), START)
    assert len(await log_of(redis_client, "other")) == 1
    async with HttpWorker(service, worker_token(jobType="other")) as restricted:
        assert (await restricted.post("odd", BODY)).status_code == 500
    async with HttpWorker(service, worker_token(jobType="report", jobId="other")) as restricted:
        assert (await restricted.post("other", BODY)).json() == NOT_FOUND


async def test_an_upper_case_uuid_is_the_same_job(service: Service, worker: HttpWorker) -> None:
    job_id = await worker.create()
    async with HttpWorker(service, worker_token(jobId=job_id.upper())) as restricted:
        await restricted.send(job_id.upper(), new_run(), START)
        await restricted.send(job_id, new_run(), START)


# Creating


async def test_a_worker_names_the_owner_and_the_id(
    service: Service, worker: HttpWorker, redis_client: Redis
) -> None:
    body = {"type": "report", "input": {"n": 1}, "userId": "user-9", "sessionId": "s9"}
    answer = await worker.client.post(JOBS, json={**body, "jobId": "my-job"})
    path = f"{JOBS}/my-job"
    assert answer.status_code == 201
    assert answer.json() == {
        "jobId": "my-job",
        "statusUrl": f"{path}/status",
        "streamUrl": f"{path}/stream",
    }
    state = await state_of(redis_client, "my-job")
    assert (state["userId"], state["sessionId"], state["input"]) == ("user-9", "s9", '{"n":1}')
    for headers in ({"x-session-id": "s9"}, {"Authorization": f"Bearer {token('user-9')}"}):
        async with caller(service, headers) as client:
            assert (await status_of(client, "my-job"))["status"] == "queued"
            listed = (await call(client, "list")).json()["jobs"]
            assert [job["jobId"] for job in listed] == ["my-job"]


async def test_a_job_is_queued_unless_the_worker_runs_it_itself(
    worker: HttpWorker, redis_client: Redis
) -> None:
    body = {"type": "report", "userId": "u"}
    for given, queued in (({}, True), ({"queued": True}, True), ({"queued": False}, False)):
        answer = await worker.client.post(JOBS, json={**body, **given})
        job_id = answer.json()["jobId"]
        assert (f"{job_id}-1" in await waiting(redis_client)) is queued
    assert not await redis_client.exists("jobs:unconfirmed")


async def test_who_calls_with_the_worker_does_not_own_the_job(
    service: Service, redis_client: Redis
) -> None:
    given = worker_token(user="user-1", sub="user-2")
    async with HttpWorker(service, given) as worker:
        places: list[dict[str, Any]] = [
            {"headers": {"x-session-id": SESSION}},
            {"params": {"sessionId": SESSION}},
        ]
        for more in places:
            answer = await worker.client.post(JOBS, json={"type": "report"}, **more)
            assert answer.status_code == 400
            assert "userId" in answer.json()["message"]
            answer = await worker.client.post(JOBS, json={"type": "a", "userId": "u"}, **more)
            state = await state_of(redis_client, answer.json()["jobId"])
            assert (state["userId"], state.get("sessionId")) == ("u", None)


@pytest.mark.parametrize(
    ("body", "names"),
    [
        *(({"userId": value}, "userId") for value in ("", "u" * 256, 5)),
        *(({"sessionId": value}, "sessionId") for value in ("", " ", " s", "null", "undefined")),
        ({"sessionId": "s" * 256}, "sessionId"),
        *(({"jobId": value}, "jobId") for value in ("", "a b", "a" * 129, "{a}", "a:b", "a\n", 5)),
        *(({"queued": value}, "queued") for value in (None, 0, "false")),
        ({"type": ""}, "type"),
        ({"input": []}, "input"),
        ({"owner": "u"}, "owner"),
        ({"attempt": 1}, "attempt"),
    ],
)
async def test_a_wrong_field_is_a_400_that_names_it(
    worker: HttpWorker, redis_client: Redis, body: dict[str, Any], names: str
) -> None:
    given = {"type": "report", "userId": "u", **body}
    if "sessionId" in body:
        del given["userId"]
    answer = await worker.client.post(JOBS, json=given)
    assert (answer.status_code, answer.json()["code"]) == (400, "BAD_REQUEST")
    assert names in answer.json()["message"]
    assert await redis_client.keys("*") == []


@pytest.mark.parametrize("name", ["userId", "jobId", "queued"])
async def test_nobody_else_may_send_these_fields(
    service: Service, redis_client: Redis, name: str
) -> None:
    body = {"type": "report", name: False if name == "queued" else "x"}
    for headers in ({"x-session-id": SESSION}, {"Authorization": f"Bearer {token('user-1')}"}):
        async with caller(service, headers) as client:
            answer = await client.post(JOBS, json=body, params={"token": worker_token()})
            assert answer.status_code == 400
            assert name in answer.json()["message"]
    assert await job_ids(redis_client) == []


async def test_a_restricted_token_creates_no_other_jobs(
    service: Service, redis_client: Redis
) -> None:
    body = {"type": "report", "userId": "u"}
    for claims, wrong, right in (
        ({"jobType": "report"}, [{"type": "other"}], {}),
        ({"jobId": ["a", "b"]}, [{}, {"jobId": "c"}], {"jobId": "a"}),
    ):
        async with HttpWorker(service, worker_token(**claims)) as worker:
            for more in wrong:
                answer = await worker.client.post(JOBS, json={**body, **more})
                assert (answer.status_code, answer.json()["code"]) == (403, "FORBIDDEN")
            assert (await worker.client.post(JOBS, json={**body, **right})).status_code == 201
    assert len(await job_ids(redis_client)) == 2


async def test_an_id_that_is_taken_is_a_409_and_nothing_of_that_job_changes(
    worker: HttpWorker, jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    await jobs.create("report", user_id="another", job_id="taken")
    before = await state_of(redis_client, "taken")
    for owner in ({"userId": "another"}, {"userId": "u"}, {"sessionId": "s", "queued": False}):
        for headers in ({}, {"Idempotency-Key": f"k{owner}".encode().hex()}):
            body = {"type": "report", "jobId": "taken", **owner}
            answer = await worker.client.post(JOBS, json=body, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (409, "JOB_EXISTS")
    assert await state_of(redis_client, "taken") == before
    assert await waiting(redis_client) == []
    assert not await redis_client.exists("jobs:unconfirmed", "jobs:by-user:u", "jobs:by-session:s")


async def test_an_idempotency_key_makes_it_repeatable(
    service: Service, worker: HttpWorker, redis_client: Redis
) -> None:
    headers = {"Idempotency-Key": "k1"}
    for body in ({"type": "a", "userId": "u"}, {"type": "a", "userId": "v", "jobId": "mine"}):
        answers = [await worker.client.post(JOBS, json=body, headers=headers) for _ in range(3)]
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.json()["jobId"] for answer in answers}) == 1
        answer = await worker.client.post(JOBS, json={**body, "type": "b"}, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (409, "IDEMPOTENCY_CONFLICT")
    own = {"Authorization": f"Bearer {token('u')}"}
    async with caller(service, own) as client:
        answer = await call(client, "create", json={"type": "b"}, headers=headers)
        assert answer.status_code == 201  # a user's keys are the user's
    assert len(await job_ids(redis_client)) == 3


async def test_the_same_key_for_another_owner_is_another_key(worker: HttpWorker) -> None:
    found = set()
    for owner in ({"userId": "u:"}, {"userId": "u", "sessionId": ":"}, {"sessionId": "u:"}):
        body, headers = {"type": "a", **owner}, {"Idempotency-Key": "k"}
        answer = await worker.client.post(JOBS, json=body, headers=headers)
        assert answer.status_code == 201, owner
        found.add(answer.json()["jobId"])
    assert len(found) == 3


async def test_a_creation_that_was_interrupted_is_finished_by_its_repeat(
    worker: HttpWorker, redis_client: Redis
) -> None:
    body, headers = {"type": "a", "userId": "u", "jobId": "j"}, {"Idempotency-Key": "k"}
    await worker.client.post(JOBS, json=body, headers=headers)
    log = await log_of(redis_client, "j")
    (claim,) = await redis_client.keys("jobs:idempotency:*")
    text = str(await redis_client.get(claim))
    await redis_client.set(claim, text.replace("true", "false"))
    await redis_client.delete("jobs:by-user:u", *(await redis_client.keys("bull:*")))
    assert (await worker.client.post(JOBS, json=body, headers=headers)).status_code == 201
    assert await log_of(redis_client, "j") == log
    assert await waiting(redis_client) == ["j-1"]
    assert await redis_client.exists("jobs:by-user:u")


async def test_an_id_is_queued_again_when_its_job_has_expired(
    worker: HttpWorker, redis_client: Redis
) -> None:
    await finish(redis_client, "j-1", {"jobId": "j", "attempt": 1})
    body = {"type": "a", "userId": "u", "jobId": "j"}
    assert (await worker.client.post(JOBS, json=body)).status_code == 201
    assert await waiting(redis_client) == ["j-1"]


async def test_a_worker_runs_what_it_has_created_from_its_start_to_its_end(
    service: Service, worker: HttpWorker
) -> None:
    job_id, run = await worker.create(userId="u", input={"n": 1}), new_run()
    first = await worker.send(job_id, run, START)
    assert first["job"] == {"type": "report", "input": {"n": 1}}
    await worker.send(job_id, run, event(2, progress=50), event(3, "complete", result=1))
    async with service.client() as client:
        assert (await status_of(client, job_id))["result"] == 1
