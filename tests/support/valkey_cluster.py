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
"""Less, and a node that a busy machine did not let run is taken for dead."""


_PRIMARIES: Final = 3
_MIGRATE_MS: Final = 5000
_FAILOVER_SECONDS: Final = 6.0
"""A replica gives a failover up after five, and does not try it again by itself."""


class ClusterNode(Valkey):
    """One node; it keeps its id and what it knows of the others over a restart."""

    def __init__(self, tls: Tls | None) -> None:
        self.bus_port = free_port()
        super().__init__(
            *("--cluster-enabled", "yes", "--cluster-port", str(self.bus_port)),
            *("--cluster-node-timeout", str(NODE_TIMEOUT_MS)),
            # A replica stands for election however long it has not heard of its primary, and
            # stays with this primary.
            *("--cluster-replica-validity-factor", "0"),
            *("--cluster-allow-replica-migration", "no"),
            *("--repl-diskless-sync-delay", "0"),
            tls=tls,
        )

    @property
    def node_id(self) -> str:
        """Return how the Cluster calls it."""
        return str(self.ask("CLUSTER", "MYID"))

    @property
    def is_primary(self) -> bool:
        """Whether it takes itself for one."""
        return bool(self.ask("ROLE")[0] == "master")

    def knows(self, fact: str) -> bool:
        """Say whether a line of ``CLUSTER INFO`` is this."""
        return fact in self.ask("CLUSTER", "INFO").splitlines()

    def primary_ports(self) -> dict[int, int]:
        """Return which port serves the slots from each first one on, as this node has it."""
        return {first: node[1] for first, _, node, *_ in self.ask("CLUSTER", "SLOTS")}

    def serves(self, key: str) -> bool:
        """Whether it takes itself for the primary of a key."""
        return self.port_of(key) == self.port

    def port_of(self, key: str) -> int | None:
        """Return the port of the primary of a key, as this node has it."""
        slot = key_slot(key.encode())
        owners = (
            node[1]
            for first, last, node, *_ in self.ask("CLUSTER", "SLOTS")
            if first <= slot <= last
        )
        return next(owners, None)


class ValkeyCluster(Ensemble):
    """Six nodes on free ports of 127.0.0.1; ``with ValkeyCluster() as cluster:`` forms it.

    Nodes are killed, frozen and started again by their own methods; a killed primary is followed
    by its replica, and comes back as a replica of it. ``url`` names all six.
    """

    def __init__(self, tls: Tls | None = None) -> None:
        self.nodes = [ClusterNode(tls) for _ in range(2 * _PRIMARIES)]
        hosts = ",".join(f"{HOST}:{node.port}" for node in self.nodes)
        self.url = f"redis+cluster://{hosts}"
        if tls is not None:
            self.url = f"rediss+cluster://{hosts}?{tls.query}"

    @property
    def processes(self) -> Sequence[ClusterNode]:
        """Return all of them, in the order in which they are started."""
        return self.nodes

    def start(self) -> None:
        """Start the nodes, make a Cluster of them and return once it is whole."""
        for node in self.nodes:
            node.start()
        primaries, replicas = self.nodes[:_PRIMARIES], self.nodes[_PRIMARIES:]
        for number, node in enumerate(primaries):
            # Epochs of their own, before they meet: or they would have to find out who gives way.
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
        """Wait until the nodes that run agree on running primaries, and replicas follow them."""
        until_it_says(self._is_ok, PATIENCE_SECONDS)

    def owner_of(self, key: str) -> ClusterNode:
        """Return the primary that serves a key, as the primaries themselves have it."""
        found: list[ClusterNode] = []

        def is_owned() -> bool:
            found[:] = (n for n in self._primaries() if n.serves(key))
            return len(found) == 1

        until_it_says(is_owned, PATIENCE_SECONDS)
        return found[0]

    def other_than(self, owner: ClusterNode) -> ClusterNode:
        """Return some other primary."""
        return next(node for node in self._primaries() if node is not owner)

    def replica_of(self, primary: ClusterNode) -> ClusterNode:
        """Return the running replica of a primary."""
        return next(
            node
            for node in self._running()
            if (role := node.ask("ROLE"))[0] == "slave" and role[2] == primary.port
        )

    def failover(self, key: str) -> ClusterNode:
        """Let a replica take over from the primary of a key, in good order; return it."""
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
        """Move the slot of a key, with all its keys, to another primary; return that one."""
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
    """The slot of a key on its way to another primary: ``with SlotMove(cluster, key) as move:``.

    In the block the source answers ``ASK`` for keys that it has not, or no more; as the block ends
    the target takes the slot over, and the source answers ``MOVED``.
    """

    def __init__(self, cluster: ValkeyCluster, key: str) -> None:
        self.source = cluster.owner_of(key)
        self.target = cluster.other_than(self.source)
        self._cluster = cluster
        self._slot = key_slot(key.encode())

    def move_keys(self) -> None:
        """Move all keys that the slot has at this moment."""
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
