"""Channels on servers of the test's own, of a Cluster mostly, in virtual time."""

import asyncio
from collections.abc import Sequence

from redis.exceptions import ConnectionError as RedisConnectionError

from eventlog.channel import Subscribed
from eventlog.subscriptions import Subscriptions
from jobcast.protocol.names import PLAIN, SHARDED
from jobcast.redis.address import parse_address
from jobcast.redis.cluster import Cluster
from jobcast.redis.server import Server
from jobcast.redis.servers import OneServer
from tests.support.channel_server import WAY_S, ChannelServer, Recorder, running
from tests.support.clock import in_virtual_time
from tests.support.waiting import after

NODES = ("a:1", "b:1", "c:1")
SOON_S = 4 * WAY_S
DOWN = "CLUSTERDOWN The cluster is down"


class Node(Server):
    """A node, and how often it was given up."""

    def __init__(self, name: str) -> None:
        self.channels = ChannelServer(SHARDED)
        self.lost = 0
        super().__init__(self.channels.connect, name)

    def give_up(self) -> None:
        self.lost += 1


class Map(Cluster):
    """Which node serves what, by the number of the job: what is so, and what was learnt of it."""

    def __init__(self) -> None:
        super().__init__(parse_address("redis+cluster://a"))
        self.nodes = {name: Node(name) for name in NODES}
        self.servers = {name: node.channels for name, node in self.nodes.items()}
        self.truth: list[str | None] = [NODES[number % 3] for number in range(300)]
        self.refreshes = 0
        self.answers = True
        self.under_way: frozenset[int] = frozenset()
        self._learnt: list[str | None] = []

    async def _read_map(self) -> None:
        self.refreshes += 1
        await asyncio.sleep(WAY_S)
        if not self.answers:
            raise RedisConnectionError
        self._learnt = list(self.truth)

    def known(self, name: str | bytes) -> Server | None:
        slot = self.slot_of(name)
        node = self._learnt[slot] if slot < len(self._learnt) else None
        return None if node is None else self.nodes[node]

    def slot_of(self, name: str | bytes) -> int:
        text = name if isinstance(name, str) else name.decode()
        return int(text.partition("{")[2].partition("}")[0]) % len(self.truth)

    def serving(self) -> Sequence[Server]:
        return [self.nodes[node] for node in sorted({node for node in self._learnt if node})]

    async def moving(self) -> frozenset[int]:
        return self.under_way

    def move(self, slot: int, target: str | None) -> None:
        """Have another node serve a slot, and the one before say so."""
        source, self.truth[slot] = self.truth[slot], target
        name = channel(slot)
        if source is not None:
            server = self.servers[source]
            server.refusals[name] = f"MOVED {slot} {target}"
            server.channels.discard(name)
            server.let_go(name)
        if target is not None:
            self.servers[target].refusals.pop(name, None)

    def asked(self) -> int:
        """Count the commands that asked for a channel."""
        return sum(len(server.asked()) for server in self.servers.values())

    def followed(self) -> list[bytes]:
        """Return the channels that are followed where they belong."""
        return [
            channel(slot)
            for slot, node in enumerate(self.truth)
            if node is not None and channel(slot) in self.servers[node].channels
        ]


def channel(number: int) -> bytes:
    return SHARDED.channel(str(number)).encode()


