"""A Redis Cluster: which node serves which key."""

import asyncio
import logging
import math
import re
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from jobcast._chance import chance
from jobcast.protocol.names import SHARDED
from jobcast.redis.address import Address, HostAndPort
from jobcast.redis.connection import Replies, answer_of, answered_within, packed
from jobcast.redis.server import Connector, Server
from jobcast.redis.servers import NODE_TIMEOUT_SHARE, Redirect, refusal_of_all
from jobcast.redis.shared import Shared

_log = logging.getLogger("jobcast.cluster")

_PAUSE_S: Final = 0.1
"""Shortest time between two reads of the map, in seconds."""

_SLOTS: Final = packed("CLUSTER", "SLOTS")
_NODES: Final = packed("CLUSTER", "NODES")
_MIGRATING: Final = re.compile(rb"\[(\d+)->-")
_NOT_READY: Final = ("CLUSTERDOWN", "LOADING", "MASTERDOWN")


class Cluster:
    """The nodes of a Cluster, discovered from those in the address.

    The map, which assigns slots to nodes, is read at first, and again whenever a connection was
    lost or can't be opened, or a node is not ready: once for all concurrent callers, and with a
    pause. The node that had a slot names the new one in its ``MOVED`` reply.
    """

    is_cluster = True
    pubsub = SHARDED
    fails_over = True

    def __init__(self, address: Address, at_most_s: float = math.inf) -> None:
        self._connector = Connector(address.options, at_most_s)
        self.timeout_s = self._connector.timeout_s
        self._node_timeout_s = self.timeout_s * NODE_TIMEOUT_SHARE
        self._named = address.nodes
        self._nodes: dict[HostAndPort, Server] = {}
        self._served_by: list[HostAndPort | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        self._is_stale = True
        self._refreshing = Shared(self._refresh)
        self._refreshed_at = -math.inf

    def known(self, name: str | bytes) -> Server | None:
        """Return the node that serves a key or channel; None if it is unknown."""
        node = self._served_by[self.slot_of(name)]
        return None if node is None else self._server(node)

    async def find(self, name: str) -> Server:
        """Return the node that serves a key. Raises ``redis.ConnectionError`` if there is none."""
        server = self.known(name)
        if server is None or server.is_unavailable or self._is_stale:
            await self.refresh()
            server = self.known(name)
        if server is None:
            raise RedisConnectionError("no node of the Cluster serves this job")
        return server

    def serving(self) -> Sequence[Server]:
        """Return the nodes that serve slots."""
        return [self._server(node) for node in dict.fromkeys(self._served_by) if node is not None]

    async def ping(self) -> None:
        """Check that any node answers. Raises a ``RedisError`` if none does."""
        await self.refresh()

    async def refresh(self) -> None:
        """Read the map. Raises a ``RedisError`` if no node answers."""
        await self._refreshing.result()

    def refresh_soon(self) -> None:
        """Start to read the map in the background, unless that is under way."""
        self._refreshing.begin()

    def slot_of(self, name: str | bytes) -> int:
        """Return the slot of a key or channel."""
        return key_slot(name.encode() if isinstance(name, str) else name)

    async def moving(self) -> frozenset[int]:
        """Return the slots that are moving to another node, according to the nodes that answer."""
        answers = (self._ask(server, _NODES) for server in self.serving())
        slots: set[int] = set()
        for replies in await asyncio.gather(*answers, return_exceptions=True):
            if isinstance(replies, BaseException) or not isinstance(replies[0], bytes):
                _log.debug("a node does not say what it moves: %s", replies)
            else:
                slots.update(map(int, _MIGRATING.findall(replies[0])))
        return frozenset(slots)

    def redirect(self, refusal: str, _key: str, server: Server) -> Redirect | None:
        """Follow ``MOVED`` and ``ASK``, and retry after a pause when a node is not ready."""
        code, _, where = refusal.partition(" ")
        if code == "TRYAGAIN":
            return Redirect()
        if code in _NOT_READY:
            self._is_stale = True  # another node may be ready by now
            return Redirect()
        if code not in {"MOVED", "ASK"}:
            return None
        slot, _, address = where.partition(" ")
        host, _, port = address.rpartition(":")
        # A node that does not know its own address omits the host: it is the node that replied.
        node = (host or server.name.rpartition(":")[0], int(port))
        if code == "ASK":
            return Redirect(self._server(node), pauses=False)
        self._served_by[int(slot)] = node
        return Redirect(pauses=False)

    async def refusal(self) -> str | None:
        """Return why the nodes of the address refuse the URL; None if one accepts it."""
        connects = [partial(self._connector.open, node=node) for node in self._named]
        return await refusal_of_all(connects, _SLOTS)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._refreshing.cancel()
        for server in tuple(self._nodes.values()):
            await server.aclose()

    def _server(self, node: HostAndPort) -> Server:
        server = self._nodes.get(node)
        if server is None:
            connect = partial(self._connector.open, node=node)
            server = self._nodes[node] = Server(connect, f"{node[0]}:{node[1]}")
        return server

    async def _ask(self, server: Server, command: bytes) -> Replies:
        async with answered_within(self._node_timeout_s):
            return await server.ask(command)

    async def _refresh(self) -> None:
        now = asyncio.get_running_loop().time
        await asyncio.sleep(self._refreshed_at + _PAUSE_S - now())
        try:
            await self._read_map()
        finally:
            self._refreshed_at = now()

    async def _read_map(self) -> None:
        problem: RedisError | None = None
        candidates = list(dict.fromkeys((*self._nodes, *self._named)))
        # In random order: a partitioned node may serve an outdated map without knowing it.
        chance.shuffle(candidates)
        for node in sorted(candidates, key=lambda each: self._server(each).is_unavailable):
            server = self._server(node)
            try:
                rows = answer_of(*await self._ask(server, _SLOTS))
            except RedisError as error:
                server.give_up()
                problem = error
            else:
                self._adopt_map(rows, node[0])
                return
        raise RedisConnectionError("no node of the Cluster answers") from problem

    def _adopt_map(self, rows: list[Any], host_asked: str) -> None:
        served_by: list[HostAndPort | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        present = set(self._named)
        for first, last, *nodes in rows:
            primary, *_ = its = [((n[0] or b"").decode() or host_asked, n[1]) for n in nodes]
            served_by[first : last + 1] = [primary] * (last + 1 - first)
            present.update(its)
        self._served_by = served_by
        self._is_stale = False
        for node in self._nodes.keys() - present:
            self._nodes.pop(node).give_up()
