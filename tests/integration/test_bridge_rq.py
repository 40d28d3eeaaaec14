"""The bridge as a process, and a real worker of RQ that knows nothing of Jobcast."""

import asyncio
import pickle
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest
from redis import Redis as BlockingRedis
from redis.asyncio import Redis
from rq import Queue, Retry
from rq.job import Job
from rq.serializers import JSONSerializer

from tests.integration.test_bridge_publications import STARTED, ended, events_of
from tests.support import plain_rq
from tests.support.bridge_process import BridgeProcess
from tests.support.queue_worker import QueueWorker
from tests.support.stored import cancel, listed_of, state_of
from tests.support.valkey import Valkey
from tests.support.waiting import eventually

FOLLOWS = "rq: following"
SETTINGS = {"JOBCAST_BRIDGE_RQ": "1", "JOBCAST_BRIDGE_OWNER": "meta.user, args.0"}
AN_HOUR = timedelta(hours=1)
CANCELLED = ("failed", {"error": "Cancelled", "errorCode": None})
NOTHING = {"currentStep": None, "estimatedTimeRemaining": None}


@pytest.fixture(scope="module")
def server() -> Iterator[Valkey]:
    with Valkey("--notify-keyspace-events", "Kghx") as running:
        yield running


@pytest.fixture(scope="module")
def bridges(server: Valkey) -> Iterator[list[BridgeProcess]]:
    """Return a bridge that leads; a test may put another in its place."""
    running = [BridgeProcess(server.url, **SETTINGS)]
    running[0].start()
    running[0].wait_for_log(FOLLOWS)
    yield running
    with running[0]:
        pass


@pytest.fixture(scope="module")
def worker(server: Valkey, bridges: list[BridgeProcess]) -> Iterator[QueueWorker]:
    arguments = ("worker", "--url", server.url, "--with-scheduler", "default")
    with QueueWorker("rq.cli", *arguments, ready="Listening on") as running:
        yield running


@pytest.fixture
def connection(server: Valkey) -> Iterator[BlockingRedis]:
    with BlockingRedis.from_url(server.url) as client:
        yield client


@pytest.fixture
def queue(connection: BlockingRedis, worker: QueueWorker) -> Queue:
    return Queue(connection=connection)


@pytest.fixture
async def redis(server: Valkey) -> AsyncIterator[Redis]:
    async with Redis.from_url(server.url, decode_responses=True) as client:
        yield client


