"""Two bridges, one leader: nothing is lost or appended twice when the leader dies or wakes up."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis

import jobcast
from tests.integration.test_bridge_publications import SETTINGS, ended, has_note, numbers
from tests.support.bridge_process import APPENDS, FOLLOWS, STANDS_BY, BridgeProcess, publish
from tests.support.service import SESSION
from tests.support.valkey import Valkey
from tests.support.waiting import eventually, until

Pair = tuple[BridgeProcess, BridgeProcess]


@pytest.fixture
def server() -> Iterator[Valkey]:
    with Valkey() as running:
        yield running


@pytest.fixture
async def redis_client(server: Valkey) -> AsyncIterator[Redis]:
    async with Redis.from_url(server.url, decode_responses=True) as client:
        yield client


@pytest.fixture
async def jobs(server: Valkey) -> AsyncIterator[jobcast.Jobs]:
    async with jobcast.connect(server.url) as connected:
        yield connected


@pytest.fixture
def pair(server: Valkey) -> Iterator[Pair]:
    """Return a leader, and another bridge that stands by."""
    leader = BridgeProcess(server.url, **SETTINGS)
    other = BridgeProcess(server.url, **SETTINGS)
    server.ask("SET", "jobs:bridge", 1, "PX", 10_000)  # as if a bridge had led just now
    leader.start()  # both at once, to spare the time
    with other, leader:
        first, second = (leader, other) if leader.leads else (other, leader)
        second.wait_for_log(STANDS_BY)
        first.wait_for_log(APPENDS)
        yield first, second


async def work(redis: Redis, job_id: str, first: int, last: int) -> None:
    """Publish numbers, and between them what is always the same."""
    for number in range(first, last):
        await publish(redis, job_id, "note", {"n": number})
        await publish(redis, job_id, "same", {})
        await publish(redis, job_id, "progress-update", {"progress": 50})
        await asyncio.sleep(0)


async def is_whole(redis: Redis, job_id: str, count: int) -> None:
    events = await ended(redis, job_id)
    assert numbers(events) == list(range(count))
    names = [name for name, _ in events]
    assert names == ["step-change", *["note", "same", "progress-update"] * count, "complete"]


async def test_what_a_killed_leader_left_is_appended_by_the_next_one_and_nothing_twice(
    pair: Pair, jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    leader, other = pair
    job_ids = [await jobs.create("report", session_id=SESSION) for _ in range(3)]
    await asyncio.gather(*(work(redis_client, job_id, 0, 40) for job_id in job_ids))
    leader.send(signal.SIGKILL)
    await asyncio.gather(*(work(redis_client, job_id, 40, 100) for job_id in job_ids))
    for job_id in job_ids:
        await publish(redis_client, job_id, "complete", {"result": 1})
    for job_id in job_ids:
        await is_whole(redis_client, job_id, 100)
    assert other.leads


async def test_a_leader_that_was_suspended_appends_nothing_when_it_wakes_up(
    pair: Pair, jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    leader, other = pair
    job_id = await jobs.create("report", session_id=SESSION)
    await work(redis_client, job_id, 0, 10)
    leader.send(signal.SIGSTOP)
    await work(redis_client, job_id, 10, 50)
    await until(lambda: other.leads)
    await eventually(lambda: has_note(redis_client, job_id, 49))
    leader.send(signal.SIGCONT)
    leader.wait_for_log("not leading any more")
    await work(redis_client, job_id, 50, 60)
    await publish(redis_client, job_id, "complete", {"result": 1})
    await is_whole(redis_client, job_id, 60)


async def test_a_leader_that_is_stopped_hands_over_at_once(
    pair: Pair, jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    leader, other = pair
    job_id = await jobs.create("report", session_id=SESSION)
    await work(redis_client, job_id, 0, 10)
    leader.send(signal.SIGTERM)
    await work(redis_client, job_id, 10, 30)
    await publish(redis_client, job_id, "complete", {"result": 1})
    await is_whole(redis_client, job_id, 30)
    assert leader.wait() == 0
    assert other.leads


async def test_a_restart_of_redis_is_survived(
    server: Valkey, pair: Pair, jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    job_id = await jobs.create("report", session_id=SESSION)
    await work(redis_client, job_id, 0, 30)
    server.kill()
    server.start()
    for bridge in pair:
        await until(lambda each=bridge: each.log.count(FOLLOWS) == 2)  # type: ignore[misc]
    await redis_client.connection_pool.disconnect()
    await work(redis_client, job_id, 30, 40)
    await publish(redis_client, job_id, "complete", {"result": 1})
    events = numbers(await ended(redis_client, job_id))
    # What Redis had not sent when it was killed is lost; what it had is there once and in order.
    assert events == sorted(set(events))
    assert events[-10:] == list(range(30, 40))
