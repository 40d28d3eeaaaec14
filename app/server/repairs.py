"""Repairs of Hypercorn 0.18 and h11, installed when Hypercorn starts to serve the application.

Each replaces one of their functions and names the upstream issue, if any, whose fix makes it
unnecessary.
``tests/integration/test_unrepaired_hypercorn.py`` fails when a repair is no longer needed.
"""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

import h11
from h2.errors import ErrorCodes
from h2.events import DataReceived, Event, RequestReceived
from h2.exceptions import ProtocolError
from h11._headers import Headers
from hypercorn.asyncio.lifespan import Lifespan
from hypercorn.asyncio.tcp_server import MAX_RECV, TCPServer
from hypercorn.events import Closed, RawData
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.h11 import H11Protocol

from app.asgi import Message, Receive, Send
from app.server.idle_connections import begin_idle_tasks_late
from app.server.paced_server import pace_connections

_LATE_BODY_S: Final = 2.0
"""Time for a client to send the rest of a request that has its response already."""

_POLL_S: Final = 0.02

_REQUESTS_PER_TURN: Final = 10
"""Requests of one HTTP/2 connection started before yielding to the event loop."""


def at_lifespan(receive: Receive, send: Send) -> Send:
    """Repair the server that starts the lifespan, if it is Hypercorn.

    Returns:
        The ``send`` for the application to use.
    """
    lifespan = getattr(receive, "__self__", None)
    if not isinstance(lifespan, Lifespan):
        return send
    install()
    # A program that embeds Hypercorn handles the error itself.
    is_command = hasattr(lifespan.config, "application_path")
    return _exit_on_failed_startup(send) if is_command else send


def install() -> None:
    """Install all repairs; idempotent."""
    begin_idle_tasks_late()
    pace_connections()
    for (owner, name), repair in REPAIRED.items():
        setattr(owner, name, repair)


def _exit_on_failed_startup(send: Send) -> Send:
    """Print the reason of a failed startup and exit with code 2.

    Hypercorn itself ends with an uncaught exception and a traceback of its own calls. Not reported
    upstream.
    """

    async def send_or_end(message: Message) -> None:
        if message["type"] == "lifespan.startup.failed":
            print(message.get("message", ""), file=sys.stderr, flush=True)  # noqa: T201 - the last word
            loop = asyncio.get_running_loop()
            loop.call_soon(sys.exit, 2)  # nobody would retrieve a SystemExit raised in this task
            await loop.create_future()
        await send(message)

    return send_or_end


async def _read_until_client_closes(server: TCPServer) -> None:
    """Close an idle connection as soon as its client does, and release the data read.

    Hypercorn closes it only after ``keep_alive_timeout``, and keeps the last data read, a request
    with its token, until the next read. Not reported upstream.
    """
    patience_s = server.config.read_timeout
    while not server.reader.at_eof():
        reading = server.reader.read(MAX_RECV)
        try:
            data = await (reading if patience_s is None else asyncio.wait_for(reading, patience_s))
        except OSError:
            break
        await server.protocol.handle(RawData(data))
        del data  # it holds a token, and a stream may stay open for long
    await server.protocol.handle(Closed())
    await server.idle_task.stop()


async def _handle_events_fairly(protocol: H2Protocol, events: list[Event]) -> None:
    """Drop late body data, reset unreadable requests, and start ten requests at a time.

    Hypercorn raises KeyError for body data of a request that has its response, which ends the
    HTTP/2 connection with all its streams: pgjones/hypercorn#329, fixed by #312 or #334. So does a
    request without a path (CONNECT), or whose path or method is not ASCII. Hypercorn also starts
    all requests of one read, up to a hundred, without yielding to the event loop. Neither is
    reported upstream.
    """
    started = 0
    for event in events:
        if isinstance(event, RequestReceived):
            started += 1
            if not started % _REQUESTS_PER_TURN:
                await asyncio.sleep(0)
            if not _is_readable(event):
                with suppress(ProtocolError):  # the client has reset it already
                    protocol.connection.reset_stream(event.stream_id, ErrorCodes.PROTOCOL_ERROR)
                continue
        if isinstance(event, DataReceived) and event.stream_id not in protocol.streams:
            length = event.flow_controlled_length or 0
            protocol.connection.acknowledge_received_data(length, event.stream_id)
        else:
            await _ORIGINALS["_handle_events"](protocol, [event])
    await protocol._flush()  # noqa: SLF001 - as Hypercorn does, even without an event


