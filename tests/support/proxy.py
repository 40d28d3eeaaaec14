"""A TCP proxy that can be cut, muted, delayed, narrowed, half-closed, and held at a text."""

import asyncio
import itertools
import socket
import struct
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from tests.support.valkey import HOST
from tests.support.waiting import after

_PIECE_BYTES = 65536
_NARROW_BYTES = 4096

End = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Proxy:
    """Forwards each connection to the next of several ports, skipping those that refuse it.

    Args:
        to_ports: the ports to forward to.
        narrow: whether to buffer very little, so that a slow reader slows the sender down.

    Attributes:
        port: port of the proxy, within its block.
        delay_s: delay of each piece of data.
        bytes_per_s: throughput of each connection and direction; None for no limit.
    """

    def __init__(self, *to_ports: int, narrow: bool = False) -> None:
        self.port = 0
        self.delay_s = 0.0
        self.bytes_per_s: float | None = None
        self._to_ports = itertools.cycle(to_ports)
        self._tries = len(to_ports)
        self._narrow = narrow
        self.piece_bytes = _NARROW_BYTES if narrow else _PIECE_BYTES
        self._links: set[_Link] = set()
        self._is_over = False
        self._refuses = False
        self._mutes = False
        self._held = b""
        self._release = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def cut(self, *, refuse: bool = False) -> None:
        """Reset all connections; with ``refuse`` also new ones, until ``mend``."""
        self._refuses = refuse
        for link in tuple(self._links):
            link.reset()

    def mute(self, *, later: bool = True) -> None:
        """Hold all data until ``mend``; connections stay open.

        Args:
            later: whether to hold the data of new connections too.
        """
        self._mutes = later
        for link in self._links:
            link.passing.clear()

    def mend(self) -> None:
        """Forward everything again, first the held data, and accept connections."""
        self._refuses = self._mutes = False
        self.delay_s, self.bytes_per_s = 0.0, None
        for link in self._links:
            link.passing.set()

    def half_close(self) -> None:
        """Shut down the direction towards clients; the other one stays open."""
        for link in tuple(self._links):
            link.end_the_way_back()

    def hold(self, text: bytes) -> None:
        """Stop one direction of a connection before the first piece that contains this text."""
        self._held = text

    def release(self) -> None:
        """Forward what ``hold`` has stopped."""
        self._held = b""
        self._release.set()

    async def released(self, data: bytes) -> None:
        """Wait until these bytes may be forwarded."""
        if self._held and self._held in data:
            await self._release.wait()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._accept, HOST, 0, limit=self.piece_bytes, backlog=1024
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        self._is_over = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # transports close their sockets in the next turn of the loop

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_over:  # the connection was accepted just before
            writer.transport.abort()
            return
        task = asyncio.create_task(self._serve((reader, writer)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: writer.close())  # even if it is cancelled before it runs

    async def _serve(self, here: End) -> None:
        """Serve a connection until it ends; proxies that parse the data override this."""
        there = None if self._refuses else await self._connect()
        if there is None:
            here[1].transport.abort()
            return
        link = _Link(self, here, there)
        if self._mutes:
            link.passing.clear()
        self._links.add(link)
        try:
            await link.carry()
        finally:
            self._links.discard(link)
            for _, end in (here, there):
                end.close()

    async def _connect(self) -> End | None:
        for port in itertools.islice(self._to_ports, self._tries):
            end = socket.socket()
            end.setblocking(False)  # noqa: FBT003 - its only argument
            if self._narrow:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _NARROW_BYTES)
            try:
                await asyncio.get_running_loop().sock_connect(end, (HOST, port))
            except OSError:
                end.close()
            except BaseException:
                end.close()
                raise
            else:
                return await asyncio.open_connection(sock=end, limit=self.piece_bytes)
        return None


class _Link:
    """One connection through a proxy."""

    def __init__(self, proxy: Proxy, here: End, there: End) -> None:
        self.passing = asyncio.Event()
        self.passing.set()
        self._proxy = proxy
        self._here = here
        self._there = there
        self._deaf = False

    async def carry(self) -> None:
        """Forward both directions until either side closes."""
        there = asyncio.create_task(self._pour(self._here[0], self._there[1]))
        back = asyncio.create_task(self._pour(self._there[0], self._here[1]))
        try:
            await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
            if back.done():
                self._here[1].close()
                await self._here[1].wait_closed()
        except OSError:
            pass  # a peer closed the connection before all data was sent
        finally:
            for each in (there, back):
                each.cancel()
            await asyncio.gather(there, back, return_exceptions=True)

    def end_the_way_back(self) -> None:
        """Send the client an EOF, and drop all further data for it."""
        self._deaf = True
        if self._here[1].can_write_eof():
            self._here[1].write_eof()

    def reset(self) -> None:
        """Reset both connections, like a machine that crashes."""
        for _, writer in (self._here, self._there):
            connection = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def _pour(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(self._proxy.piece_bytes):
            await self._proxy.released(data)
            async for piece in self._pieces(data):
                if not (self._deaf and target is self._here[1]):
                    target.write(piece)
                    await target.drain()
        await self.passing.wait()

    async def _pieces(self, data: bytes) -> AsyncIterator[bytes]:
        while data:
            await self.passing.wait()
            if self._proxy.delay_s:
                await after(self._proxy.delay_s)
            size = len(data)
            if self._proxy.bytes_per_s is not None:
                size = min(size, max(1, int(self._proxy.bytes_per_s / 10)))
                await after(size / self._proxy.bytes_per_s)
            yield data[:size]
            data = data[size:]
