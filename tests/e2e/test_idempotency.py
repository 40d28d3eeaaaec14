"""``Idempotency-Key``: asking twice creates once."""

import asyncio
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

import jobcast
from tests.support.calls import call
from tests.support.queued import waiting
from tests.support.service import SESSION, Service, token

BODY = {"type": "report", "input": {"pages": 3, "of": {"a": 1, "b": [1, 2]}}}


async def post(
    client: httpx.AsyncClient,
    key: str | None,
    body: Any = BODY,  # noqa: ANN401 - any JSON
    **headers: str,
) -> httpx.Response:
    if key is not None:
        headers["Idempotency-Key"] = key
    return await call(client, "create", json=body, headers=headers)


async def test_a_repeat_gets_the_same_answer_and_creates_nothing(
    service: Service, redis_client: Redis
) -> None:
    async with service.client() as client:
        first, *repeats = [await post(client, "key") for _ in range(4)]
        assert first.status_code == 201
        for repeat in repeats:
            assert (repeat.status_code, repeat.content) == (201, first.content)
            assert repeat.headers["location"] == first.headers["location"]
        listed = (await call(client, "list")).json()["jobs"]
    assert [job["jobId"] for job in listed] == [first.json()["jobId"]]
    assert await waiting(redis_client) == [f"{first.json()['jobId']}-1"]


async def test_without_a_key_every_call_creates(service: Service, redis_client: Redis) -> None:
    async with service.client() as client:
        answers = [await post(client, None) for _ in range(3)]
    assert len({answer.json()["jobId"] for answer in answers}) == 3
    assert len(await waiting(redis_client)) == 3


@pytest.mark.parametrize(
    "other",
    [
        {**BODY, "type": "another"},
        {"type": "report"},
        {"type": "report", "input": {}},
        {"type": "report", "input": {"pages": "3", "of": {"a": 1, "b": [1, 2]}}},
        {"type": "report", "input": {"pages": 3, "of": {"a": 1, "b": [2, 1]}}},
    ],
)
async def test_another_body_under_the_same_key_is_a_conflict(
    service: Service, redis_client: Redis, other: dict[str, Any]
) -> None:
    async with service.client() as client:
        first = await post(client, "key")
        answer = await post(client, "key", other)
        assert (answer.status_code, answer.json()["code"]) == (409, "IDEMPOTENCY_CONFLICT")
        assert list(answer.json()) == ["success", "error", "message", "code"]
        assert answer.json()["error"] == "Conflict"
        assert "Idempotency-Key" in answer.json()["message"]
        assert (await post(client, "key")).content == first.content
    assert len(await waiting(redis_client)) == 1


async def test_the_same_body_in_another_spelling_is_the_same(service: Service) -> None:
    spelling = b'{ "input": {"of":{"b":[1,2],"a":1}, "pages":3}, "type":"\\u0072eport" }'
    async with service.client() as client:
        first = await post(client, "key")
        again = await call(
            client, "create", json=None, content=spelling, headers={"Idempotency-Key": "key"}
        )
    assert (again.status_code, again.content) == (201, first.content)


async def test_a_refused_body_does_not_use_up_its_key(service: Service) -> None:
    async with service.client() as client:
        assert (await post(client, "key", {"type": ""})).status_code == 400
        assert (await post(client, "key")).status_code == 201


async def test_the_key_of_another_owner_is_another_key(service: Service) -> None:
    owners = [
        {"x-session-id": "a"},
        {"x-session-id": "b"},
        {"Authorization": f"Bearer {token('a')}"},
        {"Authorization": f"Bearer {token('b')}"},
        {"Authorization": f"Bearer {token('session:a')}"},
    ]
    async with service.client(None) as client:
        answers = [await post(client, "key", **owner) for owner in owners]
        ids = [answer.json()["jobId"] for answer in answers]
        assert len(set(ids)) == len(owners)
        for owner, job_id in zip(owners, ids, strict=True):
            assert (await post(client, "key", **owner)).json()["jobId"] == job_id
            assert (await post(client, "key", {"type": "x"}, **owner)).status_code == 409