def _is_readable(request: RequestReceived) -> bool:
    """Return whether Hypercorn can read a request's method, and its path without the query."""
    path = b"\xff"
    for name, value in request.headers:
        if name == b":path":
            path, _, _ = value.partition(b"?")
        elif name == b":method" and not value.isascii():
            return False
    return path.isascii()


async def _recycle_after_body(protocol: H11Protocol) -> None:
    """After an early response, wait for the rest of the request before closing the connection.

    An error response may precede the end of the body: it is too large, or there is no such route.
    Hypercorn then closes at once, the kernel answers further data with a reset, and a client that
    is still sending gets the reset before it has read the response (RFC 9112 §9.6). Its symptom is
    reported as pgjones/hypercorn#89.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + _LATE_BODY_S
    while (  # noqa: ASYNC110 - h11 has no callback
        protocol.stream is not None  # the client is still connected
        and protocol.connection.their_state is h11.SEND_BODY
        and loop.time() < end
    ):
        await asyncio.sleep(_POLL_S)
    await _ORIGINALS["_maybe_recycle"](protocol)


async def _run_and_break_cycles(server: TCPServer) -> None:
    """Break a connection's reference cycles when it ends.

    A connection and its protocol refer to each other forever: some forty objects that only the
    cyclic garbage collector frees, which must traverse those of all open connections too. Not
    reported upstream.
    """
    try:
        await _ORIGINALS["run"](server)
    finally:
        _break_cycles(server)


def _init_with_parser(protocol: H11Protocol, *arguments: Any) -> None:  # noqa: ANN401 - Hypercorn's
    _ORIGINALS["__init__"](protocol, *arguments)
    protocol.connection.__class__ = _Parser


class _Parser(h11.Connection):
    """Raises errors of malformed HTTP without a traceback, whose frames refer to the error."""

    def next_event(self) -> Any:  # noqa: ANN401 - what h11 returns
        try:
            return super().next_event()
        except h11.RemoteProtocolError as error:
            raise error.with_traceback(None) from None


def _iterate(headers: Headers) -> Iterator[tuple[bytes, bytes]]:
    """Iterate over a request's headers without a call for each.

    Hypercorn does so three times for a request, and h11 leaves it to ``Sequence``, which calls
    ``__getitem__`` until an IndexError. Not reported upstream.
    """
    return iter([(name, value) for _, name, value in headers._full_items])  # noqa: SLF001 - its own


def _break_cycles(server: TCPServer) -> None:
    wrapper: Any = vars(server).get("protocol")  # absent if the client disconnected at once
    if wrapper is not None:
        wrapper.send = wrapper.protocol.send = _discard
        if isinstance(wrapper.protocol, H2Protocol):
            _break_stream_cycles(wrapper.protocol)
    if (error := server.reader.exception()) is not None:
        # Its traceback holds the connection, and the reader would raise it at each later write.
        error.__traceback__ = None
        reader: Any = server.reader
        reader._exception = None  # noqa: SLF001 - asyncio has no other way


def _break_stream_cycles(protocol: H2Protocol) -> None:
    """Clear h2's table of its own bound methods, and the tree of stream priorities."""
    connection: Any = protocol.connection
    connection._frame_dispatch_table.clear()  # noqa: SLF001 - h2 has no public way
    streams: Any = protocol.priority._streams  # noqa: SLF001 - nor has priority
    for stream in streams.values():
        stream.parent = None
    streams.clear()


async def _discard(_event: object) -> None:
    """Ignore events sent over an ended connection."""


REPAIRED: Final[dict[tuple[Any, str], object]] = {
    (TCPServer, "run"): _run_and_break_cycles,
    (TCPServer, "_read_data"): _read_until_client_closes,
    (H2Protocol, "_handle_events"): _handle_events_fairly,
    (H11Protocol, "__init__"): _init_with_parser,
    (H11Protocol, "_maybe_recycle"): _recycle_after_body,
    (Headers, "__iter__"): _iterate,
}
"""Replacements by class and method."""

_ORIGINALS: Final = {name: getattr(owner, name) for owner, name in REPAIRED}
