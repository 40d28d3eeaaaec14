"""The server that Sentinels call the primary, whichever that is when a connection is opened."""

import asyncio
import logging
from functools import partial
from typing import Any, Final

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import (
    Sentinel,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from eventlog.cluster import Connector
from jobcast.redis.address import Address, HostAndPort

_log = logging.getLogger("jobcast.sentinel")

_ANSWER_S: Final = 0.4
"""How long one Sentinel may take: the next one has to be asked in time."""


class Primary:
    """Where the primary is: what redis-py's connections for Sentinel ask of their pool.

    Args:
        address: of the Sentinels.
    """

    is_master = True
    check_connection = False

    def __init__(self, address: Address) -> None:
        self._address = address

    async def get_master_address(self) -> HostAndPort:
        """Ask the Sentinels, one after the other, and none twice: the next one is there for that.

        Raises:
            redis.ConnectionError: none of them knows.
        """
        # Bounded here, for redis-py does it by asyncio.wait_for, which on Python 3.11 may lose the
        # cancellation of the task that waits.
        unbounded = {"socket_timeout": None, "socket_connect_timeout": None}
        once = {"retry": Retry(NoBackoff(), 0)}
        options = {**self._address.sentinel_options, **unbounded, **once}
        for node in self._address.nodes:
            sentinel = Sentinel([node], sentinel_kwargs=options)  # type: ignore[no-untyped-call]
            try:
                async with asyncio.timeout(_ANSWER_S):
                    host, port = await sentinel.discover_master(self._address.name)
                return str(host), int(port)
            except (RedisError, OSError, TimeoutError) as error:
                _log.info("a Sentinel does not say where the primary is: %s", error)
            finally:
                await sentinel.aclose()
        raise RedisConnectionError("no Sentinel says where the primary is")

    def sentinels(self) -> list[Connector]:
        """Return what makes connections to each of the Sentinels."""
        options = {**self._address.sentinel_options, "retry": Retry(NoBackoff(), 0)}
        kind = SSLConnection if options.pop("ssl", False) else Connection
        return [
            partial(kind, host=host, port=port, **options) for host, port in self._address.nodes
        ]


def primary_options(address: Address) -> dict[str, Any]:
    """Return what makes a connection of redis-py one to the primary."""
    return {
        "connection_class": (
            SentinelManagedSSLConnection if address.is_tls else SentinelManagedConnection
        ),
        "connection_pool": Primary(address),
        "redis_connect_func": _greet_primary,
    }


async def _greet_primary(connection: AbstractConnection) -> None:
    """Begin a connection, unless to a server that was just replaced and will learn of it soon."""
    await connection.on_connect()
    await connection.send_command("ROLE")
    role = (await connection.read_response())[0]
    if role not in {b"master", "master"}:
        raise RedisConnectionError(f"this server is the primary no more, but a {role!r}")
