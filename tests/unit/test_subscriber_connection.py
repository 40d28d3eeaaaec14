"""The connection that follows channels, in virtual time and with a server of the test's own."""

import asyncio
import logging
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog.channel import Subscribed
from eventlog.subscriber_connection import SubscriberConnection
from jobcast.protocol.names import PLAIN, SHARDED, PubSub
from tests.support.channel_server import WAY_S, ChannelServer, Recorder, running
from tests.support.clock import in_virtual_time
from tests.support.waiting import after

SOON_S = 4 * WAY_S
"""There and back, and what a batch waits for the next one."""

DOWN = "CLUSTERDOWN The cluster is down"


class Played:
    """A connection, its server, and what it says to those who own it."""

    def __init__(self, pubsub: PubSub = PLAIN) -> None:
        self.server = ChannelServer(pubsub)
        self.recorder = Recorder()
        self.lost = self.misplaced = 0
        self.on_lost_s = 0.0
        on_misplaced = None if pubsub.together else self._on_misplaced
        connect = self.server.connect
        self.connection = SubscriberConnection(connect, pubsub, self._on_lost, on_misplaced)

    async def _on_lost(self, connection: SubscriberConnection) -> bool:
        assert connection is self.connection
        assert not connection.connected
        self.lost += 1
        await asyncio.sleep(self.on_lost_s)
        return True

    def _on_misplaced(self) -> None:
        self.misplaced += 1

    def follow(self, count: int) -> list[bytes]:
        names = [b"c%d" % number for number in range(count)]
        for name in names:
            self.connection.follow(name, self.recorder)
        return names

    @property
    def pauses(self) -> list[float]:
        """Return the times between its attempts to connect."""
        return [later - before for before, later in pairwise(self.server.connects)]


def test_a_connection_is_pinged_every_1_5_seconds() -> None:
    async def scenario() -> None:
        played = Played()
        async with running(played.connection):
            await after(60)
        pings = played.server.times("PING")
        assert len(pings) == 40
        assert [b - a for a, b in pairwise(pings)] == pytest.approx([1.5] * 39)
        assert len(played.server.connects) == 1

    in_virtual_time(scenario())


@given(st.floats(0.01, 10))
def test_a_mute_connection_is_given_up_within_3_seconds(begins_s: float) -> None:
    async def scenario() -> None:
        played = Played()
        played.follow(1)
        now = asyncio.get_running_loop().time
        async with running(played.connection):
            await after(begins_s)
            played.server.mute, since = True, now()
            while played.connection.connected:
                await after(0.01)
            assert 1.5 - SOON_S < now() - since < 3 + 0.02
            played.server.mute = False
            await after(0.05 + 2 * SOON_S)
            assert played.server.channels == {b"c0"}
            assert not played.connection.unconfirmed

    in_virtual_time(scenario())


def test_why_a_connection_was_lost_is_logged_and_that_it_is_up_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario() -> None:
        played = Played()
        async with running(played.connection):
            await after(5)
            played.server.mute = True
            await after(3)
            played.server.mute = False
            await after(1.5)
            played.server.mute = True
            pings = len(played.server.times("PING"))
            while len(played.server.times("PING")) == pings:
                await after(WAY_S)
            played.server.lose()  # no answer to that PING, which is not what is wrong
            await after(WAY_S)
            played.server.mute = False
            await after(10)

    with caplog.at_level(logging.WARNING):
        in_virtual_time(scenario())
    assert caplog.messages == [
        "lost a subscriber connection: no answer to a ping",
        "the subscriber connection is up again",
        "lost a subscriber connection: Connection closed by server.",
        "the subscriber connection is up again",
    ]


def test_the_pauses_between_connections_grow_from_50_ms_to_1_second_with_jitter() -> None:
    async def scenario() -> None:
        both = Played(), Played()
        for played in both:
            played.server.away = True
        async with running(both[0].connection), running(both[1].connection):
            await after(60)
        for played in both:
            grown = [0.05, 0.1, 0.2, 0.4, 0.8]
            most = [*grown, *[1.0] * (len(played.pauses) - len(grown))]
            for pause, longest in zip(played.pauses, most, strict=True):
                assert longest / 2 <= pause - WAY_S <= longest + 1e-6
            assert played.lost >= len(played.pauses) >= 60
        assert both[0].pauses != both[1].pauses

    in_virtual_time(scenario())


def test_the_pauses_begin_anew_after_a_connection_that_held() -> None:
    async def scenario() -> None:
        played = Played()
        played.server.away = True
        async with running(played.connection):
            await after(10)
            played.server.away = False
            await after(1 + 2)
            attempts = len(played.server.connects)
            played.server.lose()
            await after(0.05 + SOON_S)
            assert len(played.server.connects) == attempts + 1
            assert played.connection.connected

    in_virtual_time(scenario())


