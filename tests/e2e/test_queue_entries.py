"""What the service puts into the queue, and takes out of it."""

from collections.abc import Awaitable, Callable

import pytest
from redis.asyncio import Redis

import jobcast
from tests.support.calls import call, create, status_of
from tests.support.queued import (
    delay,
    entry,
    finish,
    make_parent,
    pause,
    place_of,
    prioritise,
    take,
    waiting,
)
from tests.support.service import SESSION, Service
from tests.support.sse import watch
from tests.support.valkey import Valkey
from tests.support.waiting import eventually
from tests.support.working import until_idle, working
from worker.registry import Registry


async def test_an_entry_names_the_job_its_attempt_and_its_type_and_no_more(
    service: Service, redis_client: Redis
) -> None:
    async with service.client() as client:
        job_id = await create(client, type="report é", input={"secret": "x"})
    assert await waiting(redis_client) == [f"{job_id}-1"]
    expected = ("report é", {"jobId": job_id, "attempt": 1})
    assert await entry(redis_client, f"{job_id}-1") == expected
    assert await redis_client.exists("jobs:unconfirmed") == 0


async def test_jobs_wait_in_the_order_in_which_they_came(
    service: Service, redis_client: Redis
) -> None:
    async with service.client() as client:
        ids = [await create(client) for _ in range(5)]
    assert await waiting(redis_client) == [f"{job_id}-1" for job_id in ids]


async def test_the_queue_can_be_another(valkey: Valkey, redis_client: Redis) -> None:
    with Service(valkey.url, JOBCAST_QUEUE="reports") as service:
        async with service.client() as client:
            job_id = await create(client)
            assert await waiting(redis_client, "reports") == [f"{job_id}-1"]
            assert not await redis_client.keys("bull:jobcast:*")
            await call(client, "cancel", job_id)
            assert await waiting(redis_client, "reports") == []


async def test_a_cancelled_job_leaves_the_queue(service: Service, redis_client: Redis) -> None:
    async with service.client() as client:
        first, second = await create(client), await create(client)
        await call(client, "cancel", first)
    assert await waiting(redis_client) == [f"{second}-1"]
    assert await entry(redis_client, f"{first}-1") is None


async def lose_data(redis: Redis, entry_id: str) -> None:
    """Leave the id of an entry in its list and no more, as an eviction does."""
    await redis.delete(f"bull:jobcast:{entry_id}")


WAYS: dict[str, tuple[Callable[[Redis, str], Awaitable[None]], str]] = {
    "prioritised": (prioritise, "prioritized"),
    "delayed": (delay, "delayed"),
    "paused": (lambda redis, _: pause(redis), "waiting"),
    "has children": (make_parent, "waiting-children"),
    "without data": (lose_data, "waiting"),
}
"""How an entry may wait, and what BullMQ calls that."""


@pytest.mark.parametrize("way", WAYS)
async def test_a_cancelled_job_leaves_the_queue_however_it_waits(
    service: Service, redis_client: Redis, way: str
) -> None:
    prepare, place = WAYS[way]
    async with service.client() as client:
        job_id = await create(client)
        await prepare(redis_client, f"{job_id}-1")
        assert await place_of(redis_client, f"{job_id}-1") == place
        assert (await call(client, "cancel", job_id)).json() == {"cancelled": True}
        assert await place_of(redis_client, f"{job_id}-1") == "unknown"
        assert await entry(redis_client, f"{job_id}-1") is None

        assert (await call(client, "retry", job_id)).status_code == 200
        assert await waiting(redis_client) == [f"{job_id}-2"]


async def test_what_an_entry_waits_for_stays_when_its_job_is_cancelled(
    service: Service, redis_client: Redis
) -> None:
    async with service.client() as client:
        job_id = await create(client)
        await make_parent(redis_client, f"{job_id}-1")
        await call(client, "cancel", job_id)
    assert await place_of(redis_client, "child", "pages") == "waiting"


@pytest.mark.parametrize("locked", [True, False], ids=["locked", "its worker was lost"])
async def test_an_entry_that_a_worker_has_stays_when_its_job_is_cancelled(
    service: Service, redis_client: Redis, *, locked: bool
) -> None:
    async with service.client() as client:
        job_id = await create(client)
        await take(redis_client, f"{job_id}-1")
        if not locked:
            await redis_client.delete(f"bull:jobcast:{job_id}-1:lock")
        assert (await call(client, "cancel", job_id)).json() == {"cancelled": True}
    assert await place_of(redis_client, f"{job_id}-1") == "active"


