import asyncio
import gc
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from actors.mailbox import Mailbox
from app.asgi import Message
from app.server.transport import TransportOutlet, open_outlet
from app.streaming.outlets import HIGH_WATER, AsgiOutlet, Outlet
from schema.sse import Frame, chunked, encode
from tests.support.waiting import until

SCOPE = {"type": "http", "http_version": "1.1", "method": "GET"}
HEAD = {"type": "http.response.start", "status": 200, "headers": []}


def frame(number: int, size: int = 50) -> Frame:
    return encode("note", b"x" * size, f"{number}-0")


class Transport:
    """The transport of a connection whose client reads only when the test says so."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.socket: socket.socket | None = None
        self.buffered = 0
        self.closing = self.aborted = self.stuck = False
        self.broken: OSError | None = None
        self.limits: dict[str, int] = {}
        self._drained = asyncio.Event()

    def set_write_buffer_limits(self, **limits: int) -> None:
        self.limits = limits

    def get_extra_info(self, name: str) -> socket.socket | None:
        return self.socket if name == "socket" else None

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: bytes) -> None:
        self.written.append(data)
        if self.stuck:
            self.buffered += len(data)

    def abort(self) -> None:
        self.aborted = True

    async def drain(self) -> None:
        if self.broken is not None:
            raise self.broken
        if self.buffered > HIGH_WATER:
            await self._drained.wait()

    def fill(self) -> None:
        self.buffered = HIGH_WATER + 1

    def empty(self) -> None:
        self.buffered = 0
        self._drained.set()
        self._drained = asyncio.Event()


class Sending:
    """An ASGI ``send`` that a test may hold up or break."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.open = asyncio.Event()
        self.open.set()
        self.at_once = 0
        self.error: Exception | None = None

    async def __call__(self, message: Message) -> None:
        assert (message["type"], message["more_body"]) == ("http.response.body", True)
        self.at_once += 1
        assert self.at_once == 1, "two sends at once"
        try:
            await self.open.wait()
            if self.error is not None:
                raise self.error
            self.bodies.append(message["body"])
        finally:
            self.at_once -= 1


def mailbox_of(outlet: Outlet, bound: int = 10**6) -> Mailbox:
    mailbox = Mailbox(bound, outlet.offer, lambda: None)
    outlet.attach(mailbox)
    return mailbox


@pytest.fixture
async def transport() -> Transport:
    return Transport()


@pytest.fixture
async def sending() -> Sending:
    return Sending()


@pytest.fixture
async def direct(transport: Transport) -> TransportOutlet:
    writer = SimpleNamespace(transport=transport, write=transport.write, drain=transport.drain)
    return TransportOutlet(cast("asyncio.StreamWriter", writer))


@pytest.fixture
async def complaints() -> list[object]:
    """Return what the loop complains of: errors that nobody was told."""
    heard: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context))
    return heard


async def test_a_frame_is_written_as_a_chunk_at_once(
    direct: TransportOutlet, transport: Transport
) -> None:
    mailbox = mailbox_of(direct)
    mailbox.put(frame(1))
    mailbox.put(frame(2))
    assert transport.written == [frame(1).chunk, frame(2).chunk]
    assert len(mailbox) == 0


async def test_a_full_buffer_gets_nothing_until_it_drains(
    direct: TransportOutlet, transport: Transport
) -> None:
    mailbox = mailbox_of(direct)
    transport.fill()
    for number in range(3):
        mailbox.put(frame(number))
    await until(lambda: direct._pump is not None)
    assert transport.written == []
    assert len(mailbox) == 3
    transport.empty()
    await direct.drain()
    assert transport.written == [chunked(b"".join(frame(number).data for number in range(3)))]
    mailbox.put(frame(4))
    assert transport.written[1:] == [frame(4).chunk]


async def test_a_buffer_counts_as_full_past_the_mark_that_its_transport_was_told(
    direct: TransportOutlet, transport: Transport
) -> None:
    mailbox = mailbox_of(direct)
    assert transport.limits == {"high": HIGH_WATER}
    transport.buffered = HIGH_WATER
    mailbox.put(frame(1))
    assert transport.written == [frame(1).chunk]


async def test_nothing_overtakes_what_waited_for_a_full_buffer(
    direct: TransportOutlet, transport: Transport
) -> None:
    mailbox = mailbox_of(direct)
    transport.fill()
    mailbox.put(frame(1))
    transport.buffered = 0
    mailbox.put(frame(2))
    assert transport.written == []
    transport.empty()
    await direct.drain()
    assert b"".join(transport.written) == chunked(frame(1).data + frame(2).data)


