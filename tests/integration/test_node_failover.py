"""A run in Node whose Redis is replaced under it."""

import asyncio

import pytest

from tests.integration.test_sdk_failover import LOG, notes_on, until_replicated
from tests.support.node_worker import NodeWorker
from tests.support.sentinels import SentinelSet
from tests.support.valkey import HOST
from tests.support.valkey_cluster import SlotMove, ValkeyCluster

NOTES = ['{"n":1}', '{"n":2}', '{"n":3}']


async def note(worker: NodeWorker, number: int) -> None:
    assert await worker.call("emit", "note", {"n": number})


@pytest.mark.parametrize("how", ["dead", "frozen", "demoted"])
async def test_sentinels_replace_a_primary(sentinels: SentinelSet, how: str) -> None:
    url = f"{sentinels.url}?socket_timeout=2"
    async with NodeWorker(url, blockS=None, leaseS=None) as worker:
        await worker.started()
        await note(worker, 1)
        before = sentinels.primary()
        other = next(server for server in sentinels.servers if server is not before)
        until_replicated(before)
        if how == "dead":
            before.kill()
        elif how == "frozen":
            before.pause()
        else:  # its connections stay open
            before.ask("REPLICAOF", HOST, other.port)
        await note(worker, 2)
        await asyncio.to_thread(sentinels.until_ok)
        await note(worker, 3)
        await worker.call("complete")
        assert await worker.left() == 0
    assert notes_on(sentinels.primary()) == NOTES


async def test_a_sentinel_that_is_frozen_is_passed_over(sentinels: SentinelSet) -> None:
    sentinels.sentinels[0].pause()  # the first that the address names
    async with NodeWorker(sentinels.url, leaseS=None) as worker:
        await worker.started()
        await worker.call("complete")
        assert await worker.left() == 0


async def test_a_slot_moves_under_a_run(cluster: ValkeyCluster) -> None:
    async with NodeWorker(cluster.url, leaseS=None) as worker:
        await worker.started()
        with SlotMove(cluster, LOG) as move:
            await note(worker, 1)
            move.move_keys()
            await note(worker, 2)
        await note(worker, 3)
        await worker.call("complete")
        assert await worker.left() == 0
    assert cluster.owner_of(LOG) is move.target
    assert notes_on(move.target) == NOTES


@pytest.mark.parametrize("how", ["dead", "frozen"])
async def test_a_node_of_the_cluster_is_replaced_under_a_run(
    cluster: ValkeyCluster, how: str
) -> None:
    url = f"{cluster.url}?socket_timeout=2"
    async with NodeWorker(url, blockS=None, leaseS=None) as worker:
        await worker.started()
        await note(worker, 1)
        before = cluster.owner_of(LOG)
        until_replicated(before)
        if how == "dead":
            before.kill()
        else:
            before.pause()
        await note(worker, 2)
        await note(worker, 3)
        await worker.call("complete")
        assert await worker.left() == 0
    assert notes_on(cluster.owner_of(LOG)) == NOTES
