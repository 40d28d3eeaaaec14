import asyncio
import hashlib
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import uvloop
from redis.asyncio import Redis
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from eventlog.errors import LogUnavailable
from eventlog.redis_calls import COMMAND_TIMEOUT_S, available
from jobcast.redis.address import parse_address
from jobcast.redis.connection import Connection, Deliver, Replies, packed
from jobcast.redis.server import Connector, Server
from tests.support.certificate import Certificate
from tests.support.channel_server import receive
from tests.support.valkey import HOST, Valkey
from tests.support.waiting import PATIENCE_SECONDS, until

Run = Callable[[Coroutine[Any, Any, None]], None]
RUNS = [asyncio.run, uvloop.run]


def connector(url: str) -> Connector:
    """Return what opens connections as the service does."""
    return Connector(parse_address(url).options, COMMAND_TIMEOUT_S)


async def connect(url: str, deliver: Deliver) -> Connection:
    async with available():
        return await connector(url).open(deliver)


def server_of(url: str) -> Server:
    """Return a server that is asked, and answers by text."""
    return Server(connector(url).open).with_text()


@asynccontextmanager
async def opened(url: str, *, decode: bool = False) -> AsyncIterator[tuple[Any, Replies]]:
    """Yield an open connection, and all that arrives on it. It may take as long as it takes."""
    arrived: Replies = []
    patience = dict.fromkeys(("socket_timeout", "socket_connect_timeout"), PATIENCE_SECONDS)
    patient = Connector(parse_address(url).options | patience)
    connection = await patient.open(arrived.extend, decode=decode)
    try:
        yield connection, arrived
    finally:
        await connection.close()


@contextmanager
def behind_tls(valkey: Valkey, certificate: Certificate) -> Iterator[str]:
    """Yield the URL of a TLS server, in a thread, that passes all on to a Valkey without."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.path)

    def pipe(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)

    def serve(listener: socket.socket) -> None:
        with (
            context.wrap_socket(listener.accept()[0], server_side=True) as outer,
            socket.create_connection((HOST, valkey.port)) as inner,
        ):
            back = threading.Thread(target=pipe, args=(inner, outer), daemon=True)
            back.start()
            pipe(outer, inner)
            inner.shutdown(socket.SHUT_RDWR)
            back.join()

    with socket.create_server((HOST, 0)) as listener:
        serving = threading.Thread(target=serve, args=(listener,), daemon=True)
        serving.start()
        yield f"rediss://{HOST}:{listener.getsockname()[1]}?ssl_ca_certs={certificate.path}"
        serving.join()


@pytest.mark.parametrize("run", RUNS)
def test_what_is_published_arrives_in_order(valkey: Valkey, run: Run) -> None:
    async def check() -> None:
        async with opened(valkey.url) as (connection, arrived):
            connection.send(packed("SUBSCRIBE", "news"))
            await until(lambda: len(arrived) == 1)
            async with Redis.from_url(valkey.url) as other:
                for number in range(100):
                    await other.publish("news", str(number))
            await until(lambda: len(arrived) == 101)
        assert arrived[1:] == [[b"message", b"news", b"%d" % number] for number in range(100)]

    run(check())


@pytest.mark.parametrize("run", RUNS)
def test_tls_is_that_of_the_url(valkey: Valkey, tmp_path: Path, run: Run) -> None:
    async def check() -> None:
        async with opened(url, decode=True) as (connection, arrived):
            connection.send(packed("PING") + packed("ECHO", "caf\u00e9"))
            await until(lambda: len(arrived) == 2)
            assert arrived == ["PONG", "caf\u00e9"]

    with behind_tls(valkey, Certificate(tmp_path)) as url:
        run(check())


async def test_a_reply_that_comes_in_pieces_arrives_whole(valkey: Valkey) -> None:
    async with opened(valkey.url) as (connection, arrived):
        size = 1 << 20
        connection.send(packed("ECHO", "x" * size) + packed("PING"))
        await until(lambda: len(arrived) == 2)
        assert [len(arrived[0]), arrived[1]] == [size, b"PONG"]


async def test_the_end_of_redis_is_noticed() -> None:
    with Valkey() as valkey:
        async with opened(valkey.url) as (connection, _):
            assert not connection.lost.done()
            valkey.kill()
            async with asyncio.timeout(5):
                assert "closed" in await connection.lost or "reset" in await connection.lost
            connection.send(packed("PING"))  # harms nobody


async def test_nonsense_ends_the_connection_and_what_came_before_it_counts(
    valkey: Valkey,
) -> None:
    async with opened(valkey.url) as (connection, arrived):
        receive(connection, b"+fine\r\n?nonsense\r\n")
        assert arrived == [b"fine"]
        assert "Protocol error" in await connection.lost


async def test_nobody_there_is_said_as_such() -> None:
    with pytest.raises(LogUnavailable):
        await connect(f"redis://{HOST}:1", [].extend)


@contextmanager
def resetting() -> Iterator[int]:
    """Yield the port of a server, in a thread, that resets each connection as it comes."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                end, _ = listener.accept()
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.close()

    with socket.create_server((HOST, 0)) as listener:
        serving = threading.Thread(target=serve, daemon=True)
        serving.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        serving.join()


