"""Another server takes over, under Sentinels or in a Cluster, or a job moves to another node."""

import asyncio

from jobcast.protocol.names import log_key
from tests.faults.fault import Fault
from tests.support.starting import until_it_says
from tests.support.valkey import Valkey
from tests.support.waiting import PATIENCE_SECONDS


class _OfSentinels(Fault):
    target = "redis"
    form = "sentinel"
    # A replica may lack what the primary had confirmed just before its end.
    loses = True

    def primary(self) -> Valkey:
        """Return the server that is struck."""
        self._struck = self.world.sentinels.primary()
        return self._struck

    async def heal(self) -> None:
        """Wait until another one is the primary, and have the first one back as its replica."""
        sentinels = self.world.sentinels

        def taken_over() -> bool:
            return sentinels.primary() is not self._struck

        await asyncio.to_thread(until_it_says, taken_over, PATIENCE_SECONDS)
        await asyncio.to_thread(sentinels.restart)


class PrimaryKilled(_OfSentinels):
    name = "sentinel-primary-killed"
    what = "The primary under Sentinels is killed, and a replica takes over"

    async def strike(self) -> None:
        await asyncio.to_thread(lambda: self.primary().kill())


class PrimaryFrozen(_OfSentinels):
    name = "sentinel-primary-frozen"
    what = "The primary under Sentinels is frozen, a replica takes over, and it wakes up"

    async def strike(self) -> None:
        await asyncio.to_thread(lambda: self.primary().pause())


class SwitchedOver(_OfSentinels):
    name = "sentinel-failover"
    what = "Sentinels are told to make a replica the primary"
    seconds = 0.0

    async def strike(self) -> None:
        await asyncio.to_thread(self.primary)
        await asyncio.to_thread(self.world.sentinels.failover)


class _OfCluster(Fault):
    target = "redis"
    form = "cluster"
    seconds = 0.0

    def key(self) -> str:
        """Return a key of the job that is struck, which is the one that is measured."""
        return log_key(self.world.works[0].job_id)


class NodeKilled(_OfCluster):
    name = "cluster-node-killed"
    what = "A primary of a Cluster is killed, and its replica takes over"
    loses = True

    async def strike(self) -> None:
        cluster = self.world.cluster
        struck = await asyncio.to_thread(cluster.owner_of, self.key())
        await asyncio.to_thread(struck.kill)

    async def heal(self) -> None:
        cluster = self.world.cluster
        await asyncio.to_thread(cluster.until_ok)
        await asyncio.to_thread(cluster.restart)


class FailedOver(_OfCluster):
    name = "cluster-failover"
    what = "A replica of a Cluster takes over in good order"

    async def strike(self) -> None:
        await asyncio.to_thread(self.world.cluster.failover, self.key())


class SlotMoved(_OfCluster):
    name = "slot-moved"
    what = "The slot of a job moves to another node of the Cluster"

    async def strike(self) -> None:
        await asyncio.to_thread(self.world.cluster.move_slot, self.key())
