"""Whatever others have written to the keys of a bridge, it leads and goes on."""

import asyncio
import pickle
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

import pytest
from redis.asyncio import Redis

from jobcast._connection import Connection
from jobcast._event import completed, failed, started
from jobcast.bridge.bullmq import BullMQ
from jobcast.bridge.jobs import BridgedJobs
from jobcast.bridge.leadership import Deposed, Leadership
from jobcast.bridge.notices import Notices
from jobcast.bridge.owners import OwnerRule, parse_paths
from jobcast.bridge.rq import RQ
from jobcast.protocol.append import Bounds
from jobcast.redis.caller import Caller
from tests.support.waiting import eventually

FENCE, LEADER = "jobs:{bridge:b}:fence", "jobs:{bridge:b}:leader"
POSITION = "jobs:{bridge:b}:position:bullmq q"
JUNK = ["", "abc", "-5", "1.5", "1e999", "nan", "9223372036854775807", "9" * 400]
BOUNDS = Bounds(3600, 1000, 1024 * 1024)


@pytest.fixture
async def connection(redis_url: str) -> AsyncIterator[Connection]:
    connected = Connection(redis_url)
    yield connected
    await connected.aclose()


@pytest.fixture
def leadership(connection: Connection) -> Leadership:
    return Leadership(connection, "b", lease_s=60)


@pytest.mark.parametrize("junk", JUNK)
async def test_a_bridge_leads_whatever_the_number_of_the_last_leader_is(
    redis_client: Redis, leadership: Leadership, junk: str
) -> None:
    await redis_client.set(FENCE, junk)
    assert await leadership.take()
    first = leadership.fence
    assert await leadership.take()
    assert leadership.fence == first
    await leadership.keep_position("s", "1-0")
    assert await leadership.position("s") == "1-0"


async def test_a_leader_whose_number_was_lost_goes_on_from_where_it_was(
    redis_client: Redis, connection: Connection, leadership: Leadership
) -> None:
    await redis_client.set(FENCE, 57)
    await leadership.take()
    await leadership.keep_position("s", "1-0")
    await leadership.release()
    await redis_client.delete(FENCE)
    other = Leadership(connection, "b", lease_s=60)
    await other.take()
    await other.keep_position("s", "2-0")
    assert await other.position("s") == "2-0"


async def test_a_leader_that_no_lease_ends_is_replaced(
    redis_client: Redis, leadership: Leadership
) -> None:
    await redis_client.set(LEADER, "somebody")
    assert await leadership.take()


async def test_a_position_of_a_later_leader_is_kept(
    connection: Connection, leadership: Leadership
) -> None:
    other = Leadership(connection, "b", lease_s=60)
    await leadership.take()
    await leadership.release()
    await other.take()
    await other.keep_position("s", "2-0")
    leadership.fence = other.fence - 1
    with pytest.raises(Deposed):
        await leadership.keep_position("s", "1-0")
    assert await leadership.position("s") == "2-0"


@pytest.mark.parametrize("junk", JUNK)
async def test_the_position_is_kept_whatever_the_number_beside_it_is(
    redis_client: Redis, leadership: Leadership, junk: str
) -> None:
    await redis_client.hset(POSITION, mapping={"fence": junk, "at": "1-0"})
    await leadership.take()
    await leadership.keep_position("bullmq q", "2-0")
    assert await leadership.position("bullmq q") == "2-0"


def bridged(connection: Connection, leadership: Leadership) -> BridgedJobs:
    rule = OwnerRule(user=parse_paths("data.user args.0"))
    return BridgedJobs(connection, leadership, rule, BOUNDS, Notices())