async def test_what_waits_is_written_in_portions_and_each_waits_for_the_one_before(
    direct: TransportOutlet, transport: Transport
) -> None:
    mailbox = mailbox_of(direct)
    transport.fill()
    frames = [frame(number, HIGH_WATER) for number in range(3)]
    for one in frames:
        mailbox.put(one)
    transport.stuck = True
    for count in range(4):
        await until(lambda: transport.buffered > HIGH_WATER)
        assert transport.written == [one.chunk for one in frames[:count]]
        transport.empty()
    await direct.drain()
    assert transport.written == [one.chunk for one in frames]


async def test_a_connection_that_closes_swallows_what_comes(
    direct: TransportOutlet, transport: Transport
) -> None:
    mailbox = mailbox_of(direct)
    transport.closing = True
    mailbox.put(frame(1))
    assert (transport.written, len(mailbox)) == ([], 0)


async def test_a_connection_that_breaks_while_it_drains_is_no_error(
    direct: TransportOutlet, transport: Transport, complaints: list[object]
) -> None:
    mailbox = mailbox_of(direct)
    transport.fill()
    transport.broken = ConnectionResetError()
    mailbox.put(frame(1))
    await until(lambda: direct._pump is None)
    mailbox.put(frame(2))
    gc.collect()
    assert (transport.written, complaints) == ([], [])


async def test_an_outlet_that_was_stopped_writes_no_more(
    direct: TransportOutlet, transport: Transport
) -> None:
    mailbox = mailbox_of(direct)
    transport.fill()
    mailbox.put(frame(1))
    pump = direct._pump
    assert pump is not None
    direct.stop()
    transport.empty()
    await asyncio.wait({pump})
    assert transport.written == []


async def test_an_outlet_that_gives_up_drops_the_connection(
    direct: TransportOutlet, transport: Transport
) -> None:
    mailbox_of(direct)
    direct.abort()
    assert transport.aborted


async def test_the_time_of_the_last_byte_is_known(direct: TransportOutlet) -> None:
    mailbox = mailbox_of(direct)
    attached = direct.wrote_at
    assert attached > 0
    direct.wrote_at = 0
    mailbox.put(frame(1))
    assert direct.wrote_at >= attached


async def test_what_comes_first_is_written_together(
    direct: TransportOutlet, transport: Transport
) -> None:
    mailbox = Mailbox(10**6, direct.offer, lambda: None)
    mailbox.put(frame(1))
    mailbox.put(frame(2))
    assert transport.written == []
    direct.attach(mailbox)
    assert transport.written == [frame(1).chunk + frame(2).chunk]
    mailbox.put(frame(3))
    assert transport.written[1:] == [frame(3).chunk]


