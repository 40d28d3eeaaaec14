"""A fake pub/sub server within the test's process, and connections to it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, Final, cast

import hiredis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError

from eventlog.channel import Published, Subscribed
from eventlog.subscriber_connection import SubscriberConnection
from eventlog.subscriptions import Subscriptions
from jobcast.protocol.names import PubSub
from jobcast.redis.connection import Connection, Deliver, packed

WAY_S: Final = 0.001
"""Latency of each message, in both directions."""
TIMEOUT_S: Final = 1.4


class ChannelServer:
    """Replies to subscriptions and pings; tests push the messages.

    Attributes:
        away: whether it refuses connections.
        mute: whether it leaves all commands without a reply.
        connect_s: time that a connect takes, whether or not it succeeds.
        refusals: error replies to subscriptions by channel; ``b""`` for all channels.
        connects: times of the attempts to connect.
        commands: all commands, with the times of their arrival.
        channels: the subscribed channels.
    """

    def __init__(self, pubsub: PubSub) -> None:
        self.pubsub = pubsub
        self.away = self.mute = False
        self.connect_s = WAY_S
        self.refusals: dict[bytes, str] = {}
        self.connects: list[float] = []
        self.commands: list[tuple[float, list[bytes]]] = []
        self.channels: set[bytes] = set()
        self._way: _Way | None = None

    async def connect(self, deliver: Deliver | None = None, *, decode: bool = False) -> Connection:
        """Open a connection to the server."""
        opening = cast("AbstractConnection", _Opening(self))
        return await Connection.open(opening, TIMEOUT_S, deliver, decode=decode)

    def times(self, command: str) -> list[float]:
        """Return the times at which a command arrived."""
        return [at for at, words in self.commands if words[0] == command.encode()]

    def asked(self) -> list[list[bytes]]:
        """Return the channels of each subscribe command."""
        asks = self.pubsub.subscribe.encode()
        return [words[1:] for _, words in self.commands if words[0] == asks]

    def lose(self) -> None:
        """Break the connection."""
        assert self._way is not None
        self._way.abort()

    def let_go(self, *names: bytes) -> None:
        """Unsubscribe the client from channels."""
        self._push(*((self.pubsub.unsubscribe.lower(), name) for name in names))

    def push(self, *pushes: list[bytes]) -> None:
        """Send pushes that arrive in one read."""
        self._say(b"".join(packed(*push) for push in pushes))

    @property
    def paused(self) -> bool:
        """Whether the client has paused reading."""
        return self._way is not None and self._way.paused

    async def accept(self) -> "_Way":
        """Accept a connection."""
        self.connects.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.connect_s)
        if self.away:
            raise RedisConnectionError
        self.channels = set()
        self._way = _Way(self)
        return self._way

    def take(self, command: list[bytes]) -> None:
        """Carry out a command and reply to it."""
        self.commands.append((asyncio.get_running_loop().time(), command))
        if self.mute:
            return
        word, names = command[0].decode(), command[1:]
        if word == "PING":
            self._push(("pong", b""))
        elif word == self.pubsub.unsubscribe:
            self.channels -= set(names)
            self.let_go(*names)
        elif (refusal := self._refusal(names)) is not None:
            self._say(b"-%b\r\n" % refusal.encode())
        else:
            self.channels |= set(names)
            self._push(*((word.lower(), name) for name in names))

    def _refusal(self, names: list[bytes]) -> str | None:
        said = (self.refusals.get(name) for name in (b"", *names))
        return next((refusal for refusal in said if refusal is not None), None)

    def _push(self, *pushes: tuple[str, bytes]) -> None:
        self._say(b"".join(packed(kind, name) for kind, name in pushes))

    def _say(self, reply: bytes) -> None:
        assert self._way is not None
        self._way.send(reply)


def receive(protocol: asyncio.BufferedProtocol, data: bytes) -> None:
    """Pass data to a protocol as one read."""
    memoryview(protocol.get_buffer(-1))[: len(data)] = data
    protocol.buffer_updated(len(data))


class _Way:
    """The client's transport of one connection."""

    def __init__(self, server: ChannelServer) -> None:
        self._server = server
        self._parser = hiredis.Reader()
        self._protocol: asyncio.BufferedProtocol | None = None
        self._closing = self.paused = False
        self._unread: list[bytes] = []

    def set_protocol(self, protocol: asyncio.BufferedProtocol) -> None:
        self._protocol = protocol

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        assert not self.paused
        self.paused = True

    def resume_reading(self) -> None:
        assert self.paused
        self.paused = False
        asyncio.get_running_loop().call_soon(self._read)

    def write(self, data: bytes) -> None:
        self._parser.feed(data)
        while (command := self._parser.gets()) is not False:
            asyncio.get_running_loop().call_later(WAY_S, self._take, command)

    def abort(self) -> None:
        if not self._closing and self._protocol is not None:
            self._closing = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    def send(self, reply: bytes) -> None:
        """Send a reply to the client."""
        asyncio.get_running_loop().call_later(WAY_S, self._arrive, reply)

    def _take(self, command: list[bytes]) -> None:
        if not self._closing:
            self._server.take(command)

    def _arrive(self, reply: bytes) -> None:
        self._unread.append(reply)
        self._read()

    def _read(self) -> None:
        while self._unread and not self.paused and not self._closing and self._protocol:
            receive(self._protocol, self._unread.pop(0))


class _Opening:
    """The part of redis-py's connection that ``Connection.open`` uses."""

    socket_timeout: float | None = None

    def __init__(self, server: ChannelServer) -> None:
        self._server = server
        self._reader: Any = None
        self._writer: Any = None

    async def connect(self) -> None:
        self._writer = SimpleNamespace(transport=await self._server.accept())

    async def disconnect(self, *, nowait: bool) -> None:
        assert nowait


class Recorder:
    """A subscriber that keeps what it receives."""

    def __init__(self) -> None:
        self.messages: list[object] = []

    def hand(self, message: Published | Subscribed) -> None:
        self.messages.append(message)


@asynccontextmanager
async def running(followed: SubscriberConnection | Subscriptions) -> AsyncIterator[None]:
    """Run subscriptions for the length of the block."""
    task = asyncio.create_task(followed.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        assert not followed.connected
