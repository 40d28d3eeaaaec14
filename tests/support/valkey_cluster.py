"""A real Valkey Cluster for tests: three primaries, each with a replica."""

import time
from collections.abc import Sequence
from math import inf
from types import TracebackType
from typing import Final, Self

from redis.crc import key_slot

from tests.support.ensemble import Ensemble
from tests.support.starting import until_it_says
from tests.support.tls import Tls
from tests.support.valkey import HOST, Valkey, free_port
from tests.support.waiting import PATIENCE_SECONDS

SLOTS: Final = 16384
NODE_TIMEOUT_MS: Final = 2000
"""With less, a node that a busy machine does not schedule is considered failed."""


_PRIMARIES: Final = 3
_MIGRATE_MS: Final = 5000
_FAILOVER_SECONDS: Final = 6.0
"""Interval of retries: a replica aborts a failover after 5 s, and does not retry it by itself."""


class ClusterNode(Valkey):
    """One node; its id and its view of the Cluster survive a restart."""

    def __init__(self, tls: Tls | None) -> None:
        self.bus_port = free_port()
        super().__init__(
            *("--cluster-enabled", "yes", "--cluster-port", str(self.bus_port)),
            *("--cluster-node-timeout", str(NODE_TIMEOUT_MS)),
            # A replica may be elected however long it was disconnected from its primary, and
            # does not migrate to another primary.
            *("--cluster-replica-validity-factor", "0"),
            *("--cluster-allow-replica-migration", "no"),
            *("--repl-diskless-sync-delay", "0"),
            tls=tls,
        )

    @property
    def node_id(self) -> str:
        """Return its id in the Cluster."""
        return str(self.ask("CLUSTER", "MYID"))

    @property
    def is_primary(self) -> bool:
        """Whether it considers itself a primary."""
        return bool(self.ask("ROLE")[0] == "master")

    def knows(self, fact: str) -> bool:
        """Return whether ``CLUSTER INFO`` contains this line."""
        return fact in self.ask("CLUSTER", "INFO").splitlines()

    def primary_ports(self) -> dict[int, int]:
        """Return the primary's port for the first slot of each range, in this node's view."""
        return {first: node[1] for first, _, node, *_ in self.ask("CLUSTER", "SLOTS")}

    def serves(self, key: str) -> bool:
        """Return whether it considers itself the primary of a key."""
        return self.port_of(key) == self.port

    def port_of(self, key: str) -> int | None:
        """Return the port of the primary of a key, in this node's view."""
        slot = key_slot(key.encode())
        owners = (
            node[1]
            for first, last, node, *_ in self.ask("CLUSTER", "SLOTS")
            if first <= slot <= last
        )
        return next(owners, None)


