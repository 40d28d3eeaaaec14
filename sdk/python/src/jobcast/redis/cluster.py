"""A Redis Cluster: which node serves which key."""

import asyncio
import random
from functools import partial
from typing import Any, Final

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from jobcast.redis.address import Address, HostAndPort
from jobcast.redis.connection import answer_of, answered_within, packed
from jobcast.redis.server import Connector, Server
from jobcast.redis.servers import Again

_SLOTS: Final = packed("CLUSTER", "SLOTS")
_NOT_READY: Final = ("CLUSTERDOWN", "LOADING", "MASTERDOWN")


class Cluster:
    """The nodes of a Cluster, found by those of its address.

    Who serves what is asked at first, and whenever a connection was lost or can't be opened; what
    moved is learned from the answer of the node that had it.
    """

    publish = "SPUBLISH"
    fails_over = True

    def __init__(self, address: Address) -> None:
        self._connector = Connector(address.options)
        # Of the time of a call, so that there is some left for the next one to ask.
        self._patience_s = self._connector.timeout_s / 4
        self._named = address.nodes
        self._nodes: dict[HostAndPort, Server] = {}
        self._served_by: list[HostAndPort | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        self._looks = 0
        self._looking = asyncio.Lock()

    def known(self, key: str) -> Server | None:
        """Return the node that serves a key, None if that is not known."""
        node = self._served_by[key_slot(key.encode())]
        return None if node is None else self._server(node)

    async def find(self, key: str) -> Server:
        """Return the node that serves a key; ``redis.ConnectionError`` if none is known to."""
        server = self.known(key)
        if server is None or server.is_away:
            await self._look()
            server = self.known(key)
        if server is None:
            raise RedisConnectionError("no node of the Cluster serves this job")
        return server

    def after(self, refusal: str, key: str, server: Server) -> Again | None:
        """Follow ``MOVED`` and ``ASK``, and wait for what is not ready."""
        code, _, where = refusal.partition(" ")
        if code == "TRYAGAIN":
            return Again()
        if code in _NOT_READY:
            # Another node may be, by now.
            self._served_by[key_slot(key.encode())] = None
            return Again()
        if code not in {"MOVED", "ASK"}:
            return None
        slot, _, address = where.partition(" ")
        host, _, port = address.rpartition(":")
        # A node that does not know its own name leaves it out: it is the one that was asked.
        node = (host or server.host, int(port))
        if code == "ASK":
            return Again(self._server(node), is_later=False)
        self._served_by[int(slot)] = node
        return Again(is_later=False)

    async def aclose(self) -> None:
        """Close all connections."""
        for server in tuple(self._nodes.values()):
            await server.aclose()

    def _server(self, node: HostAndPort) -> Server:
        server = self._nodes.get(node)
        if server is None:
            server = self._nodes[node] = Server(partial(self._connector.open, node), node[0])
        return server

    async def _look(self) -> None:
        """Ask who serves what, once for all who want to know at the same time."""
        seen = self._looks
        async with self._looking:
            if self._looks != seen:
                return
            problem: RedisError | None = None
            candidates = list(dict.fromkeys((*self._nodes, *self._named)))
            # Not always the same one: it may be cut off from the others, and know nothing of it.
            random.shuffle(candidates)
            for node in sorted(candidates, key=lambda each: self._server(each).is_away):
                server = self._server(node)
                try:
                    async with answered_within(self._patience_s):
                        rows = answer_of(*await server.ask(_SLOTS))
                except RedisError as error:
                    server.give_up()
                    problem = error
                else:
                    self._learn(rows, node[0])
                    self._looks += 1
                    return
            raise RedisConnectionError("no node of the Cluster answers") from problem

    def _learn(self, rows: list[Any], host_asked: str) -> None:
        served_by: list[HostAndPort | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        present = set(self._named)
        for first, last, *nodes in rows:
            primary, *_ = its = [((n[0] or b"").decode() or host_asked, n[1]) for n in nodes]
            served_by[first : last + 1] = [primary] * (last + 1 - first)
            present.update(its)
        self._served_by = served_by
        for node in self._nodes.keys() - present:
            self._nodes.pop(node).give_up()
