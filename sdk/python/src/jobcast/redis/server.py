"""One Redis server, and how connections to it are opened."""

import asyncio
import math
from collections.abc import Awaitable, Mapping
from functools import partial
from typing import Any, Final, Protocol

from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from jobcast.redis.address import HostAndPort
from jobcast.redis.connection import Connection, Deliver, Replies, answered_within
from jobcast.redis.shared import Shared

try:
    from redis.driver_info import DriverInfo
except ImportError:
    _DRIVER: dict[str, Any] = {}  # an older redis-py
else:
    _DRIVER = {"driver_info": DriverInfo()}  # or each connection reads redis-py's own files for it

TIMEOUT_S: Final = 5.0
OPENING: Final = 0.9
"""What share of a call's time opening a connection may take: it fails before those who wait for it
give up, so that a repeated call opens another one."""


class Connect(Protocol):
    """Opens a connection to a server; `Connection` explains the arguments.

    It raises a ``RedisError`` when that fails, or would take as long as a call may.
    """

    def __call__(
        self, deliver: Deliver | None = None, *, decode: bool = False
    ) -> Awaitable[Connection]:
        """Open it."""


class Connector:
    """Opens connections as redis-py does with these options of a URL.

    ``timeout_s`` is how long a call may wait for its answer: what the options say, or ``TIMEOUT_S``
    if they don't, and ``at_most_s`` in any case.
    """

    def __init__(self, options: Mapping[str, Any], at_most_s: float = math.inf) -> None:
        # Only what the pool makes of the options is used.
        defaults: dict[str, Any] = {
            "socket_timeout": TIMEOUT_S,
            "socket_connect_timeout": TIMEOUT_S,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
            **_DRIVER,
        }
        if "path" not in options:  # a Unix socket has none
            defaults["socket_keepalive"] = True
        pool = BlockingConnectionPool(**(defaults | dict(options)))
        self._class = pool.connection_class
        self._options = pool.connection_kwargs
        self.timeout_s: float = min(self._options["socket_timeout"], at_most_s)

    async def open(
        self,
        deliver: Deliver | None = None,
        *,
        decode: bool = False,
        node: HostAndPort | None = None,
    ) -> Connection:
        """Connect to a node, or to where the options say; a ``RedisError`` when that fails."""
        where = {} if node is None else {"host": node[0], "port": node[1]}
        connection = self._class(**(self._options | where))
        async with answered_within(self.timeout_s * OPENING):
            return await Connection.open(connection, self.timeout_s, deliver, decode=decode)


class Server:
    """A server whose calls share one connection, opened at first use and anew when it is lost.

    ``connect`` opens further connections to it. ``name`` is its host and port, unless the server
    that this stands for may change.
    """

    def __init__(self, connect: Connect, name: str = "the server") -> None:
        self.connect = connect
        self.name = name
        self._connection: Connection | None = None
        self._earlier: list[Connection] = []  # perhaps with calls that wait for their answers
        self._others: list[Server] = []
        self._opening = Shared(self._open)
        self._has_failed = False

    def __str__(self) -> str:
        """Return its name."""
        return self.name

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

    def with_text(self) -> "Server":
        """Return the same server with a connection of its own, whose texts are str.

        It gives up and closes together with this one.
        """
        other = Server(partial(self.connect, decode=True), self.name)
        self._others.append(other)
        return other

    async def open(self) -> Connection:
        """Return a connection that takes calls; a ``RedisError`` when there can't be one."""
        if self._connection is not None and self._connection.is_quiet:
            # The event loop may have been kept busy: let it see what has come, an end perhaps.
            for _ in range(3):
                await asyncio.sleep(0)
        if self._connection is not None and self._connection.is_open:
            return self._connection
        return await self._opening.result()

    async def ask(self, commands: bytes, count: int = 1) -> Replies:
        """Send packed commands over a connection that takes calls, and return what they get.

        Raises what ``open`` and ``Connection.ask`` do.
        """
        return await (await self.open()).ask(commands, count)

    def give_up(self) -> None:
        """Have the next call open a connection; those under way keep theirs."""
        if self._connection is not None:
            self._connection.retire()
        for other in self._others:
            other.give_up()

    async def aclose(self) -> None:
        """Close it; calls without an answer raise ``redis.ConnectionError``."""
        await self._opening.cancel()
        connections, self._earlier = [*self._earlier, self._connection], []
        self._connection = None
        for connection in connections:
            if connection is not None:
                await connection.close()
        for other in self._others:
            await other.aclose()

    async def _open(self) -> Connection:
        try:
            opened = await self.connect()
        except BaseException:
            self._has_failed = True
            raise
        self._has_failed = False
        self._earlier = [each for each in self._earlier if not each.is_closed]
        if self._connection is not None:
            self._earlier.append(self._connection)
        self._connection = opened
        return opened
