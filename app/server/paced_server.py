"""Hypercorn's listener and connections, with a limit on the work of one loop iteration.

An event loop accepts all pending connections and wakes a task for each that has data: several
milliseconds per hundred connections, during which no event is delivered. So a ``Pace`` limits the
accepts and reads of an iteration. TLS handshakes and decryption happen below and are not limited.
"""

import _socket
import asyncio
import errno
import logging
import socket
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, Final, cast

from hypercorn.asyncio import run

from eventlog.pace import Arrivals, Pace

_log = logging.getLogger("jobcast.server")

_FULL: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_PAUSE_S: Final = 1.0
"""Pause after an accept that failed for lack of resources."""

_LIMIT: Final = 2**16
"""Unread bytes above which a ``StreamReader`` pauses its transport; asyncio's default."""

OnConnection = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class AcceptedSocket(socket.socket):
    """A connection whose ``family`` and ``type`` are plain numbers.

    ``socket.socket`` converts them to an enum each time, and they are read three times for a
    connection: 1 % of the CPU of a connect.
    """

    __slots__ = ()
    family = cast("Any", _socket.socket.family)
    type = cast("Any", _socket.socket.type)


class PacedProtocol(asyncio.StreamReaderProtocol):
    """A connection whose events are handled in order, at the pace of the loop."""

    def __init__(self, pace: Pace, on_connection: OnConnection) -> None:
        reader = asyncio.StreamReader(limit=_LIMIT, loop=asyncio.get_running_loop())
        super().__init__(reader, on_connection, loop=asyncio.get_running_loop())
        self._pace = pace

    def data_received(self, data: bytes) -> None:
        """Handle the data now or, pausing reads, as soon as the pace allows."""
        if self._pace.left:
            self._pace.count()
            super().data_received(data)
            return
        transport: asyncio.Transport = self._transport  # type: ignore[attr-defined]  # asyncio's own
        if not transport.is_closing():
            transport.pause_reading()
        self._pace.do(self._resume_with, transport, data)

    def _resume_with(self, transport: asyncio.Transport, data: bytes) -> None:
        if not transport.is_closing():
            transport.resume_reading()
        super().data_received(data)

    def eof_received(self) -> bool:
        """Handle the end of the client's data; return whether the transport stays open."""
        self._pace.do(super().eof_received)
        return not self._over_ssl  # type: ignore[attr-defined]  # asyncio's own

    def connection_lost(self, exc: Exception | None) -> None:
        """Handle the end of the connection."""
        self._pace.do(super().connection_lost, exc)


class PacedServer:
    """Accepts the connections of one listener at the pace of the loop.

    Args:
        on_connection: a coroutine function, called with the reader and writer of each connection.
        listener: a bound socket.
        backlog: backlog of the listener.
        tls: TLS arguments of ``connect_accepted_socket``; empty without TLS.
    """

    def __init__(
        self,
        on_connection: OnConnection,
        listener: socket.socket,
        backlog: int,
        tls: dict[str, Any],
    ) -> None:
        self._on_connection = on_connection
        self._listener = listener
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._pace = Arrivals.here()
        self._tasks: set[asyncio.Task[Any]] = set()
        listener.setblocking(False)  # noqa: FBT003 - its signature
        listener.listen(backlog)
        self._begin()

    def close(self) -> None:
        """Stop accepting."""
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener)
            self._listener.close()

    async def wait_closed(self) -> None:
        """Return at once: accepted connections stay open."""

    def _begin(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        """Accept as many as the pace allows; the loop calls again while connections are pending."""
        while self._pace.left:
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _FULL:
                    raise
                self._pause(error)
                return
            self._pace.count()
            connection.__class__ = AcceptedSocket
            connection.setblocking(False)  # noqa: FBT003 - its signature
            task = self._loop.create_task(self._open(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _open(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection, **self._tls)
        except OSError as error:  # the handshake failed, or the client has disconnected
            _log.debug("a connection was not opened: %s", error)

    def _protocol(self) -> PacedProtocol:
        return PacedProtocol(self._pace, self._on_connection)

    def _pause(self, error: OSError) -> None:
        context = {"message": "accept() failed for lack of resources", "exception": error}
        self._loop.call_exception_handler(context)  # ``app.server.descriptors`` logs it
        self._loop.remove_reader(self._listener)
        self._loop.call_later(_PAUSE_S, self._begin)


async def start_server(
    on_connection: OnConnection,
    *,
    sock: socket.socket,
    backlog: int = 100,
    ssl: Any = None,  # noqa: ANN401 - as asyncio has it
    ssl_handshake_timeout: float | None = None,
) -> PacedServer:
    """Replace ``asyncio.start_server``, with the arguments that Hypercorn passes."""
    tls = {} if ssl is None else {"ssl": ssl, "ssl_handshake_timeout": ssl_handshake_timeout}
    return PacedServer(on_connection, sock, backlog, tls)


def pace_connections() -> None:
    """Make Hypercorn start a ``PacedServer``: replace ``asyncio`` in its module."""
    patched = {**vars(asyncio), "start_server": start_server}
    cast("Any", run).asyncio = SimpleNamespace(**patched)
