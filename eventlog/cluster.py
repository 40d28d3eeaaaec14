"""A Redis Cluster: redis-py's client, put right in places, and which of its nodes serves what."""

import asyncio
import itertools
import logging
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, cast

from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import REDIS_CLUSTER_HASH_SLOTS
from redis.exceptions import RedisClusterException, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from jobcast.redis.address import Address, HostAndPort

_log = logging.getLogger("jobcast.cluster")

ANSWER_S: Final = 0.6
"""How long a node may be silent: then the client looks who took over, which has to be in time."""

_PAUSE_S: Final = 0.1
"""Between two looks at who serves what."""

Connector = Callable[[], AbstractConnection]
"""Makes a connection of redis-py, not open yet."""


class _Cancellable(AbstractConnection):
    """Bounds what is written without ``asyncio.wait_for``, as redis-py does.

    On Python 3.11 that may lose the cancellation of the task that waits.
    """

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:  # noqa: ANN401, FBT001, FBT002 - redis-py's
        if not self.is_connected:
            await self.connect_check_health(check_health=False)
        bound_s, self.socket_timeout = self.socket_timeout, None
        try:
            async with asyncio.timeout(bound_s):
                await super().send_packed_command(command, check_health)
        except TimeoutError as error:
            raise RedisTimeoutError("a node takes nothing") from error
        finally:
            self.socket_timeout = bound_s


class _Connection(_Cancellable, Connection):
    pass


class _SSLConnection(_Cancellable, SSLConnection):
    pass


class Cluster(RedisCluster):
    """redis-py's client of a Cluster.

    Its own sends ``ASKING`` and what it is for over two connections, if it has two, and knows only
    the nodes that serve a slot already: while a slot is moved, to a new node perhaps, its commands
    go astray. It asks the nodes that it was told of, which are names that outlive addresses, when
    all others had their time. With one certain node away it learns nothing, and it closes the
    connections that others wait on, then and whenever a node says that the Cluster is down. And a
    task that waits for it may not learn of its cancellation.

    Args:
        address: of some nodes.
        options: of redis-py's client.

    Attributes:
        nodes: which node serves what.
        seeds: the nodes that the address names.
    """

    def __init__(self, address: Address, **options: Any) -> None:  # noqa: ANN401 - redis-py's
        self.nodes = Nodes(self)
        self.seeds: list[HostAndPort] = list(address.nodes)
        self._unlisted: dict[str, ClusterNode] = {}
        given = {**address.options}
        given.pop("connection_class", None)
        super().__init__(
            startup_nodes=[ClusterNode(host, port) for host, port in address.nodes],
            ssl=address.is_tls,
            require_full_coverage=False,
            reinitialize_steps=0,  # it would close the connections that others wait on
            retry=Retry(NoBackoff(), 0),
            **{**options, **given},
        )
        kind = _SSLConnection if address.is_tls else _Connection
        self.connection_kwargs["connection_class"] = kind
        self.nodes_manager.startup_nodes = {}  # learnt from the address, for these connections

    async def initialize(
        self,
        additional_startup_nodes_info: Sequence[HostAndPort] | None = None,  # noqa: ARG002 - its
        last_failed_node_name: str | None = None,
    ) -> "Cluster":
        """Learn which node serves what, if that has to be learnt anew; redis-py asks for it."""
        if self._initialize:
            await self.learn(last_failed_node_name)
        return self

    async def learn(self, last_failed_node_name: str | None = None) -> None:
        """Ask which node serves what: any that was known before, or is in the address.

        redis-py asks those of the address last, when all others had their time. And when it fails
        it closes the connections that others wait on.

        Raises:
            redis.exceptions.RedisClusterException: none says.
        """
        known = self.nodes_manager
        for host, port in self.seeds:
            seed = ClusterNode(host, port, **self.connection_kwargs)
            known.startup_nodes.setdefault(seed.name, seed)
        try:
            await known.initialize(last_failed_node_name=last_failed_node_name)
        except IndexError as error:
            self._initialize = True
            raise RedisClusterException("no node serves anything") from error
        if len(known.slots_cache) < REDIS_CLUSTER_HASH_SLOTS:
            for slot in range(REDIS_CLUSTER_HASH_SLOTS):
                # Where redis-py has no list it fails with a KeyError of its own.
                known.slots_cache.setdefault(slot, [])
        if not self.commands_parser.commands:
            await self._learn_commands()
        self._initialize = False

    async def _learn_commands(self) -> None:
        """Ask where commands have their keys, which all nodes know alike."""
        nodes = self.get_nodes()
        for node in random.sample(nodes, len(nodes)):
            with suppress(RedisError):
                await self.commands_parser.initialize(node)
                return
        raise RedisClusterException("no node says where commands have their keys")

    def get_node(
        self, host: str | None = None, port: int | None = None, node_name: str | None = None
    ) -> Any:  # noqa: ANN401 - a ClusterNode, or what stands for one
        """Return a node; by its name, as the target of an ``ASK`` is asked for, any."""
        if node_name is None:
            return super().get_node(host, port)
        node = super().get_node(node_name=node_name) or self._unlisted.get(node_name)
        if node is None:
            its_host, _, its_port = node_name.rpartition(":")
            node = ClusterNode(its_host, int(its_port), "primary", **self.connection_kwargs)
            self._unlisted[node_name] = node
        return _Asked(node)

    async def aclose(self) -> None:
        """Have who serves what learnt anew: redis-py calls this as a node says CLUSTERDOWN.

        It would close the connections that others wait on, of other nodes too. See ``close_all``.
        """
        self._initialize = True

    async def close_all(self) -> None:
        """Close all connections."""
        unlisted, self._unlisted = self._unlisted, {}
        for node in unlisted.values():
            await node.disconnect()
        self._initialize = False  # or redis-py takes it for closed
        await super().aclose()


