"""A fast connection to Redis.

redis-py opens it, so that URL, TLS and authentication work as usual. Its way of reading, which
takes a task switch and some thirty calls a message, is bypassed: bytes go from the event loop to
hiredis, and the messages of one read are dispatched at once.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, Self, cast

import hiredis
from redis.asyncio.connection import AbstractConnection, DefaultParser
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

Reply = Any
"""What hiredis makes of a reply: lists, numbers and texts, or its ``ReplyError``."""
Replies = list[Reply]
Deliver = Callable[[Replies], None]
"""Called with messages that arrive while no call is pending; it must not raise."""

FAILURES: Final = (RedisError, OSError, TimeoutError)
"""What a call raises when Redis is unavailable or answers with an error."""

REFUSED: Final = ResponseError
"""The one of these that is an answer of Redis."""

IDLE_S: Final = 0.01
"""Idle seconds after which a call first lets the event loop process what has arrived; shorter than
a restart of Redis."""

_TOGETHER: Final = 8
"""Calls that are written together. With 32 in flight, the throughput with 8 is 10 % higher than
with 1, and with 32 little more than half."""

_BUFFER_BYTES: Final = 256 * 1024
"""As much as asyncio reads at once by default."""

_RESET: Final = "the handler is closed"
"""Text of the RuntimeError by which uvloop refuses to write to a connection that was just reset."""


_pack: Final = cast("Callable[[tuple[str | bytes, ...]], bytes]", hiredis.pack_command)


def packed(*command: str | bytes) -> bytes:
    """Return a command as bytes of the Redis protocol."""
    return _pack(command)


class Connection(asyncio.BufferedProtocol):
    """An open connection to Redis.

    Redis replies in the order of the commands, so the oldest call gets the next replies. What
    arrives while no call is pending goes to ``deliver``, which must not raise: these are messages
    of channels.

    When a caller is cancelled, its replies are dropped as they arrive. Once a call has timed out,
    the connection takes no more calls, and it closes when the last one has its replies or has timed
    out.

    ``heard_at`` is when the last bytes arrived, on the event loop's clock. ``lost`` completes when
    the connection is lost, with the reason as its result. While it ``is_paused``, nothing is read.
    """

    def __init__(
        self,
        connection: AbstractConnection,
        timeout_s: float,
        deliver: Deliver | None = None,
        *,
        decode: bool = False,
    ) -> None:
        self._timeout_s = timeout_s
        self._deliver = deliver
        self._calls = deque[tuple[float, int, Replies, asyncio.Future[Replies]]]()
        self._unwritten: list[bytes] = []  # commands of this turn of the event loop
        self._loop = loop = asyncio.get_running_loop()
        self._now = loop.time
        self.heard_at = self._used_at = loop.time()
        self.lost: asyncio.Future[str] = loop.create_future()
        self.is_paused = False
        self._timer: asyncio.TimerHandle | None = None
        received = bytearray(_BUFFER_BYTES)
        # A view: TLS writes into slices of it, and a slice of a bytearray is a copy.
        self._buffer = memoryview(received)
        self._received = cast("bytes", received)  # hiredis takes any buffer, whatever its types say
        options: dict[str, Any] = {"encoding": "utf-8", "errors": "replace"} if decode else {}
        self._parser = hiredis.Reader(**options)
        # redis-py has no public access to its streams, which are taken over for good.
        opened = cast("Any", connection)
        self._writer = opened._writer  # noqa: SLF001 - held, because a collected writer closes
        opened._reader = opened._writer = None  # noqa: SLF001
        self._closed = loop.create_future()
        self._transport: asyncio.Transport = self._writer.transport
        self._is_over = self._transport.is_closing()
        # uvloop notices a change to a buffered protocol only when it resumes reading.
        self._transport.pause_reading()
        self._transport.set_protocol(self)
        self._transport.resume_reading()

    @classmethod
    async def open(
        cls,
        connection: AbstractConnection,
        timeout_s: float,
        deliver: Deliver | None = None,
        *,
        decode: bool = False,
    ) -> Self:
        """Connect as redis-py does. Raises a ``RedisError`` if that fails.

        ``timeout_s`` is the timeout of a call in seconds. With ``decode`` texts are str instead of
        bytes, and invalid UTF-8 becomes U+FFFD.
        """
        # With a timeout redis-py would wrap each write in asyncio.wait_for, which on Python 3.11
        # may lose a cancellation of the waiting task. The callers bound the time instead.
        connection.socket_timeout = None
        try:
            await connection.connect()  # type: ignore[no-untyped-call]  # redis-py's own
            return cls(connection, timeout_s, deliver, decode=decode)
        except BaseException as error:
            await connection.disconnect(nowait=True)
            if isinstance(error, RuntimeError) and _RESET in str(error):
                raise RedisConnectionError("Connection reset.") from error
            raise

    @property
    def is_open(self) -> bool:
        """Whether it takes calls, and the event loop that it was opened on is running."""
        return not self._is_over and not self._transport.is_closing() and self._loop.is_running()

    @property
    def is_closed(self) -> bool:
        """Whether it is closed, and each call has got its replies or an exception."""
        return self._transport.is_closing() and not self._calls

    @property
    def is_idle(self) -> bool:
        """Whether it was idle long enough for Redis to have closed it unnoticed."""
        return not self._calls and self._now() - self._used_at > IDLE_S

    def ask(self, commands: bytes, count: int = 1) -> asyncio.Future[Replies]:
        """Send packed commands; return a future of their ``count`` replies, also error replies.

        The future raises ``ConnectionError`` and ``TimeoutError`` of redis-py.
        """
        if self._calls:
            self._write_soon(commands)
        else:
            self._transport.write(commands)  # first, so that Redis works meanwhile
        answered = self._loop.create_future()
        self._used_at = self._now()
        self._calls.append((self._used_at + self._timeout_s, count, [], answered))
        if self._timer is None:
            self._timer = self._loop.call_later(self._timeout_s, self._check_time)
        return answered

    def send(self, commands: bytes) -> None:
        """Send packed commands; their replies go to ``deliver``."""
        if self._unwritten:
            self._write_soon(commands)
        elif not self._transport.is_closing():
            self._transport.write(commands)

    def pause(self) -> None:
        """Stop reading until ``resume``."""
        if not self.is_paused and not self._transport.is_closing():
            self.is_paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Continue reading."""
        if self.is_paused and not self._transport.is_closing():
            self.is_paused = False
            self.heard_at = self._now()  # unread data may be waiting: Redis was not silent
            self._transport.resume_reading()

    def retire(self) -> None:
        """Take no more calls, and close when the last one has its replies."""
        self._is_over = True
        if not self._calls:
            self._transport.abort()

    async def close(self) -> None:
        """Close it at once; pending calls raise ``ConnectionError``."""
        if not self._loop.is_running():
            return  # its event loop has ended, so it can't be closed
        self.give_up("Connection closed.")
        await asyncio.wait([self._closed], timeout=self._timeout_s)

    def give_up(self, why: str) -> None:
        """Abort the connection for the reason ``why``; pending calls raise ``ConnectionError``."""
        self._is_over = True
        self._unwritten.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._calls:
            *_, answered = self._calls.popleft()
            if not answered.done():
                answered.set_exception(RedisConnectionError(why))
        if not self.lost.done():
            self.lost.set_result(why)
        self._transport.abort()

    def get_buffer(self, _size_hint: int) -> memoryview:
        """Return the buffer to read into; called by asyncio only."""
        return self._buffer

    def buffer_updated(self, count: int) -> None:
        """Dispatch the replies in the buffer; called by asyncio only."""
        calls, parser = self._calls, self._parser
        self.heard_at = self._now()
        pushes: Replies = []
        try:
            parser.feed(self._received, 0, count)
            while (reply := parser.gets()) is not False:
                if not calls:
                    pushes.append(reply)
                    continue
                _, wanted, replies, answered = calls[0]
                replies.append(reply)
                if len(replies) == wanted:
                    calls.popleft()
                    if not answered.done():
                        answered.set_result(replies)
        except hiredis.HiredisError as error:
            self.give_up(f"Redis sent what is no answer: {error}")
        if pushes:
            if self._deliver is None:
                self.give_up("Redis sent what is no answer")
            else:
                self._deliver(pushes)
        if self._is_over and not calls:
            self._transport.abort()

    def eof_received(self) -> None:
        """Take no more calls, because Redis closes the connection; called by asyncio only."""
        self._is_over = True

    def connection_lost(self, error: Exception | None) -> None:
        """Fail the pending calls; called by asyncio only."""
        self.give_up(f"Connection lost: {error}" if error else "Connection closed by server.")
        if not self._closed.done():
            self._closed.set_result(None)

    def _write_soon(self, commands: bytes) -> None:
        """Batch the writes of one turn of the event loop: a write is half the cost of a call.

        But in batches of limited size: Redis answers what it reads at once together, so with one
        batch the client and Redis would take turns waiting for each other.
        """
        if not self._unwritten:
            self._loop.call_soon(self._write)
        self._unwritten.append(commands)
        if len(self._unwritten) >= _TOGETHER:
            self._write()

    def _write(self) -> None:
        commands = b"".join(self._unwritten)
        self._unwritten.clear()
        if commands and not self._transport.is_closing():
            self._transport.write(commands)

    def _check_time(self) -> None:
        now, self._timer = self._now(), None
        for deadline, *_, answered in self._calls:
            if deadline > now:
                self._timer = self._loop.call_at(deadline, self._check_time)
                return
            self._is_over = True
            if not answered.done():
                answered.set_exception(unanswered(self._timeout_s))
        if self._is_over:
            self._transport.abort()


def answer_of(reply: Reply) -> Reply:
    """Return a reply. Raises an error reply as redis-py does."""
    if isinstance(reply, hiredis.ReplyError):
        raise cast("Any", DefaultParser).parse_error(str(reply))
    return reply


def decoded(reply: Reply) -> Reply:
    """Return a reply whose texts are str; invalid UTF-8 becomes U+FFFD."""
    if isinstance(reply, list):
        return [decoded(part) for part in reply]
    return reply.decode(errors="replace") if isinstance(reply, bytes) else reply


@asynccontextmanager
async def answered_within(seconds: float) -> AsyncIterator[asyncio.Timeout]:
    """Bound the time of the block. Raises ``TimeoutError`` of redis-py after ``seconds``."""
    try:
        async with asyncio.timeout(seconds) as limit:
            yield limit
    except TimeoutError:
        raise unanswered(seconds) from None


def unanswered(timeout_s: float) -> RedisTimeoutError:
    """Return the exception for a call that timed out."""
    return RedisTimeoutError(f"Redis did not answer in {timeout_s} s")
