"""A connection on which Redis speaks unasked: pub/sub, read with little ceremony.

redis-py opens the connection, so that the URL, TLS and authentication mean what they mean
everywhere. After that its reading, a task switch and some thirty calls a message, is left out: the
bytes go from the event loop to hiredis, and all that one read brought is handed on at once.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, Self, cast

import hiredis
from redis.asyncio.connection import AbstractConnection

from eventlog.connection import Client, available

_CLOSED: Final = "Redis closed it"

Pushes = list[Any]
"""What one read brought: for pub/sub a list of bytes each, kind first."""


class PushConnection(asyncio.Protocol):
    """An open connection to Redis that a protocol of ours reads.

    Attributes:
        heard_at: when the last bytes came, on the event loop's clock.
        lost: done when the connection is; its result says why.
    """

    def __init__(self, connection: AbstractConnection, deliver: Callable[[Pushes], None]) -> None:
        self._connection = connection
        self._deliver = deliver
        self._parser = hiredis.Reader()
        loop = asyncio.get_running_loop()
        self._now = loop.time
        self.heard_at = loop.time()
        self.lost: asyncio.Future[str] = loop.create_future()
        # redis-py has no public way to what it opened.
        writer = cast("Any", connection)._writer  # noqa: SLF001
        self._transport: asyncio.Transport = writer.transport
        self._transport.set_protocol(self)

    @classmethod
    async def open(cls, client: Client, deliver: Callable[[Pushes], None]) -> Self:
        """Connect as a client does.

        Args:
            client: one whose answers are bytes.
            deliver: is given what arrives; it must not raise.

        Raises:
            LogUnavailable: Redis is away.
        """
        pool: Any = client.connection_pool
        connection = cast("AbstractConnection", pool.make_connection())
        try:
            async with available():
                await connection.connect()  # type: ignore[no-untyped-call]  # redis-py's own
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return cls(connection, deliver)

    def send(self, *command: str | bytes) -> None:
        """Send a command; its answer comes like all else."""
        if not self._transport.is_closing():
            self._transport.write(hiredis.pack_command(cast("Any", command)))

    async def close(self) -> None:
        """Close it now; what was sent and has not gone out is lost."""
        self._lose("closed")
        self._transport.abort()
        await self._connection.disconnect(nowait=True)

    def data_received(self, data: bytes) -> None:
        """Hand on what came; asyncio's part in the connection, not for callers."""
        self.heard_at = self._now()
        parser = self._parser
        pushes: Pushes = []
        try:
            parser.feed(data)
            while (push := parser.gets()) is not False:
                if isinstance(push, Exception):
                    raise push
                pushes.append(push)
        except (hiredis.HiredisError, hiredis.ReplyError) as error:
            self._lose(str(error))
            self._transport.abort()
        if pushes:
            self._deliver(pushes)

    def connection_lost(self, error: Exception | None) -> None:
        """Learn that it is over; asyncio's part in the connection, not for callers."""
        self._lose(str(error or _CLOSED))

    def _lose(self, why: str) -> None:
        if not self.lost.done():
            self.lost.set_result(why)
