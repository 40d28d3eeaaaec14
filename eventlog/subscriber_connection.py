"""A connection that is subscribed to channels.

Subscribing and unsubscribing are batched. When the connection breaks or stops answering, a new one
resubscribes to everything, and each subscriber receives ``Subscribed`` when Redis confirms its
channel. A channel that a node of a Cluster refuses is retried.
"""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from eventlog.backoff import jittered
from eventlog.channel import Published, Subscribed, Subscriber
from eventlog.errors import LogUnavailable
from eventlog.pace import Deliveries
from eventlog.redis_calls import available
from jobcast.protocol.names import PubSub
from jobcast.redis.connection import Connection, Replies, packed
from jobcast.redis.outages import Outages
from jobcast.redis.server import Connect

_log = logging.getLogger("jobcast.subscriptions")

_BATCH: Final = 500
_PAUSE_S: Final = 0.002
"""Minimum between two batches. Without it, each would hold one channel."""

_FEW: Final = 16
"""Pushes of one read that are delivered without pacing: 0.5 ms of work."""

_TOGETHER: Final = 200
"""Publications of one read that a subscriber receives at once."""

_PING: Final = packed("PING")
_PING_S: Final = 1.5
_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0
"""Back-off of reconnects and of refused subscriptions: doubled each time, with jitter."""

_ELSEWHERE: Final = ("MOVED ", "CLUSTERDOWN ")