def refused_at_once(played: Played) -> None:
    """Have it connected, and refused for want of a right."""
    played.server.refusals[b""] = "NOPERM User nobody has no permissions to access the channel"


def mute_as_soon_as_it_is_open(played: Played) -> None:
    played.server.mute = True


def slow_to_fail(played: Played) -> None:
    played.server.away, played.server.connect_s = True, 1.3
    played.on_lost_s = 2.4


@pytest.mark.parametrize("how", [refused_at_once, mute_as_soon_as_it_is_open, slow_to_fail])
def test_the_pauses_grow_as_long_as_no_connection_holds(
    how: Callable[[Played], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    def noted(pause_s: float) -> float:
        pauses.append(pause_s)
        return pause_s

    monkeypatch.setattr("eventlog.subscriber_connection.jittered", noted)

    async def scenario() -> None:
        played = Played()
        played.follow(3)
        how(played)
        async with running(played.connection):
            await after(40)
        assert pauses[:7] == [0.05, 0.1, 0.2, 0.4, 0.8, 1, 1]
        assert played.lost == len(pauses)

    in_virtual_time(scenario())


def test_who_is_refused_by_an_acl_does_not_spin_and_follows_all_once_allowed() -> None:
    async def scenario() -> None:
        played = Played()
        names = played.follow(1200)
        refused_at_once(played)
        async with running(played.connection):
            await after(60)
            assert len(played.server.connects) < 2 * 60 + 10
            assert len(played.server.asked()) <= 3 * len(played.server.connects)
            assert not played.recorder.messages
            played.server.refusals.clear()
            await after(1 + 2 * SOON_S)
            assert played.server.channels == set(names)
            assert played.recorder.messages == [Subscribed()] * len(names)

    in_virtual_time(scenario())


def test_all_channels_are_followed_again_after_a_reconnect_500_in_a_command() -> None:
    async def scenario() -> None:
        played = Played()
        names = played.follow(1201)
        async with running(played.connection):
            await after(2)
            before = len(played.server.asked())
            played.server.lose()
            await after(0.05 + 2 * SOON_S)
            asked = played.server.asked()[before:]
            assert [len(together) for together in asked] == [500, 500, 201]
            assert {name for together in asked for name in together} == set(names)
            assert played.server.channels == set(names)
            assert played.recorder.messages == [Subscribed()] * 2 * len(names)

    in_virtual_time(scenario())


def test_what_was_followed_and_let_go_during_an_outage_is_as_it_should_be_after_it() -> None:
    async def scenario() -> None:
        played = Played()
        played.follow(3)
        async with running(played.connection):
            await after(2)
            played.server.away = True
            played.server.lose()
            await after(3)
            played.connection.unfollow(b"c0")
            played.connection.follow(b"late", played.recorder)
            played.server.away = False
            await after(1 + 2 * SOON_S)
            assert (
                played.server.channels
                == set(played.connection.subscribers)
                == {b"c1", b"c2", b"late"}
            )
            assert not played.connection.unconfirmed

    in_virtual_time(scenario())


def test_a_channel_is_unconfirmed_until_the_server_confirms_it() -> None:
    async def scenario() -> None:
        played = Played()
        async with running(played.connection):
            await after(1)
            played.follow(1)
            assert set(played.connection.unconfirmed) == {b"c0"}
            await after(SOON_S)
            assert not played.connection.unconfirmed
            assert played.recorder.messages == [Subscribed()]
            played.connection.unfollow(b"c0")
            await after(SOON_S)
            assert not played.server.channels
            played.connection.follow(b"c0", played.recorder)
            played.connection.unfollow(b"c0")
            assert not played.connection.unconfirmed
            await after(SOON_S)
            assert not played.server.channels
            assert played.recorder.messages == [Subscribed()]

    in_virtual_time(scenario())


@pytest.mark.parametrize("pubsub", [PLAIN, SHARDED])
@given(pauses=st.lists(st.floats(0, SOON_S), min_size=1, max_size=9))
def test_however_fast_a_channel_is_followed_and_let_go_the_last_word_counts(
    pubsub: PubSub, pauses: list[float]
) -> None:
    async def scenario() -> None:
        played = Played(pubsub)
        async with running(played.connection):
            await after(1)
            for number, pause in enumerate(pauses):
                if number % 2:
                    played.connection.unfollow(b"c0")
                else:
                    played.connection.follow(b"c0", played.recorder)
                await after(pause)
            told = len(played.recorder.messages)
            await after(3)
            assert played.server.channels == set(played.connection.subscribers)
            assert not played.connection.unconfirmed
            assert played.lost == 0
            if played.connection.subscribers and pauses[-1] == 0:
                assert len(played.recorder.messages) > told

    in_virtual_time(scenario())


@pytest.mark.parametrize("let_go", [True, False])
@pytest.mark.parametrize("pubsub", [PLAIN, SHARDED])
@given(at_s=st.floats(0, SOON_S))
def test_what_was_asked_for_a_former_follower_confirms_nothing_to_its_successor(
    at_s: float, pubsub: PubSub, *, let_go: bool
) -> None:
    async def scenario() -> None:
        played = Played(pubsub)
        successor, now = Recorder(), asyncio.get_running_loop().time
        async with running(played.connection):
            await after(SOON_S)
            [name] = played.follow(1)
            await after(at_s)
            if let_go:
                played.connection.unfollow(name)
            played.connection.follow(name, successor)
            followed = now()
            while not successor.messages:
                await after(WAY_S / 8)
            assert [at for at in played.server.times(pubsub.subscribe) if at >= followed]
            await after(SOON_S)
            assert successor.messages == [Subscribed()]
            assert not played.connection.unconfirmed
            assert played.server.channels == {name}

    in_virtual_time(scenario())


def test_what_a_cluster_refuses_is_asked_for_again_after_pauses_that_grow() -> None:
    async def scenario() -> None:
        played = Played(SHARDED)
        names = played.follow(1000)
        played.server.refusals[b""] = DOWN
        async with running(played.connection):
            await after(60)
            times = sorted(set(played.server.times("SSUBSCRIBE")))
            assert len(times) * len(names) == len(played.server.asked())
            pauses = [later - before for before, later in pairwise(times)]
            assert pauses[0] < 0.05 + 2 * SOON_S
            assert all(pause >= 0.5 for pause in pauses[5:])
            assert len(times) < 60 / 0.5 + 5
            assert played.lost == 0
            assert played.misplaced > 0
            played.server.refusals.clear()
            await after(1 + SOON_S)
            assert played.server.channels == set(names)
            assert played.recorder.messages == [Subscribed()] * len(names)

    in_virtual_time(scenario())


def test_only_what_is_not_confirmed_is_asked_for_again() -> None:
    async def scenario() -> None:
        played = Played(SHARDED)
        played.follow(1000)
        played.server.refusals[b"c7"] = "CLUSTERDOWN Hash slot not served"
        async with running(played.connection):
            await after(10)
            assert set(played.connection.unconfirmed) == {b"c7"}
            assert len(played.server.asked()) < 1000 + 10 / 0.5 + 5

    in_virtual_time(scenario())


def test_the_first_pause_is_short_again_when_a_cluster_was_well_meanwhile() -> None:
    async def scenario() -> None:
        played = Played(SHARDED)
        played.server.refusals[b""] = DOWN
        async with running(played.connection):
            await after(1)
            played.follow(1)
            await after(10)
            played.server.refusals.clear()
            await after(5)
            assert played.server.channels == {b"c0"}
            played.server.channels.clear()
            played.server.let_go(b"c0")
            await after(0.05 + 2 * SOON_S)
            assert played.server.channels == {b"c0"}

    in_virtual_time(scenario())


def test_a_connection_that_is_lost_takes_with_it_what_was_to_be_asked_again() -> None:
    async def scenario() -> None:
        played = Played(SHARDED)
        played.follow(100)
        played.server.refusals[b""] = DOWN
        async with running(played.connection):
            for _ in range(10):
                await after(5)
                played.server.lose()
            await after(5)
            before = len(played.server.asked())
            await after(60)
            assert len(played.server.asked()) - before <= 100 * 60 / 0.5

    in_virtual_time(scenario())


def test_a_channel_that_a_node_lets_go_is_misplaced_and_asked_for_again() -> None:
    async def scenario() -> None:
        played = Played(SHARDED)
        played.follow(2)
        async with running(played.connection):
            await after(5)
            played.server.channels.clear()
            played.server.let_go(b"c0")
            await after(WAY_S + WAY_S / 2)
            assert (played.misplaced, set(played.connection.unconfirmed)) == (1, {b"c0"})
            await after(0.05 + SOON_S)
            assert played.server.channels == {b"c0"}
            assert not played.connection.unconfirmed
            assert (played.misplaced, played.lost) == (1, 0)

    in_virtual_time(scenario())


@pytest.mark.parametrize("said", ["MOVED 42 127.0.0.1:7001", DOWN])
def test_a_single_server_that_speaks_of_others_is_given_up(said: str) -> None:
    async def scenario() -> None:
        played = Played(PLAIN)
        played.server.refusals[b""] = said
        played.follow(1)
        async with running(played.connection):
            await after(1)
            assert played.lost > 0

    in_virtual_time(scenario())
