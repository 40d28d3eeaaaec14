"""What Hypercorn 0.18 gets wrong, put right.

Each takes the place of a method of Hypercorn's own; a release that mends the fault makes it
superfluous.
"""

import asyncio
import sys
from typing import Any, Final

import h11
import hypercorn.asyncio.run
from h2.events import DataReceived, Event, RequestReceived
from hypercorn.asyncio.tcp_server import MAX_RECV, TCPServer
from hypercorn.events import Closed, RawData
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.utils import LifespanFailureError

_LATE_BODY_S: Final = 2.0
"""How long an answered client may take to send what is left of its request."""

_LOOK_S: Final = 0.02

_REQUESTS_AT_ONCE: Final = 10
"""Of one HTTP/2 connection, in a turn of the event loop."""


def close_with_the_client() -> None:
    """Have Hypercorn close an idle connection when its client does.

    Hypercorn 0.18 sees that the client has left, but waits for its idle timer before it closes: the
    socket of everyone who left after an answer stays open for ``keep_alive_timeout``. And it keeps
    what it read last, a request with its token, until it reads more.
    """
    read: Any = TCPServer._read_data  # noqa: SLF001 - what this module is for
    if getattr(read, "closes_with_the_client", False):
        return

    async def read_and_stop_waiting(server: TCPServer) -> None:
        patience_s = server.config.read_timeout
        while not server.reader.at_eof():
            reading = server.reader.read(MAX_RECV)
            try:
                data = await (
                    reading if patience_s is None else asyncio.wait_for(reading, patience_s)
                )
            except OSError:
                break
            await server.protocol.handle(RawData(data))
            del data  # a request, and its token, for as long as a stream stays
        await server.protocol.handle(Closed())
        await server.idle_task.stop()

    read_and_stop_waiting.closes_with_the_client = True  # type: ignore[attr-defined]
    TCPServer._read_data = read_and_stop_waiting  # type: ignore[method-assign, assignment]  # noqa: SLF001


def outlive_late_bodies() -> None:
    """Have Hypercorn drop what comes of a body after its request was answered.

    Hypercorn 0.18 has forgotten the stream by then, and an HTTP/2 connection ends by a KeyError,
    with every other stream that is open on it. And it begins all requests that come in one read,
    a hundred at the most, before anything else happens.
    """
    handle: Any = H2Protocol._handle_events  # noqa: SLF001 - what this module is for
    if getattr(handle, "outlives_late_bodies", False):
        return

    async def handle_without_late_bodies(protocol: H2Protocol, events: list[Event]) -> None:
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
                await handle(protocol, [event])
        await protocol._flush()  # noqa: SLF001 - as Hypercorn does, also when there was no event

    handle_without_late_bodies.outlives_late_bodies = True  # type: ignore[attr-defined]
    H2Protocol._handle_events = handle_without_late_bodies  # type: ignore[method-assign, assignment]  # noqa: SLF001


def await_late_bodies() -> None:
    """Have Hypercorn wait for the rest of a request's body before it ends the connection.

    An answer may come before all of the body has: it is too large, or nothing is at that address.
    Hypercorn 0.18 closes the connection at once then. What still arrives is answered by a reset,
    and a client that is sending meets that before it has read the answer (RFC 9112 §9.6).
    """
    recycle: Any = H11Protocol._maybe_recycle  # noqa: SLF001 - what this module is for
    if getattr(recycle, "awaits_late_bodies", False):
        return

    async def recycle_after_the_body(protocol: H11Protocol) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + _LATE_BODY_S
        while (  # noqa: ASYNC110 - h11 tells of no change
            protocol.stream is not None  # else the client has left
            and protocol.connection.their_state is h11.SEND_BODY
            and loop.time() < end
        ):
            await asyncio.sleep(_LOOK_S)
        await recycle(protocol)

    recycle_after_the_body.awaits_late_bodies = True  # type: ignore[attr-defined]
    H11Protocol._maybe_recycle = recycle_after_the_body  # type: ignore[method-assign, assignment]  # noqa: SLF001


def end_in_one_line() -> None:
    """Have Hypercorn end with the reason when the application refuses to start, and with code 2.

    Hypercorn 0.18 lets the error that it makes of it reach the interpreter, which puts a trace of
    Hypercorn's own calls around the reason.
    """
    serve: Any = hypercorn.asyncio.run.worker_serve
    if getattr(serve, "ends_in_one_line", False):
        return

    async def serve_or_say_why_not(*args: Any, **options: Any) -> None:  # noqa: ANN401 - Hypercorn's
        try:
            await serve(*args, **options)
        except LifespanFailureError as error:
            _, _, reason = str(error).partition(". ")
            print(reason.strip("'"), file=sys.stderr, flush=True)  # noqa: T201 - the last word
            raise SystemExit(2) from None

    serve_or_say_why_not.ends_in_one_line = True  # type: ignore[attr-defined]
    hypercorn.asyncio.run.worker_serve = serve_or_say_why_not


def let_go_of_connections() -> None:
    """Have a connection of Hypercorn leave no cyclic garbage.

    In Hypercorn 0.18 a connection and its protocol refer to each other for good, and with them all
    that they have had: some forty objects for each, which only the collector finds, and it
    looks at those of all other connections as well. So they are parted as the connection ends.
    """
    run: Any = TCPServer.run
    if getattr(run, "lets_go", False):
        return

    async def run_and_let_go(server: TCPServer) -> None:
        try:
            await run(server)
        finally:
            _part(server)

    run_and_let_go.lets_go = True  # type: ignore[attr-defined]
    TCPServer.run = run_and_let_go  # type: ignore[method-assign, assignment]
    begin: Any = H11Protocol.__init__

    def begin_with_own_parser(protocol: H11Protocol, *arguments: Any) -> None:  # noqa: ANN401 - Hypercorn's
        begin(protocol, *arguments)
        protocol.connection.__class__ = _Parser

    H11Protocol.__init__ = begin_with_own_parser  # type: ignore[method-assign, assignment]


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