class SubscriberConnection:
    """Subscribes to channels of one server.

    Args:
        connect: opens connections to the server.
        pubsub: names of the commands and messages.
        on_lost: called when the connection is lost; returns whether to reconnect.
        on_misplaced: called when the server does not serve a channel; None outside of a Cluster.

    Attributes:
        subscribers: by name of the channel.
        unconfirmed: channels without confirmation by the server.
    """

    def __init__(
        self,
        connect: Connect,
        pubsub: PubSub,
        on_lost: Callable[["SubscriberConnection"], Awaitable[bool]],
        on_misplaced: Callable[[], None] | None = None,
    ) -> None:
        self._connect = connect
        self._pubsub = pubsub
        self._message = pubsub.message.encode()
        self._subscribed = pubsub.subscribe.lower().encode()
        self._on_lost = on_lost
        self._on_misplaced = on_misplaced
        self._outages = Outages(_log, "lost a subscriber connection: %s")
        self._connection: Connection | None = None
        self._changed: dict[bytes, None] = {}
        self._expected: dict[bytes, int] = {}  # pending confirmations, by name of the channel
        self._sending = False
        self._sent = 0.0
        self._retry: asyncio.TimerHandle | None = None
        self._retried_at = 0.0
        self._pause_s = _FIRST_PAUSE_S
        self._pace: Deliveries | None = None
        self.subscribers: dict[bytes, Subscriber] = {}
        self.unconfirmed: dict[bytes, None] = {}

    @property
    def connected(self) -> bool:
        """Whether the connection is up."""
        return self._connection is not None

    def follow(self, name: bytes, subscriber: Subscriber) -> None:
        """Pass the publications of a channel to a subscriber, after ``Subscribed``."""
        self.subscribers[name] = subscriber
        self.unconfirmed[name] = None
        self._change(name)

    def unfollow(self, name: bytes) -> None:
        """Stop following a channel."""
        del self.subscribers[name]
        self.unconfirmed.pop(name, None)
        self._change(name)

    async def run(self) -> None:
        """Keep a connection until cancelled, or until ``on_lost`` returns False."""
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                async with available():
                    connection = await self._connect(self._deliver)
                opened = connection.heard_at
                why = await self._serve(connection)
                if connection.heard_at - opened >= _PING_S:  # it has worked for a while
                    pause_s = _FIRST_PAUSE_S
            except LogUnavailable as error:
                why = str(error)
            self._outages.add(why)
            if not await self._on_lost(self):
                return
            await asyncio.sleep(jittered(pause_s))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _serve(self, connection: Connection) -> str:
        """Follow all channels on a connection until it fails; return why."""
        loop = asyncio.get_running_loop()
        self._connection, self._pace = connection, Deliveries.here()
        self._changed, self.unconfirmed = {}, dict.fromkeys(self.subscribers)
        self._expected.clear()
        self._subscribe_unconfirmed()
        try:
            while True:
                pinged = loop.time()
                connection.send(_PING)
                await asyncio.wait({connection.lost}, timeout=_PING_S)
                if connection.lost.done():
                    return connection.lost.result()
                if connection.heard_at < pinged and not connection.is_paused:
                    return "no answer to a ping"
                self._outages.end("the subscriber connection is up again")
        finally:
            self._connection = None
            if self._retry is not None:
                self._retry.cancel()
                self._retry = None
            await connection.close()

    def _deliver(self, pushes: Replies) -> None:
        """Deliver the messages of one read. No more is read before all of them are delivered."""
        subscribers, message = self.subscribers, self._message
        published: dict[Subscriber, list[bytes]] = {}
        for push in pushes:
            if type(push) is not list:
                self._refused(push)
                continue
            subscriber = subscribers.get(push[1])
            if push[0] != message:
                self._confirmed(push[0], push[1], subscriber)
            elif subscriber is None:
                continue
            elif subscriber in published:
                published[subscriber].append(push[2])
            else:
                published[subscriber] = [push[2]]
        if len(pushes) > _FEW or (self._pace is not None and not self._pace.left):
            _deliver_paced(published)  # after any deferred ``Subscribed``
        else:
            for subscriber, payloads in published.items():
                subscriber.hand(Published(payloads))
        if self._pace is not None and not self._pace.left and self._connection is not None:
            self._connection.pause()
            self._pace.do(self._connection.resume)

    def _confirmed(self, kind: bytes, name: bytes, subscriber: Subscriber | None) -> None:
        """Handle a confirmation, or an unsubscription because the slot has moved.

        A channel resubscribed for another subscriber is confirmed twice. Publications in between
        may be of the job that the first one followed.
        """
        if kind == self._subscribed:
            to_come = self._expected.pop(name, 1) - 1
            if to_come > 0:
                self._expected[name] = to_come
            elif subscriber is not None and name not in self._changed:
                self.unconfirmed.pop(name, None)
                Deliveries.here().do(subscriber.hand, Subscribed())
        elif subscriber is None:
            return
        elif self._on_misplaced is not None and name not in self.unconfirmed:
            self.unconfirmed[name] = None
            self._on_misplaced()
            self._retry_later()

    def _refused(self, push: object) -> None:
        """Handle an error reply: retry elsewhere, or give the connection up."""
        if not isinstance(push, Exception):
            return
        if self._on_misplaced is not None and str(push).startswith(_ELSEWHERE):
            self._on_misplaced()
            self._retry_later()
        elif self._connection is not None:
            self._connection.give_up(str(push))

    def _retry_later(self) -> None:
        """Resubscribe to unconfirmed channels, with back-off while they are refused."""
        if self._retry is not None:
            return
        loop = asyncio.get_running_loop()
        if loop.time() - self._retried_at > _LONGEST_PAUSE_S:  # not refused since
            self._pause_s = _FIRST_PAUSE_S
        self._retry = loop.call_later(jittered(self._pause_s), self._subscribe_unconfirmed)
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)

    def _subscribe_unconfirmed(self) -> None:
        """Subscribe to all unconfirmed channels."""
        self._retry = None
        self._retried_at = asyncio.get_running_loop().time()
        self._expected.clear()  # refused ones are never confirmed
        for name in self.unconfirmed:
            self._change(name)

    def _change(self, name: bytes) -> None:
        self._changed[name] = None
        if self._connection is not None and not self._sending:
            self._sending = True
            loop = asyncio.get_running_loop()
            loop.call_at(max(loop.time(), self._sent + _PAUSE_S), self._send)

    def _send(self) -> None:
        """Send a batch of subscriptions and unsubscriptions."""
        self._sending = False
        self._sent = asyncio.get_running_loop().time()
        if self._connection is None:
            return
        names = list(itertools.islice(self._changed, _BATCH))
        for name in names:
            del self._changed[name]
        wanted = [name for name in names if name in self.subscribers]
        unwanted = [name for name in names if name not in self.subscribers]
        for name in wanted:
            self._expected[name] = self._expected.get(name, 0) + 1
        for command, each in (
            (self._pubsub.subscribe, wanted),
            (self._pubsub.unsubscribe, unwanted),
        ):
            if each and self._pubsub.together:
                self._connection.send(packed(command, *each))
            elif each:
                self._connection.send(b"".join(packed(command, name) for name in each))
        if self._changed:
            self._sending = True
            asyncio.get_running_loop().call_soon(self._send)


def _deliver_paced(published: Mapping[Subscriber, list[bytes]]) -> None:
    pace = Deliveries.here()
    for subscriber, payloads in published.items():
        for first in range(0, len(payloads), _TOGETHER):
            pace.do(subscriber.hand, Published(payloads[first : first + _TOGETHER]))