async def test_a_job_that_waits_for_its_time_is_never_run_once_it_was_cancelled(
    service: Service, redis_url: str, redis_client: Redis
) -> None:
    registry, ran = Registry(), []

    @registry.job("report")
    async def report(run: jobcast.Run) -> None:
        ran.append((run.job_id, run.attempt))

    async with service.client() as client:
        job_id = await create(client)
        await delay(redis_client, f"{job_id}-1")
        await call(client, "cancel", job_id)
        await call(client, "retry", job_id)
        async with working(redis_url, registry), watch(service.url, job_id) as stream:
            await stream.until("complete")
            await until_idle(redis_client)
    assert ran == [(job_id, 2)]


async def test_a_retry_is_queued_though_an_earlier_job_of_the_same_id_had_that_attempt(
    service: Service, redis_client: Redis, jobs: jobcast.Jobs
) -> None:
    await finish(redis_client, "nightly-2", {"jobId": "nightly", "attempt": 2})
    await jobs.create("report", session_id=SESSION, job_id="nightly")
    async with service.client() as client:
        await call(client, "cancel", "nightly")
        assert (await call(client, "retry", "nightly")).status_code == 200
    assert await waiting(redis_client) == ["nightly-2"]


async def test_a_retry_waits_under_an_id_that_the_queue_has_not_seen(
    service: Service, redis_client: Redis
) -> None:
    async with service.client() as client:
        job_id = await create(client)
        for attempt in (2, 3, 4):
            await call(client, "cancel", job_id)
            assert (await call(client, "retry", job_id)).status_code == 200
            assert await waiting(redis_client) == [f"{job_id}-{attempt}"]
            data = {"jobId": job_id, "attempt": attempt}
            assert await entry(redis_client, f"{job_id}-{attempt}") == ("report", data)
    assert await redis_client.exists("jobs:unconfirmed") == 0


async def test_a_refused_cancel_or_retry_changes_nothing_in_the_queue(
    service: Service, redis_client: Redis
) -> None:
    async with service.client() as client:
        job_id = await create(client)
        assert (await call(client, "retry", job_id)).status_code == 400
        assert await waiting(redis_client) == [f"{job_id}-1"]
        await call(client, "cancel", job_id)
        assert (await call(client, "cancel", job_id)).status_code == 400
    assert await waiting(redis_client) == []
    assert await redis_client.exists("jobs:unconfirmed") == 0


async def test_a_failed_job_really_runs_again(
    service: Service, redis_url: str, redis_client: Redis
) -> None:
    registry, attempts = Registry(), []

    @registry.job("report")
    async def report(run: jobcast.Run) -> object:
        attempts.append(run.attempt)
        if len(attempts) < 3:
            raise ValueError("No paper")
        return {"attempts": len(attempts)}

    async with service.client() as client, working(redis_url, registry):
        job_id = await create(client)
        for attempt in (1, 2):

            async def failed(attempt: int = attempt) -> bool:
                status = await status_of(client, job_id)
                return status["status"] == "failed" and len(attempts) == attempt

            await eventually(failed)
            assert (await call(client, "retry", job_id)).json() == {"jobId": job_id}
        async with watch(service.url, job_id) as stream:
            assert (await stream.until("complete"))[-1].data == {"result": {"attempts": 3}}
        await until_idle(redis_client)
    assert attempts == [1, 2, 3]


async def test_a_job_that_was_cancelled_in_the_queue_is_never_run(
    service: Service, redis_url: str, redis_client: Redis
) -> None:
    registry, ran = Registry(), []

    @registry.job("report")
    async def report(run: jobcast.Run) -> None:
        ran.append(run.job_id)

    async with service.client() as client:
        cancelled, kept = await create(client), await create(client)
        await call(client, "cancel", cancelled)
        async with working(redis_url, registry), watch(service.url, kept) as stream:
            await stream.until("complete")
            await until_idle(redis_client)
        assert (await status_of(client, cancelled))["error"] == "Cancelled"
    assert ran == [kept]


async def test_a_running_job_keeps_its_entry_when_it_is_cancelled(
    service: Service, redis_url: str, redis_client: Redis
) -> None:
    registry, seen = Registry(), []

    @registry.job("report")
    async def report(run: jobcast.Run) -> None:
        async with service.client() as client:
            assert (await call(client, "cancel", run.job_id)).json() == {"cancelled": True}
        seen.append(await entry(redis_client, f"{run.job_id}-1"))
        await run.progress(50)
        pytest.fail("the worker was not told to stop")

    async with service.client() as client, working(redis_url, registry):
        job_id = await create(client)
        async with watch(service.url, job_id) as stream:
            ended = (await stream.until("failed"))[-1]
        await until_idle(redis_client)
    assert ended.data == {"error": "Cancelled", "errorCode": None}
    assert seen == [("report", {"jobId": job_id, "attempt": 1})]