class _Asked:
    """A node that is sent ``ASKING`` together with what it is for."""

    def __init__(self, node: ClusterNode) -> None:
        self._node = node

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the node has
        return getattr(self._node, name)

    async def execute_command(self, *command: Any, asking: bool = False, **options: Any) -> Any:  # noqa: ANN401, ARG002 - redis-py's
        if command == ("ASKING",):
            return "OK"
        node = self._node
        connection = cast("Any", node.acquire_connection())
        try:
            await node.disconnect_if_needed(connection)
            await connection.send_packed_command(connection.pack_commands([("ASKING",), command]))
            try:
                await connection.read_response()
            except ResponseError:
                await connection.disconnect(nowait=True)  # the other answer belongs to nobody
                raise
            return await node.parse_response(connection, command[0], **options)
        finally:
            node.release(connection)


class Nodes:
    """Which node of a Cluster serves what.

    Args:
        cluster: the client that knows.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._keys: dict[str, str] = {}
        self._refreshing: asyncio.Task[None] | None = None
        self._refreshed_at = -_PAUSE_S

    def of(self, name: str | bytes) -> str | None:
        """Return the node that serves a key or a channel, as host and port; None if none does."""
        served_by = self._cluster.nodes_manager.slots_cache.get(self.slot_of(name))
        return served_by[0].name if served_by else None

    def slot_of(self, name: str | bytes) -> int:
        """Return the slot of a key or a channel."""
        return self._cluster.keyslot(name)

    def all(self) -> list[str]:
        """Return the nodes that serve slots."""
        return [node.name for node in self._cluster.get_primaries()]

    def keys(self, name: Callable[[int], str]) -> dict[str, str]:
        """Return for each node a key in one of the slots that it serves.

        Args:
            name: makes a key of any number; always the same one.
        """
        served = self._cluster.nodes_manager.slots_cache.values()
        nodes = {served_by[0].name for served_by in served if served_by}
        # Kept, for it takes long to find the one slot of a node that has just begun to serve.
        self._keys = {node: key for node, key in self._keys.items() if self.of(key) == node}
        numbers = itertools.count()
        while len(self._keys) < len(nodes):
            key = name(next(numbers))
            if (node := self.of(key)) is not None:
                self._keys.setdefault(node, key)
        return dict(self._keys)

    def connector(self, node: str) -> Connector:
        """Return what makes connections to a node; it may be gone already."""
        host, _, port = node.rpartition(":")
        found = ClusterNode(host, int(port), **self._cluster.connection_kwargs)
        options = {**found.connection_kwargs, "retry": Retry(NoBackoff(), 0)}
        return lambda: found.connection_class(**options)

    async def refresh(self) -> None:
        """Ask who serves what, once for all who want to know at the same time."""
        await asyncio.shield(self.refresh_soon())

    def refresh_soon(self) -> asyncio.Task[None]:
        """Begin to ask who serves what, unless that is under way; return what does it."""
        if self._refreshing is None:
            self._refreshing = asyncio.create_task(self._refresh())
            self._refreshing.add_done_callback(self._refreshed)
        return self._refreshing

    async def moving(self) -> frozenset[int]:
        """Return the slots that are being moved to another node, by those nodes that answer."""
        nodes = self._cluster.get_primaries()
        asked = [node.execute_command("CLUSTER NODES") for node in nodes]
        slots = set()
        for lines in await asyncio.gather(*asked, return_exceptions=True):
            if isinstance(lines, BaseException):
                _log.debug("a node does not say what it moves: %s", lines)
                continue
            for said in lines.values():
                moves = said["migrations"]
                slots |= {int(move["slot"]) for move in moves if move["state"] == "migrating"}
        return frozenset(slots)

    async def close(self) -> None:
        """Ask no more."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.gather(self._refreshing, return_exceptions=True)

    async def _refresh(self) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self._refreshed_at + _PAUSE_S - loop.time())
        try:
            async with asyncio.timeout(4 * ANSWER_S):
                await self._cluster.learn()
        except (RedisError, RedisClusterException, OSError, TimeoutError) as error:
            _log.info("the Cluster does not say who serves what: %s", error)
        self._refreshed_at = loop.time()

    def _refreshed(self, _task: asyncio.Task[None]) -> None:
        self._refreshing = None