async def keep_busy() -> None:
    while True:
        hashlib.pbkdf2_hmac("sha1", b"any", b"salt", 200)
        await asyncio.sleep(0)


@pytest.mark.parametrize("run", RUNS)
def test_a_connection_that_is_reset_as_it_is_made_is_said_as_such(run: Run) -> None:
    async def check() -> None:
        # With a time-out of its own redis-py writes some turns of the loop later; and a loop that
        # is busy learns of the end meanwhile.
        loop = asyncio.get_running_loop()
        busy = [loop.create_task(keep_busy()) for _ in range(3)]
        for _ in range(100):
            with pytest.raises(LogUnavailable):
                await connect(f"redis://{HOST}:{port}?socket_timeout=1", [].extend)
        for task in busy:
            task.cancel()

    with resetting() as port:
        run(check())


@pytest.mark.parametrize("run", RUNS)
def test_who_is_cancelled_while_connecting_learns_of_it(valkey: Valkey, run: Run) -> None:
    async def check() -> None:
        for turns in range(40):
            opening = asyncio.create_task(connect(f"{valkey.url}?socket_timeout=1", [].extend))
            for _ in range(turns):
                await asyncio.sleep(0)
            is_open = opening.done()
            opening.cancel()
            await asyncio.wait([opening])
            assert opening.cancelled() or is_open
            if not opening.cancelled():
                await opening.result().close()

    run(check())


async def test_a_batch_of_questions_is_answered_in_order_refusals_among_them(
    redis_client: Redis, redis_url: str
) -> None:
    await redis_client.set("text", "value")
    server = server_of(redis_url)
    commands = [packed("GET", "text"), packed("HGET", "text", "field"), packed("GET", "absent")]
    text, refusal, absent = await server.ask(b"".join(commands), 3)
    assert (text, absent) == ("value", None)
    assert isinstance(refusal, Exception)
    assert "WRONGTYPE" in str(refusal)
    assert await server.ask(packed("GET", "text"), 1) == ["value"]
    await server.aclose()


async def test_a_server_is_connected_to_anew_when_it_was_away() -> None:
    with Valkey() as valkey:
        server = server_of(valkey.url)
        assert await server.ask(packed("PING"), 1) == ["PONG"]
        valkey.kill()
        with pytest.raises(RedisError):
            await server.ask(packed("PING"), 1)
        valkey.start()
        assert await server.ask(packed("PING"), 1) == ["PONG"]
        await server.aclose()


