"""A Cluster of which a part is away: the rest is served, and all of it once it is back."""

import asyncio
import socket
from contextlib import ExitStack

import pytest
from redis.crc import key_slot
from redis.exceptions import NoPermissionError

from eventlog.errors import LogUnavailable
from eventlog.redis_calls import available, connect
from eventlog.subscriber_connection import SubscriberConnection
from eventlog.subscriptions import Subscriptions
from jobcast.redis.caller import Caller
from jobcast.redis.cluster import Cluster
from tests.support.channel_server import Recorder
from tests.support.service import Service
from tests.support.valkey import HOST
from tests.support.valkey_cluster import SlotMove, ValkeyCluster
from tests.support.waiting import eventually


@pytest.fixture
def caller(cluster_caller: Caller) -> Caller:
    """Return what the service calls the Cluster by."""
    return cluster_caller


@pytest.fixture
def nodes(caller: Caller) -> Cluster:
    """Return the Cluster's nodes, as the service knows them."""
    assert isinstance(caller.servers, Cluster)
    return caller.servers


async def has(caller: Caller, key: str, value: str) -> bool:
    try:
        async with available():
            await caller.call(key, "SET", key, value)
            return bool(await caller.call(key, "GET", key) == value.encode())
    except LogUnavailable:
        return False


@pytest.mark.parametrize("how", ["kill", "pause"])
async def test_other_nodes_serve_while_any_one_is_away(cluster: ValkeyCluster, how: str) -> None:
    key = "{a}"
    away = cluster.other_than(cluster.owner_of(key))
    getattr(away, how)()
    again = connect(cluster.url)
    try:
        await eventually(lambda: has(again, key, how))
        assert await has(again, key, how)
    finally:
        await again.aclose()


async def test_a_slot_that_nobody_serves_is_redis_being_away(
    cluster: ValkeyCluster, caller: Caller, nodes: Cluster
) -> None:
    owner, slot = cluster.owner_of("{a}"), key_slot(b"{a}")

    async def is_served_by_nobody() -> bool:
        # More than once: what the owner said to the others just before may reach them after.
        for node in [owner, *cluster.nodes]:
            if node.port_of("{a}") is not None:
                node.ask("CLUSTER", "DELSLOTS", slot)
        await nodes.refresh()
        return nodes.known("{a}") is None

    try:
        await eventually(is_served_by_nobody)
        with pytest.raises(LogUnavailable):
            async with available():
                await caller.call("{a}", "GET", "{a}")
    finally:
        owner.ask("CLUSTER", "ADDSLOTS", slot)
        cluster.until_ok()
    await eventually(lambda: has(caller, "{a}", "served"))


async def test_nodes_that_all_moved_are_found_by_the_names_of_the_address(
    caller: Caller, nodes: Cluster
) -> None:
    await nodes.refresh()
    await caller.servers.aclose()
    with ExitStack() as mute:
        gone = [mute.enter_context(socket.create_server((HOST, 0))) for _ in range(6)]
        nodes._nodes.clear()
        for each in gone:
            nodes._server((HOST, each.getsockname()[1]))
        nodes._served_by = [(HOST, gone[0].getsockname()[1])] * len(nodes._served_by)

        async def are_found() -> bool:
            nodes.refresh_soon()
            return len(nodes.serving()) == 3

        await eventually(are_found)


async def test_many_who_wait_for_a_cluster_that_is_away_ask_for_its_map_together(
    cluster: ValkeyCluster, caller: Caller, nodes: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    ordinary = nodes._read_map

    async def counted() -> None:
        nonlocal looks
        looks += 1
        await ordinary()

    monkeypatch.setattr(nodes, "_read_map", counted)
    for node in cluster.nodes:
        node.kill()
    now = asyncio.get_running_loop().time
    began = now()
    served = await asyncio.gather(*(has(caller, f"{{{n}}}", "x") for n in range(500)))
    assert not any(served)
    assert 1 < looks <= (now() - began) / 0.1 + 1
    await asyncio.to_thread(cluster.restart)
    await eventually(lambda: has(caller, "{a}", "served"))


async def test_channels_are_followed_after_something_unforeseen(
    cluster: ValkeyCluster, nodes: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscriptions = Subscriptions(nodes)
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
    cluster: ValkeyCluster, nodes: Cluster
) -> None:
    await nodes.refresh()
    with SlotMove(cluster, "{a}") as move:
        ends = (move.source, move.target)
        away = next(n for n in cluster.nodes if n.is_primary and n not in ends)
        away.pause()
        try:
            await eventually(lambda: moves(nodes, "{a}"))
        finally:
            away.resume()


async def moves(nodes: Cluster, key: str) -> bool:
    return await nodes.moving() == {nodes.slot_of(key)}


async def test_an_answer_is_not_taken_for_that_of_an_asking_that_was_refused(
    cluster: ValkeyCluster,
) -> None:
    for node in cluster.nodes:
        node.add_user("nobody", "p", "~*", "+@all", "-asking")
    caller = connect(cluster.url.replace("://", "://nobody:p@"))
    try:
        with SlotMove(cluster, "{a}") as move:
            owned = (f"{{{n}}}" for n in range(100))
            key = next(key for key in owned if cluster.owner_of(key) is move.target)
            await caller.call(key, "SET", key, "its own")
            with pytest.raises(NoPermissionError):
                await caller.call("{a}", "GET", "{a}")
            assert await caller.call(key, "GET", key) == b"its own"
    finally:
        await caller.aclose()