@asynccontextmanager
async def leading(source: BullMQ | RQ) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(source.lead())
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("junk", ["junk", b"\xff", "1-18446744073709551616", "-", "$"])
async def test_a_queue_is_read_on_from_its_end_if_the_position_is_unreadable(
    redis_client: Redis,
    connection: Connection,
    leadership: Leadership,
    caller: Caller,
    junk: str | bytes,
) -> None:
    await redis_client.hset(POSITION, mapping={"at": junk})
    await leadership.take()

    async def has_begun() -> bool:
        return bool(await redis_client.hexists(POSITION, "fence"))

    source = BullMQ("q", caller, bridged(connection, leadership), leadership, Notices())
    async with leading(source):
        await eventually(has_begun, 10)
        await redis_client.hset("bull:q:j1", "data", '{"user":"u1"}')
        await redis_client.xadd("bull:q:events", {"event": "active", "jobId": "j1"})
        await eventually(lambda: exists(redis_client, "jobs:{j1}:state"), 10)


async def test_one_job_of_rq_that_nothing_can_be_made_of_does_not_hold_up_the_others(
    redis_client: Redis, connection: Connection, leadership: Leadership, caller: Caller
) -> None:
    await redis_client.config_set("notify-keyspace-events", "Kghx")
    await leadership.take()
    source = RQ(caller, bridged(connection, leadership), leadership, Notices())
    for name, user in (("a", 10**5000), ("b", "u1")):  # Python makes no text of such a number
        called = zlib.compress(pickle.dumps((None, None, (user,), {})))
        await redis_client.hset(f"rq:job:{name}", "status", "queued")
        await redis_client.hset(f"rq:job:{name}", mapping={"data": called, "enqueued_at": "2026"})
        source._changed[name] = None
    async with leading(source):
        await eventually(lambda: exists(redis_client, "jobs:{b}:state"), 10)
    assert not await exists(redis_client, "jobs:{a}:state")


async def exists(redis: Redis, key: str) -> bool:
    return await redis.exists(key) == 1


UNREADABLE_META = {
    "nothing that is progress": pickle.dumps({"progress": "soon"}),
    "an object": pickle.dumps({"since": datetime(2026, 1, 1, tzinfo=UTC)}),
    "no dict": pickle.dumps([1]),
    "junk": b"{",
}


@pytest.mark.parametrize("meta", UNREADABLE_META)
async def test_a_job_of_rq_whose_meta_is_unreadable_is_followed_to_its_end(
    redis_client: Redis,
    connection: Connection,
    leadership: Leadership,
    caller: Caller,
    meta: str,
) -> None:
    await redis_client.config_set("notify-keyspace-events", "Kghx")
    await leadership.take()
    jobs = bridged(connection, leadership)
    await jobs.create("a", {"data": {"user": "u1"}}, "report")  # when it could be read
    source = RQ(caller, jobs, leadership, Notices())
    called = zlib.compress(pickle.dumps((None, None, ("u1",), {})))
    await redis_client.hset("rq:job:a", mapping={"data": called, "meta": UNREADABLE_META[meta]})
    for name, value in (("enqueued_at", "2099"), ("started_at", "2099"), ("status", "finished")):
        await redis_client.hset("rq:job:a", name, value)
    source._changed["a"] = None

    async def has_ended() -> bool:
        return await redis_client.hget("jobs:{a}:state", "status") == "succeeded"

    async with leading(source):
        await eventually(has_ended, 10)


async def test_an_end_that_is_too_large_for_its_job_ends_it_without_its_result(
    redis_client: Redis, connection: Connection, leadership: Leadership
) -> None:
    await leadership.take()
    jobs = bridged(connection, leadership)
    for job_id, end in (("a", completed("x" * 2000)), ("b", failed("x" * 2000, None))):
        await jobs.create(job_id, {"data": {"user": "u1"}}, "report")
        await redis_client.hset(f"jobs:{{{job_id}}}:state", "maxEventBytes", "1024")
        await jobs.append(job_id, started(None), 1, "r1", 1)
        await jobs.append(job_id, end, 1, "r1", 2)
    assert await redis_client.hmget("jobs:{a}:state", "status", "result") == ["succeeded", None]
    assert await redis_client.hmget("jobs:{b}:state", "status", "error") == ["failed", "x" * 64]
