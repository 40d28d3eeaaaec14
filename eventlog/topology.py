"""Single server or Cluster: the only module that asks which of the two Redis is."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from eventlog.batches import Batches
from eventlog.cluster import Cluster
from eventlog.cluster_subscriptions import ClusterSubscriptions
from eventlog.connection import Client, available, connector_of, refusal_of_all, refusal_of_server
from eventlog.shards import ShardedBatches
from eventlog.subscriptions import Subscriptions
from jobcast.protocol.names import PLAIN, SHARDED

OnLost = Callable[[str], Awaitable[None]]  # is given the server that was lost

_ONLY: Final = "the server"


class SingleServer:
    """One server has everything; Sentinels may say which it is."""

    pubsub = PLAIN
    queue_prefix = "bull"

    def __init__(self, client: Redis) -> None:
        self._client = client

    def subscriptions(self, on_lost: OnLost) -> Subscriptions:
        """Return what follows channels."""
        return Subscriptions(connector_of(self._client), lambda: on_lost(_ONLY))

    def batches(self) -> Batches:
        """Return what asks many questions at a time."""
        return Batches(connector_of(self._client))

    def server_of(self, _key: str) -> str | None:
        """Return the name of the server that has a key; None if none has."""
        return _ONLY

    async def keys(self, name: Callable[[int], str]) -> dict[str, str]:
        """Return a key on each server, by the server's name; ``name`` makes one of any number."""
        return {_ONLY: name(0)}

    async def refresh(self) -> None:
        """Learn anew which server has what."""

    async def drop_idle(self, _server: str) -> None:
        """Close unused connections to a server that was lost: it may be frozen, or replaced."""
        with suppress(RedisError, OSError):
            await self._client.connection_pool.disconnect(inuse_connections=False)

    async def refusal(self) -> str | None:
        """Return why Redis refuses a connection; None if it accepts one, or is unavailable.

        Of Sentinels, or of the nodes of a Cluster, all that answer have to refuse.
        """
        return await refusal_of_server(self._client)

    async def close(self) -> None:
        """Close all connections of the client."""
        await self._client.aclose()


class ClusterTopology:
    """Each node has some slots; see ``SingleServer`` for the methods."""

    pubsub = SHARDED
    queue_prefix = "{bull}"  # all keys of a queue have to be in one slot

    def __init__(self, client: Cluster) -> None:
        self._client = client

    def subscriptions(self, on_lost: OnLost) -> ClusterSubscriptions:  # noqa: D102
        return ClusterSubscriptions(self._client, on_lost)

    def batches(self) -> ShardedBatches:  # noqa: D102
        return ShardedBatches(self._client)

    def server_of(self, key: str) -> str | None:  # noqa: D102
        return self._client.nodes.of(key)

    async def keys(self, name: Callable[[int], str]) -> dict[str, str]:  # noqa: D102
        async with available():
            await self._client.initialize()
        return self._client.nodes.keys(name)

    async def refresh(self) -> None:  # noqa: D102
        await self._client.nodes.refresh()

    async def drop_idle(self, server: str) -> None:  # noqa: D102
        if (lost := self._client.nodes_manager.nodes_cache.get(server)) is not None:
            with suppress(RedisError, OSError):
                await lost.disconnect_free_connections()

    async def refusal(self) -> str | None:  # noqa: D102
        seeds = [f"{host}:{port}" for host, port in self._client.seeds]
        return await refusal_of_all(map(self._client.nodes.connector, seeds), "CLUSTER SLOTS")

    async def close(self) -> None:  # noqa: D102
        await self._client.close_all()


Topology = SingleServer | ClusterTopology


def topology_of(client: Client) -> Topology:
    """Return what knows where things are for a client."""
    return ClusterTopology(client) if isinstance(client, Cluster) else SingleServer(client)
