"""What Hypercorn 0.18 gets wrong, put right: only while Hypercorn serves, and only from then on.

Each repair takes the place of a function of Hypercorn's own, and names what it waits for upstream.
``tests/integration/test_unrepaired_hypercorn.py`` fails when a repair is no longer needed.
"""

import asyncio
import sys
from typing import Any, Final

import h11
from h2.events import DataReceived, Event, RequestReceived
from hypercorn.asyncio.lifespan import Lifespan
from hypercorn.asyncio.tcp_server import MAX_RECV, TCPServer
from hypercorn.events import Closed, RawData
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.h11 import H11Protocol

from app.asgi import Message, Receive, Send
from app.server.idle_connections import begin_idle_tasks_late
from app.server.paced_server import pace_connections

_LATE_BODY_S: Final = 2.0
"""How long an answered client may take to send what is left of its request."""

_LOOK_S: Final = 0.02

_REQUESTS_AT_ONCE: Final = 10
"""Of one HTTP/2 connection, in a turn of the event loop."""


def at_lifespan(receive: Receive, send: Send) -> Send:
    """Repair the server that begins an application's lifespan, if that is Hypercorn.

    Returns:
        the ``send`` for the application to use.
    """
    lifespan = getattr(receive, "__self__", None)
    if not isinstance(lifespan, Lifespan):
        return send
    install()
    # Whoever serves the application within a program of their own wants the error itself.
    is_command = hasattr(lifespan.config, "application_path")
    return _ending_in_one_line(send) if is_command else send


def install() -> None:
    """Put all repairs in place; a second time changes nothing."""
    begin_idle_tasks_late()
    pace_connections()
    for (owner, name), repair in REPAIRED.items():
        setattr(owner, name, repair)


def _ending_in_one_line(send: Send) -> Send:
    """Have the process end with the reason why the application did not start, and with code 2.

    Hypercorn lets the error that it makes of the reason reach the interpreter, which prints a trace
    of Hypercorn's own calls around it. Not reported upstream.
    """

    async def send_or_end(message: Message) -> None:
        if message["type"] == "lifespan.startup.failed":
            print(message.get("message", ""), file=sys.stderr, flush=True)  # noqa: T201 - the last word
            loop = asyncio.get_running_loop()
            loop.call_soon(sys.exit, 2)  # in a task, it would be an exception that nobody retrieves
            await loop.create_future()
        await send(message)

    return send_or_end


async def _read_and_close_with_the_client(server: TCPServer) -> None:
    """Close an idle connection when its client does.

    Hypercorn sees that the client has disconnected, but waits for its idle timer before it closes:
    the socket of everyone who disconnects after an answer stays open for ``keep_alive_timeout``.
    And it keeps what it read last, a request with its token, until it reads more. Not reported
    upstream.
    """
    patience_s = server.config.read_timeout
    while not server.reader.at_eof():
        reading = server.reader.read(MAX_RECV)
        try:
            data = await (reading if patience_s is None else asyncio.wait_for(reading, patience_s))
        except OSError:
            break
        await server.protocol.handle(RawData(data))
        del data  # a request, and its token, for as long as a stream stays
    await server.protocol.handle(Closed())
    await server.idle_task.stop()


async def _handle_events_after_the_answer(protocol: H2Protocol, events: list[Event]) -> None:
    """Drop what comes of a body after its request was answered, and begin ten requests at a time.

    Hypercorn has forgotten the stream by then, and a KeyError ends the HTTP/2 connection with every
    other stream that is open on it: pgjones/hypercorn#329, mended by #312 or #334. And it begins
    all requests that come in one read, a hundred at most, before anything else happens: not
    reported upstream.
    """
    begun = 0
    for event in events:
        if isinstance(event, RequestReceived):
            begun += 1
            if not begun % _REQUESTS_AT_ONCE:
                await asyncio.sleep(0)
        if isinstance(event, DataReceived) and event.stream_id not in protocol.streams:
            length = event.flow_controlled_length or 0
            protocol.connection.acknowledge_received_data(length, event.stream_id)
        else:
            await _ORIGINALS["_handle_events"](protocol, [event])
    await protocol._flush()  # noqa: SLF001 - as Hypercorn does, also when there was no event


async def _recycle_after_the_body(protocol: H11Protocol) -> None:
    """Wait for the rest of a request's body before the connection ends.

    An answer may come before all of the body has: it is too large, or nothing is at that address.
    Hypercorn closes the connection at once then. What still arrives is answered by a reset, and a
    client that is sending meets that before it has read the answer (RFC 9112 §9.6). Reported, by
    its symptom, as pgjones/hypercorn#89.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + _LATE_BODY_S
    while (  # noqa: ASYNC110 - h11 tells of no change
        protocol.stream is not None  # else the client has disconnected
        and protocol.connection.their_state is h11.SEND_BODY
        and loop.time() < end
    ):
        await asyncio.sleep(_LOOK_S)
    await _ORIGINALS["_maybe_recycle"](protocol)


async def _run_and_part(server: TCPServer) -> None:
    """Leave no cyclic garbage of a connection.

    A connection and its protocol refer to each other for good, and with them all that they have
    had: some forty objects for each, which only the collector finds, and it looks at those of all
    other connections as well. So they are parted as the connection ends. Not reported upstream.
    """
    try:
        await _ORIGINALS["run"](server)
    finally:
        _part(server)


def _begin_with_own_parser(protocol: H11Protocol, *arguments: Any) -> None:  # noqa: ANN401 - Hypercorn's
    _ORIGINALS["__init__"](protocol, *arguments)
    protocol.connection.__class__ = _Parser


class _Parser(h11.Connection):
    """Refuses what is no HTTP without the frames that found out: they hold the error themselves."""

    def next_event(self) -> Any:  # noqa: ANN401 - what h11 returns
        try:
            return super().next_event()
        except h11.RemoteProtocolError as error:
            raise error.with_traceback(None) from None


def _part(server: TCPServer) -> None:
    wrapper: Any = vars(server).get("protocol")  # none if the client had left before it began
    if wrapper is not None:
        wrapper.send = wrapper.protocol.send = _to_nobody
        if isinstance(wrapper.protocol, H2Protocol):
            _part_streams(wrapper.protocol)
    if (error := server.reader.exception()) is not None:
        # It holds the frames that met it, and so the connection; and whoever still writes would
        # meet it again.
        error.__traceback__ = None
        reader: Any = server.reader
        reader._exception = None  # noqa: SLF001 - asyncio has no other way


def _part_streams(protocol: H2Protocol) -> None:
    """Undo h2's table of its own methods, and the tree of what was still to be sent."""
    connection: Any = protocol.connection
    connection._frame_dispatch_table.clear()  # noqa: SLF001 - what this module is for
    streams: Any = protocol.priority._streams  # noqa: SLF001 - the same
    for stream in streams.values():
        stream.parent = None
    streams.clear()


async def _to_nobody(_event: object) -> None:
    """Take what is sent over a connection that has ended."""


REPAIRED: Final[dict[tuple[Any, str], object]] = {
    (TCPServer, "run"): _run_and_part,
    (TCPServer, "_read_data"): _read_and_close_with_the_client,
    (H2Protocol, "_handle_events"): _handle_events_after_the_answer,
    (H11Protocol, "__init__"): _begin_with_own_parser,
    (H11Protocol, "_maybe_recycle"): _recycle_after_the_body,
}
"""What takes the place of which function."""

_ORIGINALS: Final = {name: getattr(owner, name) for owner, name in REPAIRED}