async def test_an_answer_that_came_too_late_is_nobody_elses() -> None:
    with Valkey() as valkey:
        server = server_of(valkey.url)
        await server.ask(packed("SET", "key", "first"), 1)
        valkey.pause()
        with pytest.raises(RedisError):
            await server.ask(packed("GET", "key"), 1)
        valkey.resume()
        assert await server.ask(packed("ECHO", "second"), 1) == ["second"]
        await server.aclose()


async def test_one_who_asks_no_more_leaves_no_answer_behind(redis_url: str) -> None:
    server = server_of(redis_url)
    await server.ask(packed("PING"), 1)
    asked = asyncio.ensure_future(server.ask(packed("ECHO", "first"), 1))
    asyncio.get_running_loop().call_soon(asked.cancel)
    await asyncio.wait({asked})
    assert asked.cancelled()
    assert await server.ask(packed("ECHO", "second"), 1) == ["second"]
    await server.aclose()


async def test_all_who_wait_for_a_connection_share_it_and_its_failure() -> None:
    with Valkey() as valkey:
        server = server_of(valkey.url)
        valkey.pause()
        asked = [asyncio.ensure_future(server.ask(packed("PING"))) for _ in range(100)]
        impatient = asked.pop()
        asyncio.get_running_loop().call_soon(impatient.cancel)
        errors = await asyncio.gather(*asked, return_exceptions=True)
        assert impatient.cancelled()
        assert {type(error) for error in errors} == {RedisTimeoutError}
        assert len({id(error) for error in errors}) == 1
        valkey.resume()
        replies = await asyncio.gather(*(server.ask(packed("PING")) for _ in range(100)))
        assert replies == [["PONG"]] * 100
        await server.aclose()
        assert valkey.ask("INFO", "stats")["total_connections_received"] < 10


class Recorder:
    """A transport that notes what is written."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.written: list[bytes] = []
        self._transport = transport

    def write(self, data: bytes) -> None:
        self.written.append(data)
        self._transport.write(data)

    def __getattr__(self, name: str) -> object:
        return getattr(self._transport, name)


@pytest.mark.parametrize("run", RUNS)
def test_calls_of_one_turn_are_written_together_and_a_lone_one_at_once(
    valkey: Valkey, run: Run
) -> None:
    async def check() -> None:
        async with opened(valkey.url) as (connection, arrived):
            recorder = connection._transport = Recorder(connection._transport)
            echoes = [packed("ECHO", str(number)) for number in range(4)]
            first = connection.ask(echoes[0])
            assert recorder.written == [echoes[0]]
            others = [connection.ask(echo) for echo in echoes[1:3]]
            connection.send(packed("SUBSCRIBE", "channel"))  # behind what was asked before
            assert await first == [b"0"]
            assert await asyncio.gather(*others) == [[b"1"], [b"2"]]
            await until(lambda: len(arrived) == 1)
            together = b"".join([*echoes[1:3], packed("SUBSCRIBE", "channel")])
            assert recorder.written == [echoes[0], together]

    run(check())


async def test_redis_begins_with_many_calls_before_all_are_made(valkey: Valkey) -> None:
    async with opened(valkey.url) as (connection, _):
        recorder = connection._transport = Recorder(connection._transport)
        calls = [connection.ask(packed("ECHO", str(number))) for number in range(20)]
        assert [data.count(b"ECHO") for data in recorder.written] == [1, 8, 8]
        assert await asyncio.gather(*calls) == [[str(n).encode()] for n in range(20)]
        assert [data.count(b"ECHO") for data in recorder.written] == [1, 8, 8, 3]


async def test_what_was_not_written_yet_fails_with_the_connection(valkey: Valkey) -> None:
    async with opened(valkey.url) as (connection, _):
        calls = [connection.ask(packed("INCR", "written")) for _ in range(3)]
        recorder = connection._transport = Recorder(connection._transport)
        connection.give_up("Connection closed.")
        errors = await asyncio.gather(*calls, return_exceptions=True)
        assert [str(error) for error in errors] == ["Connection closed."] * 3
        await asyncio.sleep(0)
        assert recorder.written == []
