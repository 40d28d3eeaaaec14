"""An outage of Redis: every call says so in time, and what it left behind is settled."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import httpx
import pytest
from redis.asyncio import Redis

from tests.support.calls import CALLS, call, create, status_of
from tests.support.parts import parts
from tests.support.queued import left_over, waiting
from tests.support.service import Service
from tests.support.valkey import Valkey
from tests.support.waiting import SLACK_SECONDS, eventually

IN_TIME_SECONDS = 2 + SLACK_SECONDS  # 2 exactly: tests/unit/test_deadline.py
AWAY = {
    "success": False,
    "error": "Service unavailable",
    "message": "The service is temporarily unavailable",
    "code": "SERVICE_UNAVAILABLE",
}


@contextmanager
def killed(valkey: Valkey) -> Iterator[None]:
    valkey.kill()
    try:
        yield
    finally:
        valkey.start()


@contextmanager
def frozen(valkey: Valkey) -> Iterator[None]:
    valkey.pause()
    try:
        yield
    finally:
        valkey.resume()


Outage = Callable[[Valkey], AbstractContextManager[None]]
OUTAGES = pytest.mark.parametrize("outage", [killed, frozen])


@pytest.fixture
def own_valkey() -> Iterator[Valkey]:
    with Valkey() as running:
        yield running


@pytest.fixture
def own_service(own_valkey: Valkey) -> Iterator[Service]:
    with Service(own_valkey.url) as running:
        yield running


async def sweep(url: str) -> int:
    """Sweep as the service does some time later."""
    async with parts(url) as built:
        return await built.sweeper.sweep(0)


async def timed(client: httpx.AsyncClient, name: str, job_id: str) -> tuple[httpx.Response, float]:
    began = time.monotonic()
    answer = await call(client, name, job_id)
    return answer, time.monotonic() - began


@OUTAGES
async def test_every_call_says_in_time_that_redis_is_away(
    own_service: Service, own_valkey: Valkey, outage: Outage
) -> None:
    async with own_service.client() as client:
        job_id = await create(client)
        with outage(own_valkey):
            for _ in range(2):
                given = await asyncio.gather(*(timed(client, name, job_id) for name in CALLS))
                for answer, seconds in given:
                    assert (answer.status_code, answer.json()) == (503, AWAY)
                    assert 1 <= int(answer.headers["retry-after"]) <= 10
                    assert answer.headers["cache-control"] == "no-store"
                    assert seconds < IN_TIME_SECONDS
            for headers, status in (({"x-session-id": ""}, 401), ({}, 404)):
                assert (await call(client, "status", "a b", headers=headers)).status_code == status

        async def is_back() -> bool:
            return (await call(client, "status", job_id)).status_code == 200

        await eventually(is_back)
        assert {(await call(client, name, job_id)).status_code for name in ("list", "stream")} == {
            200
        }


@OUTAGES
async def test_what_could_not_be_created_is_not_half_there(
    own_service: Service, own_valkey: Valkey, outage: Outage
) -> None:
    key = {"Idempotency-Key": "key"}
    async with (
        own_service.client() as client,
        Redis.from_url(own_valkey.url, decode_responses=True) as redis,
    ):
        kept = await create(client)
        with outage(own_valkey):
            calls = [call(client, "create", headers=headers) for headers in (key, key, {}, {}, {})]
            given = await asyncio.gather(*calls)
            assert {answer.status_code for answer in given} == {503}

        async def settled() -> bool:
            await sweep(own_valkey.url)
            return await left_over(redis) == []

        await eventually(settled)
        assert (await status_of(client, kept))["status"] == "queued"
        assert await waiting(redis) == [f"{kept}-1"]
        again = await call(client, "create", headers=key)
        assert again.status_code == 201
        assert (await call(client, "create", headers=key)).json() == again.json()


async def until_refused(
    client: httpx.AsyncClient, name: str, ids: list[str], granted: list[str]
) -> None:
    """Make a call again and again until it is refused; note the jobs that it was granted for."""
    for job_id in ids:
        answer = await call(client, name, job_id)
        if answer.status_code == 503:
            break
        assert answer.status_code in {200, 201}
        granted.append(answer.json()["jobId"])


@pytest.mark.parametrize("name", ["create", "retry"])
@OUTAGES
async def test_an_outage_amid_many_calls_leaves_no_job_waiting_for_nobody(
    own_service: Service, own_valkey: Valkey, outage: Outage, name: str
) -> None:
    ids = [[""] * 10_000] * 6
    async with (
        own_service.client() as client,
        Redis.from_url(own_valkey.url, decode_responses=True) as redis,
    ):
        if name == "retry":
            ids = [[await create(client) for _ in range(25)] for _ in range(6)]
            for job_id in (job_id for some in ids for job_id in some):
                await call(client, "cancel", job_id)
        granted: list[str] = []

        async def is_in_the_midst() -> bool:
            return len(granted) >= 5

        calls = asyncio.gather(*(until_refused(client, name, some, granted) for some in ids))
        await eventually(is_in_the_midst)
        with outage(own_valkey):
            await calls

        async def settled() -> bool:
            await sweep(own_valkey.url)
            return await left_over(redis) == []

        await eventually(settled)
        for job_id in granted:
            assert (await status_of(client, job_id))["status"] == "queued"
