"""A connection to Redis that is read with little ceremony: for what there is very much of.

redis-py opens the connection, so that the URL, TLS and authentication mean what they mean
everywhere. Its way of reading, a task switch and some thirty calls a message, is left out: bytes go
from the event loop to hiredis, and all that one read brought is handed on at once.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, Self, cast

import hiredis
from redis.asyncio.connection import AbstractConnection

from eventlog.cluster import Connector
from eventlog.connection import available

_CLOSED: Final = "Redis closed it"

Replies = list[Any]
"""What one read brought: lists, numbers and texts as hiredis gives them, and its ``ReplyError``."""


_pack: Final = cast("Callable[[tuple[str | bytes, ...]], bytes]", hiredis.pack_command)


def packed(*command: str | bytes) -> bytes:
    """Return a command as Redis reads it."""
    return _pack(command)


class RawConnection(asyncio.Protocol):
    """An open connection to Redis.

    Attributes:
        heard_at: when the last bytes came, on the event loop's clock.
        lost: done when the connection is; its result says why.
        is_paused: whether what comes is left where it is, and nothing can be heard.
    """

    def __init__(
        self,
        connection: AbstractConnection,
        deliver: Callable[[Replies], None],
        parser: hiredis.Reader,
    ) -> None:
        self._connection = connection
        self._deliver = deliver
        self._parser = parser
        loop = asyncio.get_running_loop()
        self._now = loop.time
        self.heard_at = loop.time()
        self.is_paused = False
        self.lost: asyncio.Future[str] = loop.create_future()
        # redis-py has no public way to what it opened.
        writer = cast("Any", connection)._writer  # noqa: SLF001
        self._transport: asyncio.Transport = writer.transport
        self._transport.set_protocol(self)

    @classmethod
    async def open(
        cls, connector: Connector, deliver: Callable[[Replies], None], *, decode: bool
    ) -> Self:
        """Connect.

        Args:
            connector: says where and how.
            deliver: is given what arrives; it must not raise.
            decode: texts as str instead of bytes; what is no UTF-8 becomes U+FFFD.

        Raises:
            LogUnavailable: Redis is away.
        """
        connection = connector()
        # redis-py would bound each write by asyncio.wait_for, which on Python 3.11 may lose the
        # cancellation of the task that waits. `available` bounds them all.
        connection.socket_timeout = None
        try:
            async with available():
                await connection.connect()  # type: ignore[no-untyped-call]  # redis-py's own
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        options: dict[str, Any] = {"encoding": "utf-8", "errors": "replace"} if decode else {}
        return cls(connection, deliver, hiredis.Reader(**options))

    def pause(self) -> None:
        """Leave what comes where it is, until ``resume``."""
        if not self.is_paused and not self._transport.is_closing():
            self.is_paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Take in what comes again."""
        if self.is_paused and not self._transport.is_closing():
            self.is_paused = False
            self.heard_at = self._now()  # what waits is yet to be read: it was not silent
            self._transport.resume_reading()

    def send(self, commands: bytes) -> None:
        """Send commands that were packed; their replies come like all else."""
        if not self._transport.is_closing():
            self._transport.write(commands)

    async def close(self) -> None:
        """Close it now; what was sent and has not gone out is lost."""
        self.give_up("closed")
        await self._connection.disconnect(nowait=True)

    def give_up(self, why: str) -> None:
        """Have the connection be lost."""
        self._lose(why)
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Hand on what came; asyncio's part in the connection, not for callers."""
        self.heard_at = self._now()
        parser = self._parser
        replies: Replies = []
        try:
            parser.feed(data)
            while (reply := parser.gets()) is not False:
                replies.append(reply)
        except hiredis.HiredisError as error:
            self.give_up(str(error))
        if replies:
            self._deliver(replies)

    def connection_lost(self, error: Exception | None) -> None:
        """Learn that it is over; asyncio's part in the connection, not for callers."""
        self._lose(str(error or _CLOSED))

    def _lose(self, why: str) -> None:
        if not self.lost.done():
            self.lost.set_result(why)
