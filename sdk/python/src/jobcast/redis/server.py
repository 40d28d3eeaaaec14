"""One Redis server, and how connections are opened."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from jobcast.redis.address import HostAndPort
from jobcast.redis.connection import Connection, Replies

TIMEOUT_S: Final = 5.0


class Connector:
    """Opens connections as redis-py does with these options of a URL.

    ``timeout_s`` is how long a call may wait for its answer.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        # Only what the pool makes of the options is used.
        pool = BlockingConnectionPool(
            **{
                "socket_timeout": TIMEOUT_S,
                "socket_connect_timeout": TIMEOUT_S,
                "retry": Retry(NoBackoff(), 0),
                "protocol": 2,
                **options,
            }
        )
        self._class = pool.connection_class
        self._options = pool.connection_kwargs
        self.timeout_s: float = self._options["socket_timeout"]

    async def open(self, node: HostAndPort | None = None) -> Connection:
        """Connect to a node, or to where the options say; a ``RedisError`` when that fails."""
        where = {} if node is None else {"host": node[0], "port": node[1]}
        return await Connection.open(self._class(**(self._options | where)), self.timeout_s)


class Server:
    """A server whose calls share one connection, opened at first use and anew when it is lost.

    ``host`` is where it is, if that does not change.
    """

    def __init__(self, connect: Callable[[], Awaitable[Connection]], host: str = "") -> None:
        self.host = host
        self._connect = connect
        self._connection: Connection | None = None
        self._earlier: list[Connection] = []  # perhaps with calls that wait for their answers
        self._opening = asyncio.Lock()
        self._has_failed = False

    @property
    def connection(self) -> Connection | None:
        """The connection, if it takes calls as far as is known."""
        connection = self._connection
        return connection if connection is not None and connection.is_open else None

    @property
    def ready(self) -> Connection | None:
        """The connection, if it takes calls and was used just now."""
        connection = self.connection
        return connection if connection is not None and not connection.is_quiet else None

    @property
    def is_away(self) -> bool:
        """Whether the connection was lost, or could not be opened."""
        return self._has_failed or (self._connection is not None and not self._connection.is_open)

    async def open(self) -> Connection:
        """Return a connection that takes calls; a ``RedisError`` when there can't be one."""
        async with self._opening:
            if self._connection is not None and self._connection.is_quiet:
                # The event loop may have been kept busy: let it see what has come, an end perhaps.
                for _ in range(3):
                    await asyncio.sleep(0)
            if self._connection is None or not self._connection.is_open:
                self._has_failed = True
                opened = await self._connect()
                self._has_failed = False
                self._earlier = [each for each in self._earlier if not each.is_closed]
                if self._connection is not None:
                    self._earlier.append(self._connection)
                self._connection = opened
            return self._connection

    async def ask(self, commands: bytes, count: int = 1) -> Replies:
        """Send packed commands over a connection that takes calls, and return what they get.

        Raises what ``open`` and ``Connection.ask`` do.
        """
        return await (await self.open()).ask(commands, count)

    def give_up(self) -> None:
        """Have the next call open a connection; those under way keep theirs."""
        if self._connection is not None:
            self._connection.retire()

    async def aclose(self) -> None:
        """Close it; calls without an answer raise ``redis.ConnectionError``."""
        connections, self._earlier = [*self._earlier, self._connection], []
        self._connection = None
        for connection in connections:
            if connection is not None:
                await connection.close()
