"""Asking Redis many questions at once, over one connection that is kept."""

import asyncio
from contextlib import suppress

from eventlog.cluster import Connector
from eventlog.connection import available
from eventlog.errors import LogUnavailable
from eventlog.raw_connection import RawConnection, Replies


class Inquiry:
    """A connection for one batch of questions after the other; opened when it is first needed.

    Args:
        connector: says where and how; texts come as str.
    """

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self._connection: RawConnection | None = None
        self._replies: Replies = []
        self._wanted = 0
        self._complete: asyncio.Future[None] | None = None

    async def ask(self, commands: bytes, count: int) -> Replies:
        """Send commands and return their replies, of which any may be an exception.

        One caller at a time.

        Args:
            commands: packed.
            count: how many there are.

        Raises:
            LogUnavailable: not all were answered in time.
        """
        try:
            async with available():
                return await self._ask(commands, count)
        except BaseException:
            await self.close()  # what is still to come belongs to nobody
            raise

    async def close(self) -> None:
        """Close the connection; the next question opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _ask(self, commands: bytes, count: int) -> Replies:
        if self._connection is None or self._connection.lost.done():
            await self.close()
            self._connection = await RawConnection.open(self._connector, self._take, decode=True)
        self._replies, self._wanted = [], count
        complete = self._complete = asyncio.get_running_loop().create_future()
        lost = self._connection.lost
        lost.add_done_callback(self._give_up)
        self._connection.send(commands)
        try:
            await complete
        finally:
            lost.remove_done_callback(self._give_up)
        return self._replies

    def _take(self, replies: Replies) -> None:
        self._replies += replies
        if len(self._replies) >= self._wanted and self._complete is not None:
            with suppress(asyncio.InvalidStateError):
                self._complete.set_result(None)

    def _give_up(self, lost: asyncio.Future[str]) -> None:
        if self._complete is not None and not self._complete.done():
            self._complete.set_exception(LogUnavailable(f"Redis is away ({lost.result()})"))
