"""The channels of all watched jobs, on one server or on the nodes of a Cluster."""

import asyncio
import logging
from collections.abc import Container
from contextlib import suppress
from typing import Final

from eventlog.channel import Subscribed, Subscriber
from eventlog.connection import available
from eventlog.errors import LogUnavailable
from eventlog.subscriber_connection import SubscriberConnection
from jobcast.redis.server import Server
from jobcast.redis.servers import Servers

_log = logging.getLogger("jobcast.subscriptions")

_WATCH_S: Final = 1.0
"""How often the nodes are asked which slots they are moving."""

_AGAIN_S: Final = 0.5
"""How soon the map is asked for again when it has no place for a channel."""


class Subscriptions:
    """Who follows which job, over one connection to each server that has channels.

    In a Cluster a channel is where its slot is. When a node is lost, or says that it does not serve
    a channel, the Cluster is asked for its map, and each channel goes to the connection where it
    belongs.

    While a slot is being moved, its jobs may be on the next node already, and are published there,
    although only the present node lets their channels be followed. So their subscribers receive
    ``Subscribed`` again and again, and look at the log.
    """

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._pubsub = servers.pubsub
        self._connections: dict[Server, SubscriberConnection] = {}
        self._running: dict[SubscriberConnection, asyncio.Task[None]] = {}
        self._homeless: dict[bytes, Subscriber] = {}
        self._misplaced = asyncio.Event()
        self._tasks: asyncio.TaskGroup
        self.reconnects = 0

    def __len__(self) -> int:
        """Count the channels that are followed."""
        return sum(len(subscribers) for subscribers in self._places())

    @property
    def connected(self) -> bool:
        """Whether any server is connected to: one that is unavailable concerns its jobs alone."""
        return any(each.connected for each in self._connections.values())

    def follow(self, job_id: str, subscriber: Subscriber) -> None:
        """Pass on what is published of a job, and ``Subscribed`` when that begins."""
        name = self._pubsub.channel(job_id).encode()
        self._release(name)
        self._place(name, subscriber)
        self._look_for_homes()

    def unfollow(self, job_id: str, subscriber: Subscriber) -> None:
        """Pass nothing more on to a subscriber, unless another has taken its place already."""
        name = self._pubsub.channel(job_id).encode()
        if subscriber in (each.get(name) for each in self._places()):
            self._release(name)

    async def run(self) -> None:
        """Keep the connections until cancelled."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                if not self._pubsub.together:
                    self._tasks.create_task(self._watch_moves())
                while True:
                    await self._look()
                    self._rearrange()
                    await self._wait()
        finally:
            for subscribers in self._places():
                self._homeless |= subscribers
            self._connections, self._running = {}, {}

    def _places(self) -> list[dict[bytes, Subscriber]]:
        return [self._homeless, *(each.subscribers for each in self._connections.values())]

    async def _wait(self) -> None:
        """Wait until a channel is found to be misplaced, or a while if some are homeless."""
        unsettled = bool(self._homeless) or not self._connections
        with suppress(TimeoutError):
            async with asyncio.timeout(_AGAIN_S if unsettled else None):
                await self._misplaced.wait()
        self._misplaced.clear()

    async def _lost(self, connection: SubscriberConnection) -> bool:
        self.reconnects += 1
        for node in [node for node, each in self._connections.items() if each is connection]:
            node.give_up()  # it may be frozen, or replaced
        await self._look()
        self._rearrange()
        self._look_for_homes()
        return connection in self._connections.values()

    async def _look(self) -> None:
        try:
            async with available():
                await self._servers.look()
        except LogUnavailable as error:
            _log.info("the Cluster does not say which node serves what: %s", error)

    def _rearrange(self) -> None:
        """Put each channel where the Cluster's map has it, as far as that is known."""
        nodes = self._servers.serving()
        for node in nodes:
            if node not in self._connections:
                self._open(node)
        for connection in self._connections.values():
            for name, subscriber in list(connection.subscribers.items()):
                if self._connection_of(name) is not connection:
                    connection.unfollow(name)
                    self._place(name, subscriber)
        homeless, self._homeless = self._homeless, {}
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
            self._homeless[name] = subscriber
        else:
            connection.follow(name, subscriber)

    def _look_for_homes(self) -> None:
        if self._homeless:
            self._misplaced.set()

    def _release(self, name: bytes) -> None:
        self._homeless.pop(name, None)
        for connection in self._connections.values():
            if name in connection.subscribers:
                connection.unfollow(name)

    def _open(self, node: Server) -> None:
        on_misplaced = None if self._pubsub.together else self._misplaced.set
        connection = self._connections[node] = SubscriberConnection(
            node.connect, self._pubsub, self._lost, on_misplaced
        )
        self._running[connection] = self._tasks.create_task(connection.run())

    def _close(self, node: Server) -> None:
        """Let go of a node that serves nothing any more; its connection may be what asks for it."""
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
                _log.debug("the Cluster does not say what it moves: %s", error)
                continue
            if slots:
                self._look_at(slots)

    def _look_at(self, slots: Container[int]) -> None:
        for connection in self._connections.values():
            for name, subscriber in list(connection.subscribers.items()):
                if self._servers.slot_of(name) in slots:
                    subscriber(Subscribed())
