"""Listing one's own jobs, page by page."""

import base64
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

import jobcast
from tests.support.calls import call, create, status_of
from tests.support.service import SESSION, Service, token

KEYS = [
    *("jobId", "type", "status", "progress", "currentStep", "estimatedTimeRemaining"),
    *("error", "errorCode", "attempt", "createdAt", "updatedAt"),
]


async def page(client: httpx.AsyncClient, **params: Any) -> tuple[list[str], str | None]:  # noqa: ANN401
    answer = await call(client, "list", params=params)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert list(body) == ["jobs", "cursor"]
    return [job["jobId"] for job in body["jobs"]], body["cursor"]


async def pages(client: httpx.AsyncClient, limit: int) -> list[list[str]]:
    ids, cursor = await page(client, limit=limit)
    found = [ids]
    while cursor is not None:
        ids, cursor = await page(client, limit=limit, cursor=cursor)
        found.append(ids)
    return found


async def several(client: httpx.AsyncClient, count: int) -> list[str]:
    """Create jobs and return their ids, newest first."""
    ids = [await create(client, type=f"type-{number}") for number in range(count)]
    return ids[::-1]


async def test_nobody_has_no_jobs_at_first(service: Service) -> None:
    async with service.client() as client:
        answer = await call(client, "list")
    assert answer.json() == {"jobs": [], "cursor": None}
    assert answer.headers["cache-control"] == "no-store"


async def test_a_listed_job_is_its_status_with_its_type_and_without_its_result(
    service: Service, jobs: jobcast.Jobs
) -> None:
    async with service.client() as client:
        done, failed, running, _ = ids = await several(client, 4)
        async with jobs.run(done) as run:
            run.result = {"large": "x" * 1000}
        async with jobs.run(failed) as run:
            await run.fail("No paper", code="NO_PAPER")
        async with jobs.run(running) as run:
            await run.progress(40, "Writing…", eta=2.5, phase="x")
            listed = (await call(client, "list")).json()["jobs"]
            statuses = [await status_of(client, job_id) for job_id in ids]
    assert [list(job) for job in listed] == [KEYS] * 4
    assert [job.pop("type") for job in listed] == [f"type-{number}" for number in (3, 2, 1, 0)]
    for status in statuses:
        del status["result"]
    assert listed == statuses
    assert [job["status"] for job in listed] == ["succeeded", "failed", "running", "queued"]


async def test_everyone_sees_their_own_jobs_newest_first(
    service: Service, jobs: jobcast.Jobs
) -> None:
    owners = {
        "user": {"Authorization": f"Bearer {token('user-1')}"},
        "namesake": {"Authorization": f"Bearer {token(SESSION)}"},
        "session": {"x-session-id": SESSION},
    }
    expected: dict[str, list[str]] = {name: [] for name in owners}
    async with service.client(None) as client:
        for _ in range(3):
            for name, headers in owners.items():
                answer = await call(client, "create", headers=headers)
                expected[name].insert(0, answer.json()["jobId"])
        for name, headers in owners.items():
            client.headers = httpx.Headers(headers)
            assert await page(client) == (expected[name], None)
        client.headers = httpx.Headers({**owners["user"], **owners["session"]})
        both, _ = await page(client)
        assert sorted(both) == sorted(expected["user"] + expected["session"])
        of_both = await create(client)
        assert await page(client) == ([of_both, *both], None)
        assert [ids for found in await pages(client, 2) for ids in found] == [of_both, *both]
        for name in ("user", "session"):
            client.headers = httpx.Headers(owners[name])
            assert await page(client) == ([of_both, *expected[name]], None)


async def test_jobs_that_a_worker_creates_are_listed_too(
    service: Service, jobs: jobcast.Jobs
) -> None:
    job_id = await jobs.create("anything", session_id=SESSION, job_id="Own.Id")
    async with service.client() as client:
        assert await page(client) == ([job_id], None)


@pytest.mark.parametrize(
    ("limit", "sizes"), [(1, [1] * 7), (2, [2, 2, 2, 1]), (3, [3, 3, 1]), (7, [7]), (100, [7])]
)
async def test_pages_hold_each_job_once(service: Service, limit: int, sizes: list[int]) -> None:
    async with service.client() as client:
        expected = await several(client, 7)
        found = await pages(client, limit)
    assert [job_id for ids in found for job_id in ids] == expected
    assert [len(ids) for ids in found] == sizes


