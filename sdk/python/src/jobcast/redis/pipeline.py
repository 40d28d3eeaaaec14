"""Calls to Redis over one connection, many at once, each answered in its turn."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, cast

import hiredis
from redis.asyncio.connection import AbstractConnection, DefaultParser
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

Reply = Any
"""What hiredis makes of an answer: lists, numbers and bytes, or its ``ReplyError``."""

QUIET_S: Final = 0.01
"""Pause after which the event loop is asked for what it has not seen; less than a restart takes."""

_BUFFER_BYTES: Final = 64 * 1024


_pack: Final = cast("Callable[[tuple[str | bytes, ...]], bytes]", hiredis.pack_command)


def packed(*command: str | bytes) -> bytes:
    """Return a command as Redis reads it."""
    return _pack(command)


class Pipeline(asyncio.BufferedProtocol):
    """A connection that redis-py has opened, read and written without its ceremony.

    Connecting is left to it, so that URL, TLS and authentication mean what they do everywhere.

    Redis answers in the order in which it was asked, so the oldest call gets the next answer. A
    caller may give up: the answer is dropped when it comes. Once a call got none in time, the
    connection takes no more calls and closes as the last one has its answer or its time is over.
    """

    def __init__(self, connection: AbstractConnection, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._calls = deque[tuple[float, asyncio.Future[Reply]]]()
        self._loop = asyncio.get_running_loop()
        self._used_at = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        received = bytearray(_BUFFER_BYTES)
        # A view: TLS fills it in parts by slices, and a slice of a bytearray is a copy.
        self._buffer = memoryview(received)
        self._received = cast("bytes", received)  # any buffer will do, whatever its types say
        self._parser = hiredis.Reader()
        # redis-py has no public way to what it opened; it is taken from it for good.
        opened = cast("Any", connection)
        self._writer = opened._writer  # noqa: SLF001 - which would close it as it is collected
        opened._reader = opened._writer = None  # noqa: SLF001
        self._closed = self._loop.create_future()
        self._transport: asyncio.Transport = self._writer.transport
        self._is_over = self._transport.is_closing()
        # A transport of uvloop learns of a change in the way of reading as it begins to read.
        self._transport.pause_reading()
        self._transport.set_protocol(self)
        self._transport.resume_reading()

    @classmethod
    async def open(cls, connection: AbstractConnection, timeout_s: float) -> "Pipeline":
        """Connect as redis-py does; a ``RedisError`` when that fails.

        ``timeout_s`` is how long a call may wait for its answer.
        """
        try:
            await connection.connect()  # type: ignore[no-untyped-call]  # redis-py's own
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return cls(connection, timeout_s)

    @property
    def is_open(self) -> bool:
        """Whether it takes calls, on the event loop that it was opened on."""
        return not self._is_over and self._loop.is_running()

    @property
    def is_closed(self) -> bool:
        """Whether all calls have had their answer, or an exception."""
        return self._transport.is_closing() and not self._calls

    @property
    def is_quiet(self) -> bool:
        """Whether Redis may have closed it while the event loop was kept from noticing."""
        return not self._calls and self._loop.time() - self._used_at > QUIET_S

    def call(self, command: bytes) -> asyncio.Future[Reply]:
        """Send a packed command; the answer of Redis, which may be an error, is the result.

        Raised by the future: ``ConnectionError`` and ``TimeoutError`` of redis-py.
        """
        self._transport.write(command)
        # Redis is at work already; the rest is done meanwhile.
        answer = self._loop.create_future()
        self._used_at = self._loop.time()
        self._calls.append((self._used_at + self._timeout_s, answer))
        if self._timer is None:
            self._timer = self._loop.call_later(self._timeout_s, self._check_time)
        return answer

    def retire(self) -> None:
        """Take no more calls, and close as the last one has its answer."""
        self._is_over = True
        if not self._calls:
            self._transport.abort()

    async def close(self) -> None:
        """Close it now; calls without an answer raise ``ConnectionError``."""
        if not self._loop.is_running():
            return  # that of an event loop which has ended can't be closed any more
        self._end("Connection closed.")
        await asyncio.wait([self._closed], timeout=self._timeout_s)

    def get_buffer(self, _size_hint: int) -> memoryview:
        """Say where to put what comes; asyncio's part in it, not for callers."""
        return self._buffer

    def buffer_updated(self, count: int) -> None:
        """Give answers to those who wait; asyncio's part in it, not for callers."""
        calls, parser = self._calls, self._parser
        try:
            parser.feed(self._received, 0, count)
            while (reply := parser.gets()) is not False:
                _, answer = calls.popleft()
                if not answer.done():
                    answer.set_result(reply)
        except (hiredis.HiredisError, IndexError) as error:
            self._end(f"Redis sent what is no answer: {error}")
        if self._is_over and not calls:
            self._transport.abort()

    def eof_received(self) -> None:
        """Learn that nothing comes any more; asyncio's part in it, not for callers."""
        self._is_over = True

    def connection_lost(self, error: Exception | None) -> None:
        """Learn that it is over; asyncio's part in it, not for callers."""
        self._end(f"Connection lost: {error}" if error else "Connection closed by server.")
        if not self._closed.done():
            self._closed.set_result(None)

    def _check_time(self) -> None:
        now, self._timer = self._loop.time(), None
        for deadline, answer in self._calls:
            if deadline > now:
                self._timer = self._loop.call_at(deadline, self._check_time)
                return
            self._is_over = True
            if not answer.done():
                answer.set_exception(unanswered(self._timeout_s))
        if self._is_over:
            self._transport.abort()

    def _end(self, why: str) -> None:
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._calls:
            _, answer = self._calls.popleft()
            if not answer.done():
                answer.set_exception(RedisConnectionError(why))
        self._transport.abort()


def answer_of(reply: Reply) -> Reply:
    """Return a reply; raises that of an error as redis-py does."""
    if isinstance(reply, hiredis.ReplyError):
        raise cast("Any", DefaultParser).parse_error(str(reply))
    return reply


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