async def test_a_users_key_is_the_same_in_every_session(service: Service) -> None:
    user = {"Authorization": f"Bearer {token('a')}"}
    async with service.client(None) as client:
        first = await post(client, "key", **user)
        second = await post(client, "key", **user, **{"x-session-id": "another"})
    assert first.content == second.content


async def test_repeats_at_the_same_time_create_one_job(
    service: Service, redis_client: Redis
) -> None:
    async with service.client() as client:
        for key in ("a", "b", "c"):
            await redis_client.flushall()
            answers = await asyncio.gather(*(post(client, key) for _ in range(15)))
            assert {answer.status_code for answer in answers} == {201}
            (job_id,) = {answer.json()["jobId"] for answer in answers}
            assert await waiting(redis_client) == [f"{job_id}-1"]
            listed = (await call(client, "list")).json()["jobs"]
            assert [job["jobId"] for job in listed] == [job_id]
            assert await redis_client.xlen(f"jobs:{{{job_id}}}:log") == 1
            assert await redis_client.exists("jobs:unconfirmed") == 0


async def test_of_different_bodies_at_the_same_time_one_wins(
    service: Service, redis_client: Redis
) -> None:
    async with service.client() as client:
        bodies = [{"type": f"type-{number}"} for number in range(8)]
        answers = await asyncio.gather(*(post(client, "key", body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    assert len(await waiting(redis_client)) == 1


async def test_a_repeat_does_not_run_a_job_again(
    service: Service, redis_client: Redis, jobs: jobcast.Jobs
) -> None:
    async with service.client() as client:
        job_id = (await post(client, "key")).json()["jobId"]
        await redis_client.delete("bull:jobcast:wait", f"bull:jobcast:{job_id}-1")
        async with jobs.run(job_id):
            assert (await post(client, "key")).json()["jobId"] == job_id
            assert await waiting(redis_client) == []
        assert (await post(client, "key")).json()["jobId"] == job_id
        assert await waiting(redis_client) == []
        cancelled = (await post(client, "other")).json()["jobId"]
        await call(client, "cancel", cancelled)
        assert (await post(client, "other")).json()["jobId"] == cancelled
        assert await waiting(redis_client) == []


@pytest.mark.parametrize("key", ["", "k" * 256])
async def test_a_key_of_no_or_too_many_characters_is_a_400(service: Service, key: str) -> None:
    async with service.client() as client:
        headers = [("Idempotency-Key", key), ("x-session-id", SESSION)]
        answer = await client.post("/api/v1/jobs", json=BODY, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "BAD_REQUEST")
        assert answer.json()["message"].startswith("Idempotency-Key: ")
        assert (await post(client, "k" * 255)).status_code == 201


async def test_different_keys_of_one_call_are_a_400(service: Service) -> None:
    async with service.client() as client:
        for keys, status in ((("a", "b"), 400), (("a", ""), 400), (("a", "a"), 201)):
            headers = [*(("Idempotency-Key", key) for key in keys), ("x-session-id", SESSION)]
            answer = await client.post("/api/v1/jobs", json=BODY, headers=headers)
            assert answer.status_code == status
            if status == 400:
                assert answer.json()["message"] == "Idempotency-Key: one, not several"


async def test_a_key_counts_for_a_day(service: Service, redis_client: Redis) -> None:
    async with service.client() as client:
        first = await post(client, "key")
        (name,) = await redis_client.keys("jobs:idempotency:*")
        assert 86_300 < await redis_client.ttl(name) <= 86_400
        await redis_client.delete(name)
        assert (await post(client, "key")).json() != first.json()


async def test_a_repeat_after_the_job_has_expired_does_not_run_it_again(
    service: Service, redis_client: Redis
) -> None:
    async with service.client() as client:
        first = await post(client, "key")
        job_id = first.json()["jobId"]
        await redis_client.delete(f"jobs:{{{job_id}}}:log", f"jobs:{{{job_id}}}:state")
        assert (await post(client, "key")).content == first.content
        assert (await call(client, "status", job_id)).status_code == 404