def counted(current: int, total: int) -> tuple[str, dict[str, object]]:
    of_total = {"current": current, "total": total, "progress": 100 * current // total}
    return "progress-update", {**NOTHING, **of_total, "currentStep": "Ü"}


async def seen(redis: Redis, job_id: str, current: int, total: int) -> None:
    """Let the task go on when its count has been appended."""

    async def is_there() -> bool:
        return counted(current, total) in await events_of(redis, job_id)

    await eventually(is_there)
    await redis.rpush(f"seen:{job_id}", current)


async def test_a_job_shows_from_its_creation_to_its_result(queue: Queue, redis: Redis) -> None:
    job_id = str(queue.enqueue(plain_rq.report, "u1").id)
    for number in (1, 2):
        await seen(redis, job_id, number, 2)
    assert await ended(redis, job_id) == [
        ("step-change", STARTED),
        counted(1, 2),
        counted(2, 2),
        ("complete", {"result": {"count": 2}}),
    ]
    state = await state_of(redis, job_id)
    assert (state["userId"], state["type"]) == ("u1", "tests.support.plain_rq.report")


async def test_a_failed_job_fails_and_runs_again_in_a_next_attempt(
    queue: Queue, redis: Redis
) -> None:
    job = queue.enqueue(plain_rq.fail, "u1")
    once = [("step-change", STARTED), ("failed", {"error": "No disk", "errorCode": None})]
    assert await ended(redis, job.id) == once
    await redis.delete("jobs:by-user:u1")
    await asyncio.to_thread(job.requeue)

    async def has_failed_again() -> bool:
        return await events_of(redis, job.id) == once * 2

    await eventually(has_failed_again)
    assert (await state_of(redis, job.id))["attempt"] == "2"
    assert await listed_of(redis, "u1") == [job.id], "its owner's streams hear of it"


async def test_tries_of_rq_are_runs_of_one_attempt(queue: Queue, redis: Redis) -> None:
    job = queue.enqueue(plain_rq.fail, "u1", retry=Retry(max=1))
    events = await ended(redis, job.id)
    # What was over before it was looked at is not seen: RQ keeps only how things are.
    assert events[-1] == ("failed", {"error": "No disk", "errorCode": None})
    assert {name for name, _ in events[:-1]} == {"step-change"}
    assert (await state_of(redis, job.id))["attempt"] == "1"


async def test_a_cancelled_job_is_cancelled_and_stays_so(queue: Queue, redis: Redis) -> None:
    later = queue.enqueue_in(AN_HOUR, plain_rq.report, "u1")
    await eventually(lambda: exists(redis, later.id))
    await asyncio.to_thread(later.cancel)
    assert await ended(redis, later.id) == [CANCELLED]
    ours = queue.enqueue_in(AN_HOUR, plain_rq.report, "u1")
    await eventually(lambda: exists(redis, ours.id))
    await cancel(redis, ours.id)
    ours.meta["step"] = "x"
    await asyncio.to_thread(ours.save_meta)
    mark = queue.enqueue(plain_rq.fail, "u1")
    await ended(redis, mark.id)
    assert (await state_of(redis, ours.id))["attempt"] == "1"


async def test_a_job_that_is_deleted_before_its_start_is_cancelled(
    queue: Queue, redis: Redis
) -> None:
    waiting = queue.enqueue_in(AN_HOUR, plain_rq.report, "u1")
    await eventually(lambda: exists(redis, waiting.id))
    await asyncio.to_thread(waiting.delete)
    assert await ended(redis, waiting.id) == [CANCELLED]


async def test_a_job_whose_deletion_redis_did_not_notify_of_is_cancelled_as_well(
    queue: Queue, redis: Redis, connection: BlockingRedis
) -> None:
    waiting = queue.enqueue_in(AN_HOUR, plain_rq.report, "u1", job_id="DELETED-Unseen")
    await eventually(lambda: exists(redis, waiting.id))
    with connection.pipeline(transaction=True) as together:
        together.client_kill_filter(_type="pubsub")
        together.delete(waiting.key)
        together.execute()
    assert await ended(redis, waiting.id) == [CANCELLED]


async def exists(redis: Redis, job_id: str) -> bool:
    return bool(await state_of(redis, job_id))


class _Odd:
    """What can't be read without running its code."""


async def test_what_can_not_be_read_or_owned_is_left_out(
    queue: Queue, connection: BlockingRedis, redis: Redis, bridges: list[BridgeProcess]
) -> None:
    nobody = queue.enqueue(plain_rq.fail, None)
    by_meta = queue.enqueue(plain_rq.fail, None, meta={"user": 7, "step": "x"})
    odd = queue.enqueue(plain_rq.fail, "u1", meta={"user": "u1", "odd": _Odd()})
    of_json = Queue(connection=connection, serializer=JSONSerializer, name="other")
    in_json = of_json.enqueue(plain_rq.fail, "u2")
    for key, value in (("bad", b"\x80\x04bad"), ("list", pickle.dumps([])), ("worse", b"{")):
        fields: Any = {"status": "queued", "meta": value}
        await redis.hset(f"rq:job:{key}", mapping=fields)
    await redis.hset("rq:job:no id at all", mapping={"status": "queued"})
    await redis.set("rq:job:text", "x")
    await ended(redis, by_meta.id)
    await eventually(lambda: exists(redis, in_json.id))
    assert (await state_of(redis, by_meta.id))["userId"] == "7"
    assert (await state_of(redis, in_json.id))["userId"] == "u2"
    assert not await exists(redis, nobody.id)
    assert not await exists(redis, odd.id)
    bridges[0].wait_for_log(f"job {nobody.id}: without owner")
    bridges[0].wait_for_log(f"job {odd.id}: malformed")


async def test_what_happened_without_a_leader_is_made_up_for_by_the_next_one(
    server: Valkey, queue: Queue, redis: Redis, bridges: list[BridgeProcess]
) -> None:
    running = str(queue.enqueue(plain_rq.report, "u1", 3).id)
    await seen(redis, running, 1, 3)
    bridges[0].kill()
    waiting = str(queue.enqueue(plain_rq.fail, "u1").id)

    def has_second() -> bool:
        return bool(Job.fetch(running, queue.connection).get_meta().get("current") == 2)

    async def is_second() -> bool:
        return await asyncio.to_thread(has_second)

    await eventually(is_second)
    bridges[0] = BridgeProcess(server.url, **SETTINGS)
    bridges[0].start()
    for number in (2, 3):
        await seen(redis, running, number, 3)
    assert await ended(redis, running) == [
        ("step-change", STARTED),
        *(counted(number, 3) for number in (1, 2, 3)),
        ("complete", {"result": {"count": 3}}),
    ]
    await ended(redis, waiting)


async def test_a_redis_that_does_not_notify_is_named(server: Valkey) -> None:
    with Valkey() as silent, BridgeProcess(silent.url, **SETTINGS) as bridge:
        bridge.wait_for_log("CONFIG SET notify-keyspace-events Kghx")
