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
    _DRIVER: dict[str, Any] = {}  # in older versions of redis-py
else:
    _DRIVER = {"driver_info": DriverInfo()}  # else each connection reads redis-py's metadata

TIMEOUT_S: Final = 5.0
OPENING_SHARE: Final = 0.9
"""Share of a call's timeout that opening a connection may take: it fails before its callers time
out, so that a retry opens another one."""


class Connect(Protocol):
    """Opens a connection to a server; `Connection` explains the arguments.

    Raises a ``RedisError`` if that fails, or takes nearly as long as a call may.
    """

    def __call__(
        self, deliver: Deliver | None = None, *, decode: bool = False
    ) -> Awaitable[Connection]:
        """Open it."""


class Connector:
    """Opens connections as redis-py does, with these options of a URL.

    ``timeout_s`` is the timeout of a call in seconds: that of the options, by default
    ``TIMEOUT_S``, and at most ``at_most_s``.
    """

    def __init__(self, options: Mapping[str, Any], at_most_s: float = math.inf) -> None:
        # The pool only completes the options; it opens no connections.
        defaults: dict[str, Any] = {
            "socket_timeout": TIMEOUT_S,
            "socket_connect_timeout": TIMEOUT_S,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
            **_DRIVER,
        }
        if "path" not in options:  # a Unix socket has no such option
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
        """Connect to ``node``, or to the address in the options. Raises a ``RedisError``."""
        where = {} if node is None else {"host": node[0], "port": node[1]}
        connection = self._class(**(self._options | where))
        async with answered_within(self.timeout_s * OPENING_SHARE):
            return await Connection.open(connection, self.timeout_s, deliver, decode=decode)


class Server:
    """A server whose calls share one connection, opened at first use and reopened when it is lost.

    ``connect`` opens further connections to it. ``name`` is its host and port, unless it stands for
    a server that may change.
    """

    def __init__(self, connect: Connect, name: str = "the server") -> None:
        self.connect = connect
        self.name = name
        self._connection: Connection | None = None
        self._earlier: list[Connection] = []  # perhaps with pending calls
        self._others: list[Server] = []
        self._opening = Shared(self._open)
        self._has_failed = False

    def __str__(self) -> str:
        """Return its name."""
        return self.name

    @property
    def connection(self) -> Connection | None:
        """The connection, unless it is known to be closed."""
        connection = self._connection
        return connection if connection is not None and connection.is_open else None

    @property
    def ready(self) -> Connection | None:
        """The connection, unless it is closed or was idle long enough to be closed unnoticed."""
        connection = self.connection
        return connection if connection is not None and not connection.is_idle else None

    @property
    def is_unavailable(self) -> bool:
        """Whether the connection was lost or could not be opened."""
        return self._has_failed or (self._connection is not None and not self._connection.is_open)

    def with_text(self) -> "Server":
        """Return the same server with another connection, whose texts are str.

        ``give_up`` and ``aclose`` of this server apply to that one, too.
        """
        other = Server(partial(self.connect, decode=True), self.name)
        self._others.append(other)
        return other

    async def open(self) -> Connection:
        """Return a connection that takes calls. Raises a ``RedisError`` if none can be opened."""
        if self._connection is not None and self._connection.is_idle:
            # Let the event loop process what has arrived: Redis may have closed the connection.
            for _ in range(3):
                await asyncio.sleep(0)
        if self._connection is not None and self._connection.is_open:
            return self._connection
        return await self._opening.result()

    async def ask(self, commands: bytes, count: int = 1) -> Replies:
        """Send packed commands over an open connection, and return their ``count`` replies.

        Raises what ``open`` and ``Connection.ask`` raise.
        """
        return await (await self.open()).ask(commands, count)

    def give_up(self) -> None:
        """Make the next call open a new connection; pending calls keep theirs."""
        if self._connection is not None:
            self._connection.retire()
        for other in self._others:
            other.give_up()

    async def aclose(self) -> None:
        """Close all connections; calls without an answer raise ``redis.ConnectionError``."""
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
        if self._connection is not None:
            self._earlier.append(self._connection)
        for each in self._earlier:
            each.retire()  # perhaps another event loop's
        self._earlier = [each for each in self._earlier if not each.is_closed]
        self._connection = opened
        return opened
