"""Hypercorn's listener and connections, with a bound to what of them is handled in a turn.

An event loop accepts all that wait, and wakes a task for each connection on which something came:
several milliseconds for every hundred, in which no event moves. So connections are accepted, and
what comes over them is taken in, at the ``Pace`` of the loop. TLS is the exception: its handshakes
and its decryption are below this.
"""

import asyncio
import errno
import logging
import socket
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, Final, cast

from hypercorn.asyncio import run

from eventlog.pace import Comings, Pace

_log = logging.getLogger("jobcast.server")

_FULL: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_PAUSE_S: Final = 1.0
"""Before it accepts again when there was no room for another connection."""

_LIMIT: Final = 2**16
"""Bytes that wait to be read, past which asyncio lets nothing more come; its own default."""

OnConnection = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class PacedProtocol(asyncio.StreamReaderProtocol):
    """A connection whose events are taken in at the pace of the loop, and in order."""

    def __init__(self, pace: Pace, on_connection: OnConnection) -> None:
        reader = asyncio.StreamReader(limit=_LIMIT, loop=asyncio.get_running_loop())
        super().__init__(reader, on_connection, loop=asyncio.get_running_loop())
        self._pace = pace

    def data_received(self, data: bytes) -> None:
        """Take in what came; until then, no more comes."""
        if self._pace.left:
            self._pace.count()
            super().data_received(data)
            return
        transport: asyncio.Transport = self._transport  # type: ignore[attr-defined]  # asyncio's own
        if not transport.is_closing():
            transport.pause_reading()
        self._pace.do(self._take_in, transport, data)

    def _take_in(self, transport: asyncio.Transport, data: bytes) -> None:
        if not transport.is_closing():
            transport.resume_reading()
        super().data_received(data)

    def eof_received(self) -> bool:
        """Take in that no more will come; say whether the transport stays open."""
        self._pace.do(super().eof_received)
        return not self._over_ssl  # type: ignore[attr-defined]  # asyncio's own

    def connection_lost(self, exc: Exception | None) -> None:
        """Take in that it is over."""
        self._pace.do(super().connection_lost, exc)


class PacedServer:
    """Accepts connections of one listener at the pace of the loop.

    Args:
        on_connection: a coroutine function, called with reader and writer of each.
        listener: a bound socket.
        backlog: how many connections may wait to be accepted.
        tls: what asyncio is told of TLS, if anything.
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
        self._pace = Comings.here()
        self._tasks: set[asyncio.Task[Any]] = set()
        listener.setblocking(False)  # noqa: FBT003 - its signature
        listener.listen(backlog)
        self._begin()

    def close(self) -> None:
        """Accept no more."""
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener)
            self._listener.close()

    async def wait_closed(self) -> None:
        """Return at once: what was accepted goes on."""

    def _begin(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        """Accept as many as may come in now; the loop calls again while there are more."""
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
            connection.setblocking(False)  # noqa: FBT003 - its signature
            task = self._loop.create_task(self._open(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _open(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection, **self._tls)
        except OSError as error:  # a handshake failed, or who connected has gone
            _log.debug("a connection was not opened: %s", error)

    def _protocol(self) -> PacedProtocol:
        return PacedProtocol(self._pace, self._on_connection)

    def _pause(self, error: OSError) -> None:
        told = {"message": "accept() found no room for another connection", "exception": error}
        self._loop.call_exception_handler(told)  # ``app.server.descriptors`` says it, once a minute
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
    """Do what ``asyncio.start_server`` does for Hypercorn."""
    tls = {} if ssl is None else {"ssl": ssl, "ssl_handshake_timeout": ssl_handshake_timeout}
    return PacedServer(on_connection, sock, backlog, tls)


def pace_connections() -> None:
    """Have Hypercorn take connections in at a pace: it sees another ``asyncio`` than all others."""
    seen = {**vars(asyncio), "start_server": start_server}
    cast("Any", run).asyncio = SimpleNamespace(**seen)
