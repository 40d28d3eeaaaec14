"""A connection to Redis that is read with little ceremony.

redis-py opens it, so that URL, TLS and authentication mean what they mean everywhere. Its way of
reading, a task switch and some thirty calls a message, is left out: bytes go from the event loop to
hiredis, and what one read brought is handed on at once.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, Self, cast

import hiredis
from redis.asyncio.connection import AbstractConnection, DefaultParser
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

Reply = Any
"""What hiredis makes of an answer: lists, numbers and texts, or its ``ReplyError``."""
Replies = list[Reply]
Deliver = Callable[[Replies], None]
"""Is called with what comes while no call waits; it must not raise."""

FAILURES: Final = (RedisError, OSError, TimeoutError)
"""What a call raises when Redis is unavailable or answers with an error."""

QUIET_S: Final = 0.01
"""Pause after which the event loop is asked for what it has not seen; less than a restart takes."""

_TOGETHER: Final = 8
"""Calls that are written together. With 32 under way, 8 carry a tenth more a second than 1, and 32
little more than half."""

_BUFFER_BYTES: Final = 256 * 1024
"""As much as asyncio reads at once."""

_RESET: Final = "the handler is closed"
"""What uvloop says, as a RuntimeError, to who writes to a connection that was just reset."""


_pack: Final = cast("Callable[[tuple[str | bytes, ...]], bytes]", hiredis.pack_command)


def packed(*command: str | bytes) -> bytes:
    """Return a command as Redis reads it."""
    return _pack(command)


class Connection(asyncio.BufferedProtocol):
    """An open connection to Redis.

    Redis answers in the order in which it was asked, so the oldest call gets the next answers. What
    comes while no call waits is given to ``deliver``, which must not raise: that is for channels.

    A caller may give up: its answers are dropped when they come. Once a call got none in time, the
    connection takes no more calls and closes as the last one has its answers or its time is over.

    ``heard_at`` is when the last bytes came, on the event loop's clock; ``lost`` is done when the
    connection is, and its result says why; while it ``is_paused``, nothing is read.
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
        # A view: TLS fills it in parts by slices, and a slice of a bytearray is a copy.
        self._buffer = memoryview(received)
        self._received = cast("bytes", received)  # any buffer will do, whatever its types say
        options: dict[str, Any] = {"encoding": "utf-8", "errors": "replace"} if decode else {}
        self._parser = hiredis.Reader(**options)
        # redis-py has no public way to what it opened; it is taken from it for good.
        opened = cast("Any", connection)
        self._writer = opened._writer  # noqa: SLF001 - which would close it as it is collected
        opened._reader = opened._writer = None  # noqa: SLF001
        self._closed = loop.create_future()
        self._transport: asyncio.Transport = self._writer.transport
        self._is_over = self._transport.is_closing()
        # A transport of uvloop learns of a change in the way of reading as it begins to read.
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
        """Connect as redis-py does; a ``RedisError`` when that fails.

        ``timeout_s`` is how long a call may wait for its answers. With ``decode`` texts are str
        instead of bytes, and what is no UTF-8 becomes U+FFFD.
        """
        # redis-py would bound each write by asyncio.wait_for, which on Python 3.11 may lose the
        # cancellation of the task that waits. Whoever opens a connection bounds that.
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
        """Whether it takes calls, on the event loop that it was opened on."""
        return not self._is_over and not self._transport.is_closing() and self._loop.is_running()

    @property
    def is_closed(self) -> bool:
        """Whether all calls have had their answers, or an exception."""
        return self._transport.is_closing() and not self._calls

    @property
    def is_quiet(self) -> bool:
        """Whether Redis may have closed it while the event loop was kept from noticing."""
        return not self._calls and self._now() - self._used_at > QUIET_S

    def ask(self, commands: bytes, count: int = 1) -> asyncio.Future[Replies]:
        """Send packed commands; the result are the ``count`` answers, of which any may be an error.

        Raised by the future: ``ConnectionError`` and ``TimeoutError`` of redis-py.
        """
        if self._calls:
            self._write_soon(commands)
        else:
            self._transport.write(commands)  # Redis is at work already; the rest is done meanwhile
        answered = self._loop.create_future()
        self._used_at = self._now()
        self._calls.append((self._used_at + self._timeout_s, count, [], answered))
        if self._timer is None:
            self._timer = self._loop.call_later(self._timeout_s, self._check_time)
        return answered

    def send(self, commands: bytes) -> None:
        """Send packed commands; what comes of them is delivered."""
        if self._unwritten:
            self._write_soon(commands)
        elif not self._transport.is_closing():
            self._transport.write(commands)

    def pause(self) -> None:
        """Leave what comes where it is, until ``resume``."""
        if not self.is_paused and not self._transport.is_closing():
            self.is_paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Take in what comes again."""
        if self.is_paused and not self._transport.is_closing():
            self.is_paused = False
            self.heard_at = self._now()  # what waits is yet to be read: it was not silent
            self._transport.resume_reading()

    def retire(self) -> None:
        """Take no more calls, and close as the last one has its answers."""
        self._is_over = True
        if not self._calls:
            self._transport.abort()

    async def close(self) -> None:
        """Close it now; calls without an answer raise ``ConnectionError``."""
        if not self._loop.is_running():
            return  # that of an event loop which has ended can't be closed any more
        self.give_up("Connection closed.")
        await asyncio.wait([self._closed], timeout=self._timeout_s)

    def give_up(self, why: str) -> None:
        """Have the connection be lost; calls without an answer raise ``ConnectionError``."""
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
        """Say where to put what comes; asyncio's part in it, not for callers."""
        return self._buffer

    def buffer_updated(self, count: int) -> None:
        """Hand on what came; asyncio's part in it, not for callers."""
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
        """Learn that nothing comes any more; asyncio's part in it, not for callers."""
        self._is_over = True

    def connection_lost(self, error: Exception | None) -> None:
        """Learn that it is over; asyncio's part in it, not for callers."""
        self.give_up(f"Connection lost: {error}" if error else "Connection closed by server.")
        if not self._closed.done():
            self._closed.set_result(None)

    def _write_soon(self, commands: bytes) -> None:
        """Write together what is sent in one turn of the event loop: a write is half of a call.

        But not all of it: Redis answers what it reads at once together, so the two would wait for
        each other in turns.
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
    """Return a reply; raises that of an error as redis-py does."""
    if isinstance(reply, hiredis.ReplyError):
        raise cast("Any", DefaultParser).parse_error(str(reply))
    return reply


def decoded(reply: Reply) -> Reply:
    """Return a reply whose texts are str; what is no UTF-8 becomes U+FFFD."""
    if isinstance(reply, list):
        return [decoded(part) for part in reply]
    return reply.decode(errors="replace") if isinstance(reply, bytes) else reply


@asynccontextmanager
async def answered_within(seconds: float) -> AsyncIterator[asyncio.Timeout]:
    """Bound what is asked in time; raises ``TimeoutError`` of redis-py."""
    try:
        async with asyncio.timeout(seconds) as limit:
            yield limit
    except TimeoutError:
        raise unanswered(seconds) from None


def unanswered(timeout_s: float) -> RedisTimeoutError:
    """Return the error of a call that got no answer."""
    return RedisTimeoutError(f"Redis did not answer in {timeout_s} s")
