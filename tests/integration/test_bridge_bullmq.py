"""The bridge as a process, and a queue of BullMQ with a worker that knows nothing of Jobcast."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from bullmq import Job, Queue, Worker
from redis.asyncio import Redis

import jobcast
from jobcast._connection import Connection
from jobcast.bridge.bullmq import BullMQ
from jobcast.bridge.jobs import BridgedJobs
from jobcast.bridge.leadership import Deposed, Leadership
from jobcast.bridge.notices import Notices
from jobcast.bridge.settings import Settings
from jobcast.redis.address import parse_address
from jobcast.redis.caller import Caller
from tests.integration.test_bridge_publications import STARTED, ended, events_of
from tests.support.bridge_process import STANDS_BY, BridgeProcess
from tests.support.service import SESSION
from tests.support.stored import ending_of, listed_of, log_of, state_of
from tests.support.valkey import Valkey
from tests.support.waiting import eventually

SETTINGS = {"JOBCAST_BRIDGE_BULLMQ": "render", "JOBCAST_BRIDGE_OWNER": "data.userId"}
OWNED = {"userId": "u1"}
STALLED = "The worker stalled, and the queue runs the job again"

Work = Callable[[Job], Awaitable[Any]]


@pytest.fixture(scope="module")
def valkey() -> Iterator[Valkey]:
    """Return a server that nobody empties, which would depose the bridge."""
    with Valkey() as running:
        yield running


@pytest.fixture
def redis_url(valkey: Valkey) -> str:
    return valkey.url


@pytest.fixture(scope="module")
def bridge(valkey: Valkey) -> Iterator[BridgeProcess]:
    with BridgeProcess(valkey.url, **SETTINGS) as running:
        running.wait_for_log("bullmq render: reading from 0-0")
        yield running


@pytest.fixture
async def queue(redis_client: Redis) -> Queue:
    options: Any = {"connection": redis_client}
    return Queue("render", options)


async def put(queue: Queue, data: Any, **options: Any) -> str:  # noqa: ANN401 - any JSON
    job = await queue.add("frame", data, options)
    return str(job.id)


@asynccontextmanager
async def working(redis: Redis, work: Work, **more: Any) -> AsyncIterator[None]:  # noqa: ANN401
    """Run a worker of BullMQ."""

    async def process(job: Job, _token: str) -> Any:  # noqa: ANN401 - any JSON
        return await work(job)

    options: Any = {"connection": redis, "drainDelay": 1, **more}
    worker = Worker("render", process, options)
    try:
        yield
    finally:
        await worker.close(force=True)


async def reporting(job: Job) -> Any:  # noqa: ANN401 - any JSON
    await job.updateProgress(20)
    await job.updateProgress({"percent": 60, "step": "Ü", "file": 3})
    return {"frames": 12}


async def failing(job: Job) -> Any:  # noqa: ANN401 - any JSON
    await job.updateProgress(20)
    raise RuntimeError("No disk")


NOTHING = {"currentStep": None, "estimatedTimeRemaining": None}
REPORTED = [
    ("step-change", STARTED),
    ("progress-update", {"progress": 20, **NOTHING}),
    ("progress-update", {**NOTHING, "progress": 60, "currentStep": "Ü", "file": 3}),
    ("complete", {"result": {"frames": 12}}),
]


async def test_a_job_of_the_queue_shows_from_its_creation_to_its_result(
    bridge: BridgeProcess, queue: Queue, redis_client: Redis
) -> None:
    counted = await put(queue, OWNED)
    named = await put(queue, OWNED, jobId="my.own-id")
    assert named == "my.own-id"
    await eventually(lambda: exists(redis_client, named))
    state = await state_of(redis_client, f"render-{counted}")
    assert (state["status"], state["userId"], state["type"]) == ("queued", "u1", "frame")
    async with working(redis_client, reporting):
        for job_id in (f"render-{counted}", named):
            assert await ended(redis_client, job_id) == REPORTED
    assert {f"render-{counted}", named} <= set(await listed_of(redis_client, "u1"))


async def exists(redis: Redis, job_id: str) -> bool:
    return bool(await state_of(redis, job_id))


async def test_a_failed_job_fails_and_its_tries_are_runs_of_one_attempt(
    bridge: BridgeProcess, queue: Queue, redis_client: Redis
) -> None:
    job_id = f"render-{await put(queue, OWNED, attempts=2)}"
    async with working(redis_client, failing):
        events = await ended(redis_client, job_id)
    once = [("step-change", STARTED), ("progress-update", {"progress": 20, **NOTHING})]
    assert events == [*once, *once, ("failed", {"error": "No disk", "errorCode": None})]
    assert (await state_of(redis_client, job_id))["attempt"] == "1"


async def test_a_job_that_the_queue_runs_again_after_its_failure_has_a_next_attempt(
    bridge: BridgeProcess, queue: Queue, redis_client: Redis
) -> None:
    bull_id = await put(queue, OWNED)
    job_id = f"render-{bull_id}"
    async with working(redis_client, failing):
        await ended(redis_client, job_id)
    await redis_client.delete("jobs:by-user:u1")
    job = await Job.fromId(queue, bull_id)
    await job.retry("failed")
    async with working(redis_client, reporting):
        await eventually(lambda: has_succeeded(redis_client, job_id))
    assert await listed_of(redis_client, "u1") == [job_id], "its owner's streams hear of it"
    assert (await state_of(redis_client, job_id))["attempt"] == "2"
    assert (await events_of(redis_client, job_id))[-4:] == REPORTED


async def has_succeeded(redis: Redis, job_id: str) -> bool:
    return (await ending_of(redis, job_id))[0] == "succeeded"


async def test_a_job_without_an_owner_is_ignored_and_one_that_exists_keeps_its_own(
    bridge: BridgeProcess, queue: Queue, jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    await jobs.create("mine", session_id=SESSION, job_id="created-before")
    await put(queue, {"nobody": 1}, jobId="ownerless")
    await put(queue, {"nobody": 1}, jobId="created-before")
    await put(queue, {"nobody": 1}, jobId="no id of a job")
    async with working(redis_client, reporting):
        assert await ended(redis_client, "created-before") == REPORTED
        state = await state_of(redis_client, "created-before")
        assert (state["sessionId"], state["type"]) == (SESSION, "mine")
        assert not await exists(redis_client, "ownerless")
    bridge.wait_for_log("job ownerless: without owner")
    bridge.wait_for_log("bullmq render job no id of a job: malformed")
    assert bridge.log.count("job ownerless: without owner") == 1


async def test_a_job_that_is_removed_before_it_ran_fails(
    bridge: BridgeProcess, queue: Queue, redis_client: Redis
) -> None:
    bull_id = await put(queue, OWNED)
    job_id = f"render-{bull_id}"
    await eventually(lambda: exists(redis_client, job_id))
    job = await Job.fromId(queue, bull_id)
    await job.remove()
    events = await ended(redis_client, job_id)
    assert events == [("failed", {"error": "Removed from the queue", "errorCode": "REMOVED"})]


async def test_what_is_no_event_of_a_job_harms_nothing(
    bridge: BridgeProcess, queue: Queue, redis_client: Redis
) -> None:
    job_id = f"render-{await put(queue, OWNED)}"
    stream, bull_id = "bull:render:events", job_id.removeprefix("render-")
    odd: list[Any] = [
        {"x": "y"},
        {"event": "active"},
        {"event": "nonsense", "jobId": bull_id},
        {"event": "progress", "jobId": bull_id},
        {"event": "progress", "jobId": bull_id, "data": "{"},
        {"event": "progress", "jobId": bull_id, "data": "null"},
        {"event": "progress", "jobId": bull_id, "data": "[" * 100_000},
        {"event": "progress", "jobId": b"\xff", "data": b"\xff"},
        {"event": "active", "jobId": "x" * 200},
        {"event": "waiting", "jobId": bull_id, "prev": "failed"},
        {"event": "completed", "jobId": "unknown", "returnvalue": "1"},
    ]
    for fields in odd:
        await redis_client.xadd(stream, fields)
    for event in ("active", "stalled"):
        await redis_client.xadd(stream, {"event": event, "jobId": bull_id})
    await redis_client.set("bull:render:a-string", "x")
    await redis_client.xadd(stream, {"event": "active", "jobId": "a-string"})
    too_long = f'"{"x" * 1024 * 1024}"'
    await redis_client.xadd(
        stream, {"event": "completed", "jobId": bull_id, "returnvalue": too_long}
    )
    assert await ended(redis_client, job_id) == [
        ("step-change", STARTED),
        ("log", {"text": STALLED, "level": "warning"}),
        ("complete", {"result": None}),
    ]


async def test_a_worker_that_appends_by_itself_is_left_alone(
    bridge: BridgeProcess, queue: Queue, jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    job_id = await jobs.create("mine", session_id=SESSION)

    async def appending(_job: Job) -> Any:  # noqa: ANN401 - any JSON
        async with jobs.run(job_id) as run:
            await run.emit("note", {"n": 1})
        return 1

    await put(queue, {"nobody": 1}, jobId=job_id)
    async with working(redis_client, appending):
        events = await ended(redis_client, job_id)
    assert [name for name, _ in events][-2:] == ["note", "complete"]
    assert events[-1] == ("complete", {"result": None})


async def stream_work(redis: Redis, first: int, last: int) -> None:
    """Write what BullMQ writes of a job that it runs twice and then once more."""
    for number in range(first, last):
        for _ in range(3):
            fields: Any = {"event": "progress", "jobId": "1", "data": str(number)}
            await redis.xadd("bull:render:events", fields)
        await asyncio.sleep(0)


async def test_a_leader_that_was_suspended_with_nobody_to_replace_it_goes_on() -> None:
    with Valkey() as server, BridgeProcess(server.url, **SETTINGS) as bridge:
        async with Redis.from_url(server.url, decode_responses=True) as redis:
            bridge.wait_for_log("reading from 0-0")
            bridge.send(signal.SIGSTOP)

            async def has_lost_its_lease() -> bool:
                return not await redis.exists("jobs:{bridge:bridge}:leader")

            await eventually(has_lost_its_lease)
            await begin(redis)
            bridge.send(signal.SIGCONT)
            await end(redis)
            assert len(await ended(redis, "render-1")) == 2


async def test_a_restart_of_redis_loses_nothing() -> None:
    with Valkey() as server, BridgeProcess(server.url, **SETTINGS) as bridge:
        bridge.wait_for_log("reading from 0-0")
        async with Redis.from_url(server.url, decode_responses=True) as redis:
            await begin(redis)
            await stream_work(redis, 0, 40)
            server.kill()
            await redis.connection_pool.disconnect()
            server.start()
            await stream_work(redis, 40, 100)
            await end(redis)
            await is_whole(redis)


async def begin(redis: Redis) -> None:
    await redis.hset("bull:render:1", mapping={"name": "x", "data": '{"userId": "u"}'})
    for event in ("added", "active"):
        await redis.xadd("bull:render:events", {"event": event, "jobId": "1"})


async def end(redis: Redis) -> None:
    done: Any = {"event": "completed", "jobId": "1", "returnvalue": "1"}
    await redis.xadd("bull:render:events", done)


async def is_whole(redis: Redis) -> None:
    events = await ended(redis, "render-1")
    reached = [data["progress"] for name, data in events if name == "progress-update"]
    assert reached == [number for number in range(100) for _ in range(3)]
    assert [name for name, _ in events].count("step-change") == 1
    assert len(await log_of(redis, "render-1")) == 303


@pytest.mark.parametrize("kills", [1, 3])
async def test_killed_leaders_lose_nothing_and_append_nothing_twice(kills: int) -> None:
    with Valkey() as server:
        bridges = [BridgeProcess(server.url, **SETTINGS) for _ in range(2)]
        async with Redis.from_url(server.url, decode_responses=True) as redis:
            bridges[0].start()
            bridges[0].wait_for_log("reading from 0-0")
            await begin(redis)
            bridges[1].start()
            bridges[1].wait_for_log(STANDS_BY)
            for turn in range(kills):
                await stream_work(redis, 100 * turn // kills, 100 * (turn + 1) // kills)
                bridges[0].kill()
                bridges.append(bridges.pop(0))
                bridges[1] = BridgeProcess(server.url, **SETTINGS)
                bridges[1].start()
            await end(redis)
            await is_whole(redis)
            with bridges[0], bridges[1]:
                pass


class DyingLeadership(Leadership):
    """The leadership of a bridge that dies as it would store a position."""

    dies_at = ""

    async def keep_position(self, source: str, position: str) -> None:
        if position == self.dies_at:
            raise Deposed
        await super().keep_position(source, position)


async def lead(url: str, dies_at: str) -> None:
    """Lead until this position is to be stored."""
    settings = Settings.from_environment({**SETTINGS, "REDIS_URL": url})
    connection, caller = Connection(url), Caller(parse_address(url))
    leadership = DyingLeadership(connection, settings.name, lease_s=60)
    leadership.dies_at = dies_at
    notices = Notices()
    jobs = BridgedJobs(connection, leadership, settings.owner_rule, settings.bounds, notices)
    await leadership.take()
    try:
        with pytest.raises(Deposed):
            await BullMQ("render", caller, jobs, leadership, notices).lead()
    finally:
        await leadership.release()
        await connection.aclose()
        await caller.aclose()


async def test_a_leader_that_dies_after_a_retry_leaves_none_to_the_next_one() -> None:
    with Valkey() as server:
        async with Redis.from_url(server.url, decode_responses=True) as redis:
            first = await redis.xadd("bull:render:events", {"event": "drained"})
            await redis.hset("jobs:{bridge:bridge}:position:bullmq render", "at", first)
            await begin(redis)
            events: list[Any] = [
                {"event": "failed", "jobId": "1", "failedReason": "No disk"},
                {"event": "waiting", "jobId": "1", "prev": "failed"},
                {"event": "removed", "jobId": "1", "prev": "wait"},
            ]
            for fields in events:
                last = str(await redis.xadd("bull:render:events", fields))
            await lead(server.url, dies_at=last)
            await lead(server.url, dies_at=last)
            names = [entry["event"] for _, entry in await log_of(redis, "render-1")]
            assert names == ["_created", "step-change", "failed", "_retried", "failed"]
