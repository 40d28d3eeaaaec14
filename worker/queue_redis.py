"""The Redis client of BullMQ."""

from typing import Any, Final

from redis.asyncio import Redis, Sentinel
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.exceptions import (
    AskError,
    ClusterError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    TryAgainError,
)

from jobcast import parse_address
from jobcast.redis.caller import Caller

MAX_PAUSE_S: Final = 1.0
UNAVAILABLE: Final = (RedisError, RedisClusterException)
"""What calls raise while Redis is unavailable."""
HANDOVERS: Final = (
    *(AskError, ClusterError, RedisClusterException, TryAgainError),
    ReadOnlyError,
)
"""What calls raise during a failover; BullMQ does not recognize these as outages."""

_TRIES: Final = 3
_CONNECT_TIMEOUT_S: Final = 5.0
_SENTINEL_TIMEOUT_S: Final = 1.0
_ANSWER_TIMEOUT_S: Final = 5.0
"""Socket timeout; blocking commands must block for a shorter time."""


class QueueRedis:
    """A redis-py client, and the prefix of the queue's keys; see `jobcast.connect` for the URL.

    In a Cluster the prefix keeps a queue's keys in one slot. The service uses the same prefixes.
    """

    client: Redis | RedisCluster
    prefix: str = "bull"

    def __init__(self, url: str) -> None:
        self._address = address = parse_address(url)
        # BullMQ's own clients back off for up to 20 s after an outage. Its commands are idempotent,
        # so this client may retry them sooner.
        options: dict[str, Any] = {
            "decode_responses": True,
            "protocol": 2,
            "socket_connect_timeout": _CONNECT_TIMEOUT_S,
            "socket_timeout": _ANSWER_TIMEOUT_S,
            "retry": Retry(ExponentialBackoff(cap=MAX_PAUSE_S, base=0.1), _TRIES),
        }
        self._sentinels: Sentinel | None = None
        if address.kind == "single":
            self.client = Redis.from_url(url, **options)
            return
        options |= {"ssl": address.is_tls, **address.options}
        options.pop("connection_class", None)
        if address.kind == "cluster":
            nodes = [ClusterNode(host, port) for host, port in address.nodes]
            self.client = RedisCluster(startup_nodes=nodes, **options)
            self.prefix = "{bull}"
            return
        bounds = {
            "socket_timeout": _SENTINEL_TIMEOUT_S,
            "socket_connect_timeout": _SENTINEL_TIMEOUT_S,
        }
        # No retries: redis-py asks the next Sentinel instead.
        kwargs = bounds | address.sentinel_options | {"retry": Retry(NoBackoff(), 0)}
        sentinels: Any = Sentinel(list(address.nodes), sentinel_kwargs=kwargs)  # type: ignore[no-untyped-call]
        self._sentinels = sentinels
        self.client = sentinels.master_for(address.name, **options)

    async def refusal(self) -> str | None:
        """Return why Redis rejects the URL; None if it accepts it or is unavailable."""
        caller = Caller(self._address)
        try:
            return await caller.servers.refusal()
        finally:
            await caller.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self.client.aclose()
        if self._sentinels is not None:
            await self._sentinels.aclose()