class ValkeyCluster(Ensemble):
    """Six nodes on free ports of 127.0.0.1; ``with ValkeyCluster() as cluster:`` forms it.

    Nodes have methods to kill, freeze and restart them. If a primary fails, its replica is
    promoted, and the old primary returns as its replica. ``url`` names all six nodes.
    """

    def __init__(self, tls: Tls | None = None) -> None:
        self.nodes = [ClusterNode(tls) for _ in range(2 * _PRIMARIES)]
        hosts = ",".join(f"{HOST}:{node.port}" for node in self.nodes)
        self.url = f"redis+cluster://{hosts}"
        if tls is not None:
            self.url = f"rediss+cluster://{hosts}?{tls.query}"

    @property
    def processes(self) -> Sequence[ClusterNode]:
        """Return all nodes, in the order of their start."""
        return self.nodes

    def start(self) -> None:
        """Start the nodes, form a Cluster and wait until it is complete."""
        for node in self.nodes:
            node.start()
        primaries, replicas = self.nodes[:_PRIMARIES], self.nodes[_PRIMARIES:]
        for number, node in enumerate(primaries):
            # Distinct epochs before they meet, so that they need not resolve a conflict.
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            begin, end = (SLOTS * n // _PRIMARIES for n in (number, number + 1))
            node.ask("CLUSTER", "ADDSLOTSRANGE", begin, end - 1)
        first, *others = self.nodes
        for node in others:
            first.ask("CLUSTER", "MEET", HOST, node.port, node.bus_port)
        everybody = f"cluster_known_nodes:{len(self.nodes)}"
        until_it_says(lambda: all(n.knows(everybody) for n in self.nodes), PATIENCE_SECONDS)
        for primary, replica in zip(primaries, replicas, strict=True):
            replica.ask("CLUSTER", "REPLICATE", primary.node_id)
        self.until_ok()

    def until_ok(self) -> None:
        """Wait until the running nodes agree on running primaries, and replicas follow them."""
        until_it_says(self._is_ok, PATIENCE_SECONDS)

    def owner_of(self, key: str) -> ClusterNode:
        """Return the primary that serves a key, in the view of the primaries themselves."""
        found: list[ClusterNode] = []

        def is_owned() -> bool:
            found[:] = (n for n in self._primaries() if n.serves(key))
            return len(found) == 1

        until_it_says(is_owned, PATIENCE_SECONDS)
        return found[0]

    def other_than(self, owner: ClusterNode) -> ClusterNode:
        """Return another primary than the given one."""
        return next(node for node in self._primaries() if node is not owner)

    def replica_of(self, primary: ClusterNode) -> ClusterNode:
        """Return the running replica of a primary."""
        return next(
            node
            for node in self._running()
            if (role := node.ask("ROLE"))[0] == "slave" and role[2] == primary.port
        )

    def failover(self, key: str) -> ClusterNode:
        """Make a replica take over gracefully from the primary of a key; return it."""
        replica = self.replica_of(self.owner_of(key))
        asked_at = -inf

        def has_taken_over() -> bool:
            nonlocal asked_at
            if replica.is_primary:
                return self._is_ok()
            if time.monotonic() > asked_at + _FAILOVER_SECONDS:
                replica.ask("CLUSTER", "FAILOVER")
                asked_at = time.monotonic()
            return False

        until_it_says(has_taken_over, PATIENCE_SECONDS)
        return replica

    def move_slot(self, key: str) -> ClusterNode:
        """Move the slot of a key, with all its keys, to another primary; return that primary."""
        with SlotMove(self, key) as move:
            move.move_keys()
        return move.target

    def flush(self) -> None:
        """Remove every key."""
        for node in self._primaries():
            node.ask("FLUSHALL")

    def _running(self) -> Sequence[ClusterNode]:
        return [node for node in self.nodes if node.runs]

    def _primaries(self) -> Sequence[ClusterNode]:
        return [node for node in self._running() if node.is_primary]

    def _is_ok(self) -> bool:
        running = self._running()
        maps = [node.primary_ports() for node in running]
        alive = {node.port for node in self._primaries()}
        return (
            all(node.knows("cluster_state:ok") for node in running)
            and all(each == maps[0] for each in maps)
            and set(maps[0].values()) == alive
            and all(_follows(node, alive) for node in running)
        )


class SlotMove:
    """Moves the slot of a key to another primary: ``with SlotMove(cluster, key) as move:``.

    In the block the source replies ``ASK`` for keys that it does not have. At its end all keys are
    moved and the target takes over the slot; from then on the source replies ``MOVED``.
    """

    def __init__(self, cluster: ValkeyCluster, key: str) -> None:
        self.source = cluster.owner_of(key)
        self.target = cluster.other_than(self.source)
        self._cluster = cluster
        self._slot = key_slot(key.encode())

    def move_keys(self) -> None:
        """Move all keys that are in the slot now."""
        while keys := self.source.ask("CLUSTER", "GETKEYSINSLOT", self._slot, 100):
            self.source.ask(*("MIGRATE", HOST, self.target.port, "", 0, _MIGRATE_MS, "KEYS", *keys))

    def __enter__(self) -> Self:
        source, target = self.source.node_id, self.target.node_id
        self.target.ask("CLUSTER", "SETSLOT", self._slot, "IMPORTING", source)
        self.source.ask("CLUSTER", "SETSLOT", self._slot, "MIGRATING", target)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.move_keys()
        for node in (self.target, self.source):
            node.ask("CLUSTER", "SETSLOT", self._slot, "NODE", self.target.node_id)
        self._cluster.until_ok()


def _follows(node: ClusterNode, primaries: set[int]) -> bool:
    role = node.ask("ROLE")
    return role[0] == "master" or (role[2] in primaries and role[3] == "connected")
