"""Subscriptions to the channels of all watched jobs, on one server or a Cluster."""

import asyncio
import logging
from collections.abc import Container
from contextlib import suppress
from typing import Final

from eventlog.channel import Subscribed, Subscriber
from eventlog.errors import LogUnavailable
from eventlog.redis_calls import available
from eventlog.subscriber_connection import SubscriberConnection
from jobcast.redis.server import Server
from jobcast.redis.servers import Servers

_log = logging.getLogger("jobcast.subscriptions")

_WATCH_S: Final = 1.0
"""Interval of checks for slots that are being moved."""

_RETRY_S: Final = 0.5
"""Pause before the map is read again if it names no server for a channel."""


class Subscriptions:
    """The subscribers of all channels, over one connection to each server.

    In a Cluster a channel is on the node of its slot. When a node is lost or refuses a channel,
    the Cluster's map is read, and each channel moves to the connection of its node.

    While a slot is being moved, its jobs may already be on the next node and are published there,
    although only the present node accepts subscriptions. So their subscribers receive
    ``Subscribed`` repeatedly, and read the log.
    """

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._pubsub = servers.pubsub
        self._connections: dict[Server, SubscriberConnection] = {}
        self._running: dict[SubscriberConnection, asyncio.Task[None]] = {}
        self._unplaced: dict[bytes, Subscriber] = {}
        self._misplaced = asyncio.Event()
        self._tasks: asyncio.TaskGroup
        self.reconnects = 0

    def __len__(self) -> int:
        """Count the followed channels."""
        return sum(len(subscribers) for subscribers in self._places())

    @property
    def connected(self) -> bool:
        """Whether any connection is up: an unavailable node affects only its own jobs."""
        return any(each.connected for each in self._connections.values())

    def follow(self, job_id: str, subscriber: Subscriber) -> None:
        """Pass a job's publications to a subscriber, after ``Subscribed``."""
        self.follow_channel(self._pubsub.channel(job_id), subscriber)

    def follow_channel(self, channel: str, subscriber: Subscriber) -> None:
        """Pass what is published on a channel to a subscriber, after ``Subscribed``."""
        name = channel.encode()
        self._release(name)
        self._place(name, subscriber)
        self._request_placement()

    def unfollow(self, job_id: str, subscriber: Subscriber) -> None:
        """Stop passing publications to a subscriber, unless another has replaced it."""
        self.unfollow_channel(self._pubsub.channel(job_id), subscriber)

    def unfollow_channel(self, channel: str, subscriber: Subscriber) -> None:
        """Stop passing what is published on a channel, unless another has replaced it."""
        name = channel.encode()
        if subscriber in (each.get(name) for each in self._places()):
            self._release(name)

    async def run(self) -> None:
        """Keep the connections until cancelled."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                if self._servers.is_cluster:
                    self._tasks.create_task(self._watch_moves())
                while True:
                    await self._refresh_map()
                    self._rearrange()
                    await self._wait()
        finally:
            for subscribers in self._places():
                self._unplaced |= subscribers
            self._connections, self._running = {}, {}

    def _places(self) -> list[dict[bytes, Subscriber]]:
        return [self._unplaced, *(each.subscribers for each in self._connections.values())]

    async def _wait(self) -> None:
        """Wait until a channel is misplaced, or a while if some have no server."""
        unsettled = bool(self._unplaced) or not self._connections
        with suppress(TimeoutError):
            async with asyncio.timeout(_RETRY_S if unsettled else None):
                await self._misplaced.wait()
        self._misplaced.clear()

    async def _lost(self, connection: SubscriberConnection) -> bool:
        self.reconnects += 1
        for node in [node for node, each in self._connections.items() if each is connection]:
            node.give_up()  # it may be frozen or replaced
        await self._refresh_map()
        self._rearrange()
        self._request_placement()
        return connection in self._connections.values()

    async def _refresh_map(self) -> None:
        try:
            async with available():
                await self._servers.refresh()
        except LogUnavailable as error:
            _log.info("can't read the Cluster's map: %s", error)

    def _rearrange(self) -> None:
        """Move each channel to the node that the Cluster's map names."""
        nodes = self._servers.serving()
        for node in nodes:
            if node not in self._connections:
                self._open(node)
        for connection in self._connections.values():
            for name, subscriber in list(connection.subscribers.items()):
                if self._connection_of(name) is not connection:
                    connection.unfollow(name)
                    self._place(name, subscriber)
        homeless, self._unplaced = self._unplaced, {}
        for name, subscriber in homeless.items():
            self._place(name, subscriber)
        for node in self._connections.keys() - set(nodes):
            if not self._connections[node].subscribers:
                self._close(node)

    def _connection_of(self, name: bytes) -> SubscriberConnection | None:
        node = self._servers.known(name)
        return None if node is None else self._connections.get(node)

    def _place(self, name: bytes, subscriber: Subscriber) -> None:
        connection = self._connection_of(name)
        if connection is None:
            self._unplaced[name] = subscriber
        else:
            connection.follow(name, subscriber)

    def _request_placement(self) -> None:
        if self._unplaced:
            self._misplaced.set()

    def _release(self, name: bytes) -> None:
        self._unplaced.pop(name, None)
        for connection in self._connections.values():
            if name in connection.subscribers:
                connection.unfollow(name)

    def _open(self, node: Server) -> None:
        on_misplaced = self._misplaced.set if self._servers.is_cluster else None
        connection = self._connections[node] = SubscriberConnection(
            node.connect, self._pubsub, self._lost, on_misplaced
        )
        self._running[connection] = self._tasks.create_task(connection.run())

    def _close(self, node: Server) -> None:
        """Close the connection to a node without slots; that may be the calling one."""
        task = self._running.pop(self._connections.pop(node))
        if task is not asyncio.current_task():
            task.cancel()

    async def _watch_moves(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_S)
            try:
                async with available():
                    slots = await self._servers.moving()
            except LogUnavailable as error:
                _log.debug("can't read which slots are moving: %s", error)
                continue
            if slots:
                self._notify_of_move(slots)

    def _notify_of_move(self, slots: Container[int]) -> None:
        for connection in self._connections.values():
            for name, subscriber in list(connection.subscribers.items()):
                # Others may get publications for an earlier subscriber, until they are confirmed.
                if name not in connection.unconfirmed and self._servers.slot_of(name) in slots:
                    subscriber.hand(Subscribed())