async def test_of_much_that_comes_first_a_portion_is_written_at_once(
    direct: TransportOutlet, transport: Transport
) -> None:
    mailbox = Mailbox(10**6, direct.offer, lambda: None)
    frames = [frame(number, HIGH_WATER // 2) for number in range(4)]
    for each in frames:
        mailbox.put(each)
    direct.attach(mailbox)
    assert transport.written == [frames[0].chunk]
    await direct.drain()
    assert b"".join(transport.written).count(b"event: note") == len(frames)


async def test_nothing_is_written_at_first_to_one_who_has_gone(
    direct: TransportOutlet, transport: Transport
) -> None:
    mailbox = Mailbox(10**6, direct.offer, lambda: None)
    mailbox.put(frame(1))
    transport.closing = True
    direct.attach(mailbox)
    assert transport.written == []


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Return a connection's two ends; what is sent on the first never waits."""
    here, there = socket.socketpair()
    here.settimeout(0)
    with here, there:
        yield here, there


def direct_on(transport: Transport) -> TransportOutlet:
    writer: Any = SimpleNamespace(transport=transport, write=transport.write, drain=transport.drain)
    return TransportOutlet(writer)


async def test_a_frame_goes_to_the_socket_unless_something_waits_before_it(
    transport: Transport, pair: tuple[socket.socket, socket.socket]
) -> None:
    transport.socket, there = pair
    mailbox = mailbox_of(direct_on(transport))
    mailbox.put(frame(1))
    assert (there.recv(1000), transport.written) == (frame(1).chunk, [])
    transport.buffered = 1
    mailbox.put(frame(2))
    assert transport.written == [frame(2).chunk]


async def test_what_a_full_socket_does_not_take_is_left_to_the_transport(
    transport: Transport, pair: tuple[socket.socket, socket.socket]
) -> None:
    transport.socket, there = pair
    outlet = direct_on(transport)
    mailbox = mailbox_of(outlet)
    sent = [frame(number, 10_000) for number in range(200)]
    for each in sent:
        mailbox.put(each)
        if transport.written:
            break
    there.settimeout(0)
    arrived = b""
    while len(arrived) < sum(len(each.chunk) for each in sent):
        try:
            arrived += there.recv(1 << 16)
        except BlockingIOError:
            break
    whole = b"".join(each.chunk for each in sent)
    assert 0 < len(arrived) < len(whole)
    assert whole.startswith(arrived + b"".join(transport.written))


async def test_a_broken_socket_is_left_to_the_transport(
    transport: Transport, pair: tuple[socket.socket, socket.socket]
) -> None:
    transport.socket, there = pair
    mailbox = mailbox_of(direct_on(transport))
    there.close()
    mailbox.put(frame(1))
    assert transport.written == [frame(1).chunk]


async def test_asgi_gets_one_body_message_after_another(sending: Sending) -> None:
    outlet = AsgiOutlet(sending)
    mailbox = mailbox_of(outlet)
    sending.open.clear()
    mailbox.put(frame(1))
    await until(lambda: sending.at_once == 1)
    for number in (2, 3, 4):
        mailbox.put(frame(number))
    sending.open.set()
    await outlet.drain()
    assert sending.bodies == [
        frame(1).data,
        b"".join(frame(number).data for number in (2, 3, 4)),
    ]


async def test_asgi_gets_a_portion_at_a_time(sending: Sending) -> None:
    outlet = AsgiOutlet(sending)
    mailbox = mailbox_of(outlet)
    sending.open.clear()
    for number in range(10):
        mailbox.put(frame(number, HIGH_WATER // 2 - 100))
    sending.open.set()
    await outlet.drain()
    assert max(map(len, sending.bodies)) <= HIGH_WATER
    assert len(sending.bodies) == 5


async def test_a_slow_send_makes_progress_wait_and_be_conflated(sending: Sending) -> None:
    outlet = AsgiOutlet(sending)
    mailbox = mailbox_of(outlet, bound=500)
    sending.open.clear()
    mailbox.put(frame(0))
    await until(lambda: sending.at_once == 1)
    for number in range(1, 100):
        mailbox.put(encode("progress-update", b"x" * 50, f"{number}-0"))
    sending.open.set()
    await outlet.drain()
    assert mailbox.conflated > 50
    assert sending.bodies[-1].count(b"id: 99-0") == 1


@pytest.mark.parametrize("error", [ConnectionResetError(), RuntimeError("closed"), OSError()])
async def test_a_viewer_that_went_is_no_error(
    sending: Sending, error: Exception, complaints: list[object]
) -> None:
    outlet = AsgiOutlet(sending)
    mailbox = mailbox_of(outlet)
    sending.error = error
    mailbox.put(frame(1))
    await until(lambda: outlet._pump is None)
    gc.collect()
    assert (sending.bodies, complaints) == ([], [])


async def test_waiting_for_an_empty_mailbox_works_off_what_is_left(sending: Sending) -> None:
    outlet = AsgiOutlet(sending)
    mailbox = Mailbox(10**6, lambda _: False, lambda: None)
    outlet.attach(mailbox)
    mailbox.put(frame(1))
    await outlet.drain()
    assert sending.bodies == [frame(1).data]
    await outlet.drain()


async def test_a_stopped_asgi_outlet_sends_no_more(sending: Sending) -> None:
    outlet = AsgiOutlet(sending)
    mailbox = mailbox_of(outlet)
    sending.open.clear()
    mailbox.put(frame(1))
    await until(lambda: sending.at_once == 1)
    outlet.stop()
    await until(lambda: sending.at_once == 0)
    assert sending.bodies == []


async def test_giving_up_resets_the_connection_where_there_is_a_way_to_it(
    sending: Sending,
) -> None:
    resets: list[bool] = []
    AsgiOutlet(sending, lambda: resets.append(True)).abort()
    AsgiOutlet(sending).abort()
    assert resets == [True]


class HTTPStream:
    """Another server's class of the same name."""

    def __init__(self, send: object = None) -> None:
        self.send = send
        self.response = {"status": 200, "headers": []}

    async def app_send(self, message: object) -> None:
        await plain(message)


class H11Protocol(HTTPStream):
    async def stream_send(self, message: object) -> None:
        raise AssertionError(message)


class TCPServer:
    writer = object()

    async def protocol_send(self, message: object) -> None:
        raise AssertionError(message)


async def plain(message: object) -> None:
    assert message is HEAD


@pytest.mark.parametrize(
    "send",
    [
        plain,
        HTTPStream().app_send,
        HTTPStream(plain).app_send,
        HTTPStream(H11Protocol().stream_send).app_send,
        HTTPStream(H11Protocol(TCPServer().protocol_send).stream_send).app_send,
        H11Protocol(HTTPStream(TCPServer().protocol_send).app_send).app_send,
    ],
)
async def test_a_server_that_is_not_the_known_one_is_sent_to_by_asgi(send: Any) -> None:  # noqa: ANN401
    outlet = await open_outlet(dict(SCOPE), send, HEAD, direct=True)
    assert type(outlet) is AsgiOutlet
    outlet.abort()
