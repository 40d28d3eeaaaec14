"""The bridge as a process, and a real worker of Celery that knows nothing of Jobcast."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from celery import Celery
from redis.asyncio import Redis

from tests.integration.test_bridge_publications import STARTED, ended, events_of
from tests.support import plain_celery
from tests.support.bridge_process import BridgeProcess
from tests.support.queue_worker import QueueWorker
from tests.support.stored import state_of
from tests.support.valkey import Valkey
from tests.support.waiting import eventually

FOLLOWS = "celery: following"
NOTHING = {"currentStep": None, "estimatedTimeRemaining": None}


@pytest.fixture(scope="module")
def server() -> Iterator[Valkey]:
    with Valkey() as running:
        yield running


@pytest.fixture(scope="module")
def settings(server: Valkey) -> dict[str, str]:
    return {
        "JOBCAST_BRIDGE_CELERY": server.url,
        "JOBCAST_BRIDGE_OWNER": "kwargs.user_id, args.0",
    }


@pytest.fixture(scope="module")
def bridges(server: Valkey, settings: dict[str, str]) -> Iterator[list[BridgeProcess]]:
    """Return a leader and one that stands by; a test may kill them and put others there."""
    running = [BridgeProcess(server.url, **settings) for _ in range(2)]
    for bridge in running:
        bridge.start()
        bridge.wait_for_log(FOLLOWS)
    yield running
    for bridge in running:
        with bridge:
            pass


@pytest.fixture(scope="module")
def worker(server: Valkey, bridges: list[BridgeProcess]) -> Iterator[QueueWorker]:
    arguments = ("-A", "tests.support.plain_celery", "worker", "-c", "1", "-l", "info")
    with QueueWorker(
        "celery",
        *arguments,
        "--without-mingle",
        "--without-gossip",
        ready=" ready.",
        REDIS_URL=server.url,
    ) as running:
        yield running


@pytest.fixture
def app(server: Valkey, worker: QueueWorker) -> Celery:
    plain_celery.app.conf.broker_url = server.url
    return plain_celery.app


@pytest.fixture
async def redis(server: Valkey) -> AsyncIterator[Redis]:
    async with Redis.from_url(server.url, decode_responses=True) as client:
        yield client


async def sent(app: Celery, name: str, *args: Any, **kwargs: Any) -> str:  # noqa: ANN401
    task = f"tests.support.plain_celery.{name}"
    return str((await asyncio.to_thread(app.send_task, task, args, kwargs)).id)


async def test_a_task_shows_from_its_delivery_to_its_result(app: Celery, redis: Redis) -> None:
    by_name = await sent(app, "report", user_id="u1")
    by_place = await sent(app, "report", "u2", count=1)
    assert await ended(redis, by_name) == [
        ("step-change", STARTED),
        ("progress-update", counted(1, 2)),
        ("progress-update", counted(2, 2)),
        ("complete", {"result": {"count": 2}}),
    ]
    await ended(redis, by_place)
    states = [await state_of(redis, job_id) for job_id in (by_name, by_place)]
    assert [state["userId"] for state in states] == ["u1", "u2"]
    assert states[0]["type"] == "tests.support.plain_celery.report"


def counted(current: int, total: int) -> dict[str, object]:
    of_total = {"current": current, "total": total, "progress": 100 * current // total}
    return {**NOTHING, **of_total, "currentStep": "Ü"}


async def test_a_task_that_is_tried_again_and_fails_is_one_attempt_of_two_runs(
    app: Celery, redis: Redis
) -> None:
    job_id = await sent(app, "fail", user_id="u1")
    events = await ended(redis, job_id)
    # The worker may take the task again before it says that it will be tried again.
    assert events.count(("step-change", STARTED)) == 2
    assert ("log", {"text": "Will be tried again: No disk", "level": "warning"}) in events
    assert events[-1] == ("failed", {"error": "No disk", "errorCode": None})
    assert len(events) == 4
    assert (await state_of(redis, job_id))["attempt"] == "1"


async def test_a_revoked_task_is_cancelled(app: Celery, redis: Redis) -> None:
    job_id = await sent(app, "wait", user_id="u1", key="never")
    await eventually(lambda: runs(redis, job_id))
    app.control.revoke(job_id, terminate=True)
    events = await ended(redis, job_id)
    assert events == [
        ("step-change", STARTED),
        ("failed", {"error": "Cancelled", "errorCode": None}),
    ]


async def runs(redis: Redis, job_id: str) -> bool:
    return (await state_of(redis, job_id)).get("status") == "running"


async def test_a_task_without_an_owner_and_what_is_no_event_are_left_out(
    app: Celery, redis: Redis, bridges: list[BridgeProcess]
) -> None:
    with app.events.default_dispatcher() as dispatcher:
        for fields in ({}, {"uuid": 4}, {"uuid": "x", "timestamp": "y"}, {"uuid": "no id"}):
            dispatcher.send("task-progress", **fields)
        dispatcher.send("task-progress", uuid="unknown", progress="x")
        dispatcher.send("worker-progress", uuid="unknown")
    job_id = await sent(app, "report", user_id=None)
    mark = await sent(app, "report", user_id="u1")
    await ended(redis, mark)
    assert await state_of(redis, job_id) == {}
    assert any(f"job {job_id}: without owner" in bridge.log for bridge in bridges)


async def test_a_killed_leader_loses_nothing_and_nothing_is_appended_twice(
    app: Celery, redis: Redis, bridges: list[BridgeProcess]
) -> None:
    job_id = await sent(app, "wait", user_id="u1", key="feed")
    bridges.sort(key=lambda bridge: bridge.leads)
    for percent in range(30):
        await redis.rpush("feed", percent)
    await eventually(lambda: runs(redis, job_id))
    leader = bridges.pop()
    leader.kill()
    for percent in range(30, 60):
        await redis.rpush("feed", percent)
    await redis.rpush("feed", "end")
    events = await ended(redis, job_id)
    assert bridges[0].leads
    assert [data["progress"] for name, data in events if name == "progress-update"] == [*range(60)]
    assert [name for name, _ in events].count("step-change") == 1
    assert events[-1] == ("complete", {"result": "ended"})
    assert await events_of(redis, job_id) == events
