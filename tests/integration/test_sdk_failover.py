"""A run whose Redis is replaced under it."""

import asyncio
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

import jobcast
from jobcast.redis.connection import IDLE_S
from tests.support.sentinels import SentinelSet
from tests.support.valkey import HOST, Valkey
from tests.support.valkey_cluster import SlotMove, ValkeyCluster
from tests.support.waiting import after, eventually, until

LOG = "jobs:{j1}:log"
PATIENT = "?socket_timeout=20"


async def started(jobs: jobcast.Jobs) -> jobcast.Run:
    run = jobs.run(await jobs.create("report", user_id="u1", job_id="j1"))
    await run.start()
    return run


def notes_on(server: Valkey) -> list[str]:
    """Return the data of the run's own events in the log, in order."""
    with server.client() as client:
        log: Any = client.xrange(LOG)
    return [fields["data"] for _, fields in log if fields["event"] == "note"]


def refusals(server: Valkey, code: str) -> int:
    """Count the error replies of this kind."""
    with server.client() as client:
        stats: Any = client.info("errorstats")
    return int(stats.get(f"errorstat_{code}", {}).get("count", 0))


def until_replicated(primary: Valkey) -> None:
    """Wait until the replicas have what the primary has."""
    replicas = len(primary.ask("ROLE")[2])
    with primary.client() as client:
        client.set("{j1}", "written last")
        assert client.wait(replicas, 4000) == replicas


async def die(server: Valkey) -> None:
    """Kill a server that no call is under way to, nor was just now."""
    await asyncio.to_thread(server.kill)
    await after(2 * IDLE_S)


async def test_sentinels_replace_the_primary_in_good_order(sentinels: SentinelSet) -> None:
    async with jobcast.connect(sentinels.url + PATIENT) as jobs:
        run = await started(jobs)
        await run.emit("note", {"n": 1})
        await asyncio.to_thread(sentinels.failover)
        await run.emit("note", {"n": 2})
        await run.complete()
    assert notes_on(sentinels.primary()) == ['{"n":1}', '{"n":2}']


async def test_a_call_waits_until_sentinels_replace_a_dead_primary(sentinels: SentinelSet) -> None:
    async with jobcast.connect(sentinels.url + PATIENT) as jobs:
        run = await started(jobs)
        until_replicated(sentinels.primary())
        await die(sentinels.primary())
        await run.emit("note", {"n": 1})
        await run.complete()
    assert notes_on(sentinels.primary()) == ['{"n":1}']


async def test_a_primary_that_became_a_replica_is_left(sentinels: SentinelSet) -> None:
    before = sentinels.primary()
    earlier = refusals(before, "READONLY")  # of other tests
    other = next(server for server in sentinels.servers if server is not before)
    # No lease: its renewal would be refused as well, if the Sentinels take that long.
    async with jobcast.connect(sentinels.url + PATIENT, lease_s=None) as jobs:
        run = await started(jobs)
        until_replicated(before)
        # Nobody told the clients: their connections stay open.
        before.ask("REPLICAOF", HOST, other.port)
        await run.emit("note", {"n": 1})
        await run.complete()
    assert refusals(before, "READONLY") == earlier + 1
    sentinels.until_ok()
    assert notes_on(sentinels.primary()) == ['{"n":1}']


async def test_what_a_frozen_primary_did_not_answer_is_written_by_the_next_one(
    sentinels: SentinelSet,
) -> None:
    async with jobcast.connect(f"{sentinels.url}?socket_timeout=2", block_s=None) as jobs:
        run = await started(jobs)
        until_replicated(sentinels.primary())
        sentinels.primary().pause()
        assert await run.emit("note", {"n": 1})
        await asyncio.to_thread(sentinels.until_ok)
        await run.emit("note", {"n": 2})
        await run.complete()
    assert notes_on(sentinels.primary()) == ['{"n":1}', '{"n":2}']


async def test_without_sentinels_there_is_a_connection_error(sentinels: SentinelSet) -> None:
    url = sentinels.url.replace("/jobcast", "/another")

    async def is_said() -> bool:
        try:
            await jobs.run("j1").start()
        except RedisTimeoutError:
            return False  # the last try in its time was a slow one
        except RedisConnectionError as error:
            return str(error) == "no Sentinel knows a primary another"
        return False

    async with jobcast.connect(url, block_s=2) as jobs:
        await eventually(is_said)


