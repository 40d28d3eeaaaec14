"""An index that others have replaced or disturbed costs nobody a job, a run or a list."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

import jobcast
import jobcast.sync
from app.upkeep.stalled_runs import StalledRuns
from eventlog import creation_records, index, leases
from eventlog.append import Appender
from eventlog.bridge_watch import BridgeWatch
from eventlog.complaints import Complaints
from eventlog.leases import Leases
from jobcast._connection import Connection
from jobcast.bridge.leadership import Leadership
from jobcast.bridge.presence import Presence
from jobcast.redis.caller import Caller
from schema.http import CreateJob
from schema.owner import Owner
from tests.support.node_worker import NodeWorker
from tests.support.parts import parts
from tests.support.stored import listed_of, state_of

OF_USER, OF_SESSION = "jobs:by-user:u1", "jobs:by-session:s1"
UNCONFIRMED, LEASES = "jobs:unconfirmed", "jobs:leases"
ME = Owner("u1", "s1")

Damage = Callable[[Redis, str], Awaitable[Any]]
DAMAGES: dict[str, Damage] = {
    "string": lambda redis, key: redis.set(key, "x"),
    "hash": lambda redis, key: redis.hset(key, "a", "b"),
}


@pytest.fixture(params=DAMAGES)
async def damage(request: pytest.FixtureRequest, redis_client: Redis) -> Callable[..., Any]:
    async def damage(*keys: str) -> None:
        for key in keys:
            await DAMAGES[request.param](redis_client, key)

    return damage


@pytest.fixture(autouse=True)
def _nothing_was_logged_before(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (index, leases, creation_records):
        monkeypatch.setattr(module, "complaints", Complaints())


async def test_the_library_creates_starts_and_retries(
    damage: Callable[..., Any], jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    await damage(OF_USER, LEASES)
    await jobs.create("report", user_id="u1", job_id="j1")
    assert await listed_of(redis_client, "u1") == ["j1"]
    run = jobs.run("j1")
    await run.start()
    assert await redis_client.type(LEASES) == "zset"
    await run.fail("No paper")
    await redis_client.delete(OF_USER)
    await damage(OF_USER)
    await jobs.retry("j1")
    assert await listed_of(redis_client, "u1") == ["j1"]


async def test_the_blocking_library_creates_and_starts(
    damage: Callable[..., Any], redis_url: str, redis_client: Redis
) -> None:
    await damage(OF_USER, LEASES)
    with jobcast.sync.connect(redis_url) as jobs:
        jobs.create("report", user_id="u1", job_id="j1")
        jobs.run("j1").start()
    assert await listed_of(redis_client, "u1") == ["j1"]


async def test_the_library_for_node_creates_and_starts(
    damage: Callable[..., Any], redis_url: str, redis_client: Redis
) -> None:
    await damage(OF_USER, LEASES)
    async with NodeWorker(redis_url) as worker:
        await worker.started("j1")
        await worker.call("complete")
    assert await listed_of(redis_client, "u1") == ["j1"]


async def test_the_service_creates_lists_and_sweeps(
    damage: Callable[..., Any],
    redis_url: str,
    redis_client: Redis,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with parts(redis_url) as service:
        first = await service.jobs.create(ME, CreateJob("report", {}), None)
        await redis_client.delete(OF_USER)
        await damage(OF_USER, UNCONFIRMED)
        for _ in range(2):
            assert [job.job_id for job in (await service.jobs.page(ME, 20, None)).jobs] == [first]
            assert await service.sweeper.sweep(30) == 0
        said = [record.message for record in caplog.records if record.levelno >= logging.INFO]
        assert len(said) == 2, said
        assert "WRONGTYPE" in said[0]
        assert OF_USER in said[0]
        assert UNCONFIRMED in said[1]
        second = await service.jobs.create(ME, CreateJob("report", {}), None)
        assert await listed_of(redis_client, "u1") == [second]
        assert await redis_client.zcard(UNCONFIRMED) == 0


async def test_one_index_that_is_none_keeps_no_stale_entry_in_the_other(
    damage: Callable[..., Any], redis_url: str, redis_client: Redis
) -> None:
    await damage(OF_USER)
    await redis_client.zadd(OF_SESSION, {"0000000000001:gone": 0})
    async with parts(redis_url) as service:
        assert not (await service.jobs.page(ME, 20, None)).jobs
    assert await redis_client.zcard(OF_SESSION) == 0


async def test_lost_workers_are_looked_for_again_once_the_index_is_one(
    damage: Callable[..., Any], caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    await damage(LEASES)
    for _ in range(2):
        await StalledRuns(Leases(caller), Appender(caller), 0).check()
    assert [record.levelname for record in caplog.records] == ["ERROR"]


async def test_a_bridge_leads_and_is_seen(
    damage: Callable[..., Any], redis_url: str, caller: Caller
) -> None:
    prefix = "jobs:{bridge:b}"
    await damage("jobs:bridge", f"{prefix}:leader", f"{prefix}:fence", f"{prefix}:position:s")
    connection, watch = Connection(redis_url), BridgeWatch(caller)
    leadership = Leadership(connection, "b", lease_s=60)
    await watch.check()
    assert not watch.is_bridged()
    assert await leadership.take()
    assert await leadership.position("s") in {None, ""}
    await leadership.keep_position("s", "1-0")
    assert await leadership.position("s") == "1-0"
    presence = Presence(connection, 60)
    await presence.announce()
    await watch.check()
    assert watch.is_bridged() == presence.is_active
    await connection.aclose()


@pytest.mark.parametrize("limit", [1, 2, 20])
async def test_a_member_with_another_score_hides_no_job(
    redis_url: str, redis_client: Redis, jobs: jobcast.Jobs, limit: int
) -> None:
    names = [await jobs.create("report", user_id="u1", job_id=f"j{n}") for n in range(4)]
    member: Any = (await redis_client.zrange(OF_USER, 0, 0))[0]
    odd: dict[Any, Any] = {"zzz": -5, "0": "-inf", b"\xed\xa0\xbd": 1e300, member: "inf"}
    await redis_client.zadd(OF_USER, odd)
    found, cursor = list[str](), None
    async with parts(redis_url) as service:
        for _ in range(2 * len(names)):  # else it would never end
            page = await service.jobs.page(Owner("u1", None), limit, cursor)
            found += [job.job_id for job in page.jobs]
            cursor = page.cursor
            if cursor is None:
                break
    assert found == names[::-1]
    assert await redis_client.zcount(OF_USER, 0, 0) == await redis_client.zcard(OF_USER) == 4
    assert (await state_of(redis_client, "j0"))["status"] == "queued"