class Played:
    """The channels of many jobs."""

    def __init__(self) -> None:
        self.map = Map()
        self.subscriptions = Subscriptions(self.map)
        self.recorders: dict[int, Recorder] = {}

    @property
    def lost(self) -> set[str]:
        """Return the nodes that were given up."""
        return {name for name, node in self.map.nodes.items() if node.lost}

    def follow(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            recorder = self.recorders[number] = Recorder()
            self.subscriptions.follow(str(number), recorder)


def test_each_channel_is_followed_where_it_belongs() -> None:
    async def scenario() -> None:
        played = Played()
        played.follow(range(300))
        async with running(played.subscriptions):
            await after(1)
            assert len(played.map.followed()) == len(played.subscriptions) == 300
            assert played.map.asked() == 300
            assert all(each.messages == [Subscribed()] for each in played.recorders.values())

    in_virtual_time(scenario())


def test_a_cluster_that_is_down_is_not_stormed() -> None:
    async def scenario() -> None:
        played = Played()
        played.follow(range(300))
        async with running(played.subscriptions):
            await after(1)
            for server in played.map.servers.values():
                server.refusals[b""] = DOWN
                server.lose()
            asked, refreshed = played.map.asked(), played.map.refreshes
            await after(60)
            # Each once in half a second at the most, and some times more at first.
            assert played.map.asked() - asked < 300 * (60 / 0.5 + 7)
            assert played.map.refreshes - refreshed < len(NODES) * (60 / 0.5 + 7)
            for server in played.map.servers.values():
                server.refusals.clear()
            await after(1 + SOON_S)
            assert len(played.map.followed()) == 300
            assert played.subscriptions.reconnects == len(NODES)

    in_virtual_time(scenario())


def test_what_one_node_refuses_is_not_asked_for_again_whenever_another_is_lost() -> None:
    async def scenario() -> None:
        played = Played()
        played.follow(range(300))
        refusing, away = (played.map.servers[node] for node in NODES[:2])
        refusing.refusals[b""] = DOWN
        async with running(played.subscriptions):
            await after(30)
            before = len(refusing.asked())
            away.away = True
            away.lose()
            await after(30)
            assert len(away.connects) > 20
            assert len(refusing.asked()) - before < 100 * 30 / 0.5

    in_virtual_time(scenario())


def test_a_channel_that_has_moved_is_followed_there_at_once_and_no_other_is_asked_for() -> None:
    async def scenario() -> None:
        played = Played()
        played.follow(range(300))
        async with running(played.subscriptions):
            await after(2)
            asked = played.map.asked()
            played.map.move(0, NODES[1])
            await after(3 * SOON_S)
            assert len(played.map.followed()) == 300
            assert played.recorders[0].messages == [Subscribed()] * 2
            await after(10)
            assert played.map.asked() == asked + 1

    in_virtual_time(scenario())


def test_a_channel_is_followed_soon_that_moved_before_the_map_was_known_to_say_so() -> None:
    async def scenario() -> None:
        played = Played()
        played.follow(range(300))
        async with running(played.subscriptions):
            await after(2)
            played.map.answers = False
            played.map.move(0, NODES[1])
            await after(5)
            assert len(played.map.followed()) == 299
            played.map.answers = True
            await after(1 + 0.1 + 2 * SOON_S)
            assert len(played.map.followed()) == 300

    in_virtual_time(scenario())


def test_while_a_slot_is_being_moved_only_who_is_subscribed_reads_the_log_again() -> None:
    async def scenario() -> None:
        played = Played()
        played.follow(range(3))
        played.map.servers[NODES[0]].refusals[b""] = DOWN
        played.map.under_way = frozenset({0, 1})
        async with running(played.subscriptions):
            await after(5.5)
            counts = [len(played.recorders[slot].messages) for slot in range(3)]
            assert (counts[0], counts[2]) == (0, 1)
            assert counts[1] > 4

    in_virtual_time(scenario())


def test_a_channel_that_no_node_serves_is_followed_as_soon_as_one_does() -> None:
    async def scenario() -> None:
        played = Played()
        played.map.truth[7] = None
        played.follow(range(300))
        async with running(played.subscriptions):
            await after(10)
            assert len(played.map.followed()) == 299
            assert len(played.subscriptions) == 300
            assert played.map.asked() == 299
            played.map.move(7, NODES[2])
            await after(0.5 + 0.1 + SOON_S)
            assert len(played.map.followed()) == 300

    in_virtual_time(scenario())


def test_a_node_that_serves_nothing_any_more_is_let_go() -> None:
    async def scenario() -> None:
        played = Played()
        played.follow(range(300))
        async with running(played.subscriptions):
            await after(2)
            for slot in range(2, 300, 3):
                played.map.move(slot, NODES[slot % 2])
            await after(1)
            assert len(played.map.followed()) == 300
            gone = played.map.servers[NODES[2]]
            pings = len(gone.times("PING"))
            await after(5)
            assert len(gone.times("PING")) == pings
            assert len(gone.connects) == 1

    in_virtual_time(scenario())


def test_a_node_that_is_lost_costs_the_others_nothing() -> None:
    async def scenario() -> None:
        played = Played()
        played.follow(range(300))
        lost, *others = (played.map.servers[node] for node in NODES)
        async with running(played.subscriptions):
            await after(2)
            asked = [len(server.asked()) for server in others]
            lost.away = True
            lost.lose()
            await after(10)
            assert played.lost == {NODES[0]}
            assert played.subscriptions.connected
            lost.away = False
            await after(1 + 0.1 + 2 * SOON_S)
            assert len(played.map.followed()) == 300
            assert [len(server.asked()) for server in others] == asked

    in_virtual_time(scenario())


def test_a_single_server_has_all_channels_on_one_connection() -> None:
    async def scenario() -> None:
        server = ChannelServer(PLAIN)
        subscriptions = Subscriptions(OneServer(server.connect, 1.4))
        recorders = [Recorder() for _ in range(300)]
        for number, recorder in enumerate(recorders):
            subscriptions.follow(str(number), recorder)
        async with running(subscriptions):
            await after(SOON_S)
            assert len(server.channels) == len(subscriptions) == 300
            assert len(server.asked()) == 1
            server.lose()
            await after(1)
            assert len(server.channels) == 300
            assert len(server.connects) == 2
            assert subscriptions.reconnects == 1
            assert all(each.messages == [Subscribed()] * 2 for each in recorders)
            subscriptions.unfollow("7", Recorder())
            subscriptions.unfollow("8", recorders[8])
            await after(SOON_S)
            assert len(server.channels) == len(subscriptions) == 299

    in_virtual_time(scenario())