async def test_a_slot_moves_under_a_run(cluster: ValkeyCluster) -> None:
    async with jobcast.connect(cluster.url + PATIENT) as jobs:
        run = await started(jobs)
        with SlotMove(cluster, LOG) as move:
            await run.emit("note", {"n": 1})
            move.move_keys()
            asked = refusals(move.source, "ASK")
            await run.emit("note", {"n": 2})
            assert refusals(move.source, "ASK") > asked
        moved = refusals(move.source, "MOVED")
        await run.emit("note", {"n": 3})
        await run.complete()
        assert refusals(move.source, "MOVED") == moved + 1
    assert cluster.owner_of(LOG) is move.target
    assert notes_on(move.target) == ['{"n":1}', '{"n":2}', '{"n":3}']


async def test_a_job_is_created_as_soon_as_its_slot_has_moved(cluster: ValkeyCluster) -> None:
    async with jobcast.connect(cluster.url + PATIENT) as jobs:
        with SlotMove(cluster, LOG) as move:
            refused = refusals(move.target, "TRYAGAIN")
            creating = asyncio.create_task(jobs.create("report", user_id="u1", job_id="j1"))

            async def is_refused() -> bool:
                return refusals(move.target, "TRYAGAIN") > refused

            await eventually(is_refused)
        assert await creating == "j1"
    assert move.target.ask("XLEN", LOG) == 1


async def test_a_replica_takes_a_slot_over_in_good_order(cluster: ValkeyCluster) -> None:
    async with jobcast.connect(cluster.url) as jobs:
        run = await started(jobs)
        replica = await asyncio.to_thread(cluster.failover, LOG)
        await run.emit("note", {"n": 1})
        await run.complete()
    assert notes_on(replica) == ['{"n":1}']


async def test_a_call_waits_until_a_replica_takes_over_from_a_dead_primary(
    cluster: ValkeyCluster,
) -> None:
    async with jobcast.connect(cluster.url + PATIENT) as jobs:
        run = await started(jobs)
        owner = cluster.owner_of(LOG)
        until_replicated(owner)
        await die(owner)
        await run.emit("note", {"n": 1})
        await run.complete()
    assert notes_on(cluster.owner_of(LOG)) == ['{"n":1}']


async def test_a_call_waits_for_a_cluster_that_is_down(cluster: ValkeyCluster) -> None:
    node = cluster.owner_of(LOG)
    lost = cluster.other_than(node)
    replica = cluster.replica_of(lost)
    async with jobcast.connect(cluster.url + PATIENT) as jobs:
        run = await started(jobs)
        replica.ask("CONFIG", "SET", "cluster-replica-no-failover", "yes")
        lost.kill()
        await until(lambda: node.knows("cluster_state:fail"))
        refused = refusals(node, "CLUSTERDOWN")
        call = asyncio.create_task(run.emit("note", {"n": 1}))
        await until(lambda: refusals(node, "CLUSTERDOWN") > refused)
        replica.ask("CONFIG", "SET", "cluster-replica-no-failover", "no")
        await call
        await run.complete()
    assert notes_on(node) == ['{"n":1}']


async def test_what_a_frozen_node_did_not_answer_is_written_by_its_replica(
    cluster: ValkeyCluster,
) -> None:
    async with jobcast.connect(f"{cluster.url}?socket_timeout=2", block_s=None) as jobs:
        run = await started(jobs)
        owner = cluster.owner_of(LOG)
        until_replicated(owner)
        owner.pause()
        assert await run.emit("note", {"n": 1})
        await asyncio.to_thread(cluster.until_ok)
        await run.emit("note", {"n": 2})
        await run.complete()
    assert notes_on(cluster.owner_of(LOG)) == ['{"n":1}', '{"n":2}']


async def test_nodes_that_do_not_know_their_address_are_where_they_were_found(
    cluster: ValkeyCluster,
) -> None:
    for node in cluster.nodes:
        node.ask("CONFIG", "SET", "cluster-preferred-endpoint-type", "unknown-endpoint")
    try:
        async with jobcast.connect(cluster.url) as jobs:
            run = await started(jobs)
            with SlotMove(cluster, LOG) as move:
                move.move_keys()
                await run.emit("note", {"n": 1})
            await run.complete()
    finally:
        for node in cluster.nodes:
            node.ask("CONFIG", "SET", "cluster-preferred-endpoint-type", "ip")
    assert notes_on(move.target) == ['{"n":1}']


async def test_any_node_tells_of_the_others(cluster: ValkeyCluster) -> None:
    nobody = f"redis+cluster://{HOST}:1,{HOST}:{cluster.nodes[-1].port}"
    async with jobcast.connect(nobody) as jobs:
        run = await started(jobs)
        await run.complete()
    assert cluster.owner_of(LOG).ask("XLEN", LOG) == 3
