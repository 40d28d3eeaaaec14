"""A Cluster of which a part is away: the rest is served, and all of it once it is back."""

import asyncio
import socket
from contextlib import ExitStack
from unittest.mock import AsyncMock

import pytest
from redis.asyncio.cluster import ClusterNode
from redis.crc import key_slot
from redis.exceptions import NoPermissionError

from eventlog.cluster import Cluster
from eventlog.cluster_subscriptions import ClusterSubscriptions
from eventlog.connection import Client, available, connect
from eventlog.errors import LogUnavailable
from eventlog.subscriber_connection import SubscriberConnection
from eventlog.topology import topology_of
from tests.support.channel_server import Recorder
from tests.support.service import Service
from tests.support.valkey_cluster import SlotMove, ValkeyCluster
from tests.support.waiting import after, eventually


@pytest.fixture
def client(cluster_client: Cluster) -> Cluster:
    """Return the client of a service."""
    return cluster_client


async def has(client: Client, key: str, value: str) -> bool:
    try:
        async with available():
            await client.set(key, value)
            return bool(await client.get(key) == value)
    except LogUnavailable:
        return False


async def test_who_asks_for_the_map_gets_it_while_others_find_the_cluster_down(
    client: Cluster,
) -> None:
    asking = asyncio.create_task(client.nodes.refresh())
    await asyncio.sleep(0)
    await client.aclose()  # what redis-py does when a node says CLUSTERDOWN
    await asking
    assert len(client.nodes.all()) == 3


async def test_who_waits_for_an_answer_gets_it_while_others_find_the_cluster_down(
    client: Cluster,
) -> None:
    await client.set("known", "who serves what")
    waits = [asyncio.ensure_future(client.blpop(f"{{{n}}}", 0.3)) for n in range(9)]
    await after(0.1)
    await client.aclose()  # what redis-py does when a node says CLUSTERDOWN
    assert await asyncio.gather(*waits) == [None] * 9


@pytest.mark.parametrize("how", ["kill", "pause"])
async def test_other_nodes_serve_while_any_one_is_away(
    cluster: ValkeyCluster, client: Cluster, how: str
) -> None:
    """Also one that is asked about itself: where commands have their keys is known to all."""
    await client.nodes.refresh()
    away = next(n for n in cluster.nodes if n.port == client.get_default_node().port)
    key = next(f"{{{n}}}" for n in range(100) if cluster.owner_of(f"{{{n}}}") is not away)
    getattr(away, how)()
    again = connect(cluster.url)

    async def serve() -> bool:
        return await has(again, key, how) and await has(again, key, how)

    try:
        await eventually(serve)
    finally:
        await topology_of(again).close()


async def test_a_slot_that_nobody_serves_is_redis_being_away(
    cluster: ValkeyCluster, client: Cluster
) -> None:
    owner, slot = cluster.owner_of("{a}"), key_slot(b"{a}")

    async def is_served_by_nobody() -> bool:
        # More than once: what the owner said to the others just before may reach them after.
        for node in [owner, *cluster.nodes]:
            if node.port_of("{a}") is not None:
                node.ask("CLUSTER", "DELSLOTS", slot)
        await client.nodes.refresh()
        return client.nodes.of("{a}") is None

    try:
        await eventually(is_served_by_nobody)
        with pytest.raises(LogUnavailable):
            async with available():
                await client.get("{a}")
    finally:
        owner.ask("CLUSTER", "ADDSLOTS", slot)
        cluster.until_ok()
    await client.nodes.refresh()
    await eventually(lambda: has(client, "{a}", "served"))


async def test_nodes_that_all_moved_are_found_by_the_names_of_the_address(client: Cluster) -> None:
    with ExitStack() as mute:
        gone = [mute.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(6)]
        nodes = [ClusterNode(*s.getsockname(), **client.connection_kwargs) for s in gone]
        client.nodes_manager.startup_nodes = {node.name: node for node in nodes}

        async def are_found() -> bool:
            await client.nodes.refresh()
            return len(client.nodes.all()) == 3

        await eventually(are_found)


async def test_channels_are_followed_after_something_unforeseen(
    cluster: ValkeyCluster, client: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscriptions = ClusterSubscriptions(client, AsyncMock())
    subscriptions.follow("a", Recorder())
    with monkeypatch.context() as once:
        once.setattr(SubscriberConnection, "run", fail)
        with pytest.raises(ExceptionGroup):
            await subscriptions.run()
    running = asyncio.create_task(subscriptions.run())
    await eventually(lambda: is_followed(cluster, "jobs:{a}:events"))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def fail(_connection: SubscriberConnection) -> None:
    raise RuntimeError("something new")


async def is_followed(cluster: ValkeyCluster, channel: str) -> bool:
    return bool(cluster.owner_of(channel).ask("PUBSUB", "SHARDCHANNELS", channel))


@pytest.mark.parametrize("_time", range(3))
def test_a_service_ends_that_has_just_begun_to_ask_the_cluster(
    cluster: ValkeyCluster, _time: int
) -> None:
    with Service(cluster.url):
        pass


async def test_slots_that_move_are_known_while_another_node_is_away(
    cluster: ValkeyCluster, client: Cluster
) -> None:
    await client.nodes.refresh()
    with SlotMove(cluster, "{a}") as move:
        ends = (move.source, move.target)
        away = next(n for n in cluster.nodes if n.is_primary and n not in ends)
        away.pause()
        try:
            assert await client.nodes.moving() == {key_slot(b"{a}")}
        finally:
            away.resume()


async def test_an_answer_is_not_taken_for_that_of_an_asking_that_was_refused(
    cluster: ValkeyCluster,
) -> None:
    for node in cluster.nodes:
        node.add_user("nobody", "p", "~*", "+@all", "-asking")
    client = connect(cluster.url.replace("://", "://nobody:p@"))
    try:
        with SlotMove(cluster, "{a}") as move:
            owned = (f"{{{n}}}" for n in range(100))
            key = next(key for key in owned if cluster.owner_of(key) is move.target)
            await client.set(key, "its own")
            with pytest.raises(NoPermissionError):
                await client.get("{a}")
            assert await client.get(key) == "its own"
    finally:
        await topology_of(client).close()