async def test_a_page_holds_20_jobs_unless_told_and_100_at_the_most(
    service: Service, jobs: jobcast.Jobs
) -> None:
    for _ in range(101):
        await jobs.create("anything", session_id=SESSION)
    async with service.client() as client:
        assert len((await page(client))[0]) == 20
        assert [len(ids) for ids in await pages(client, 100)] == [100, 1]


async def test_jobs_that_come_meanwhile_do_not_shift_the_pages(service: Service) -> None:
    async with service.client() as client:
        expected = await several(client, 4)
        first, cursor = await page(client, limit=2)
        await several(client, 3)
        second, _ = await page(client, limit=2, cursor=cursor)
    assert first + second == expected


async def test_an_empty_cursor_is_the_beginning(service: Service) -> None:
    async with service.client() as client:
        expected = await several(client, 2)
        assert await page(client, cursor="") == (expected, None)


@pytest.mark.parametrize(
    "limit",
    [
        *("0", "101", "-1", "x", "", "1.5", "1e1", " 5", "٣", "9" * 5000),
        *("000000001999", "000000001" + "0" * 5000),
    ],
)
async def test_a_limit_out_of_bounds_is_a_400_that_names_it(service: Service, limit: str) -> None:
    async with service.client() as client:
        answer = await call(client, "list", params={"limit": limit})
    assert (answer.status_code, answer.json()["code"]) == (400, "BAD_REQUEST")
    assert answer.json()["message"] == "limit: a whole number from 1 to 100"


def encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        *("x", "%%%", "ä", "A" * 5000, "-", encoded("+"), encoded("[1732382400000:x")),
        *(encoded("1732382400000"), encoded("173238240000:x"), encoded("1732382400000:")),
        *(encoded("1732382400000:a b"), encoded("١٧٣٢٣٨٢٤٠٠٠٠٠:x"), encoded("173238240000000:x")),
        encoded(f"1732382400000:{'x' * 129}"),
    ],
)
async def test_a_cursor_that_no_listing_gave_is_a_400_that_names_it(
    service: Service, cursor: str
) -> None:
    async with service.client() as client:
        answer = await call(client, "list", params={"cursor": cursor})
    assert (answer.status_code, answer.json()["code"]) == (400, "BAD_REQUEST")
    assert answer.json()["message"].startswith("cursor: ")


async def test_the_cursor_of_another_shows_nothing_of_theirs(service: Service) -> None:
    async with service.client("another") as another:
        await several(another, 2)
        _, cursor = await page(another, limit=1)
    async with service.client() as client:
        assert await page(client, cursor=cursor) == ([], None)
        own = await several(client, 2)
        assert (await page(client))[0] == own
        _, cursor = await page(client, limit=1)
    async with service.client("another") as another:
        assert len((await page(another, cursor=cursor))[0]) == 2


async def test_an_expired_job_is_listed_no_more(service: Service, redis_client: Redis) -> None:
    async with service.client() as client:
        ids = await several(client, 6)
        for job_id in ids[1:4]:
            await redis_client.delete(f"jobs:{{{job_id}}}:log", f"jobs:{{{job_id}}}:state")
        kept = [ids[0], *ids[4:]]
        assert await page(client, limit=3) == (kept, None)
        assert await redis_client.zcard(f"jobs:by-session:{SESSION}") == 3
        assert [found for found in await pages(client, 1) if found] == [[one] for one in kept]


async def test_a_job_in_the_wrong_list_is_not_shown(
    service: Service, redis_client: Redis, jobs: jobcast.Jobs
) -> None:
    foreign = await jobs.create("anything", session_id="another")
    members: Any = await redis_client.zrange("jobs:by-session:another", 0, -1)
    await redis_client.zadd(f"jobs:by-session:{SESSION}", dict.fromkeys(members, 0))
    async with service.client() as client:
        own = await create(client)
        assert foreign not in (await page(client))[0]
        assert await page(client) == ([own], None)
