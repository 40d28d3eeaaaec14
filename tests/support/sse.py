"""A viewer for tests: raw sockets, and a parser that follows the specification only.

Source: HTML Living Standard, §9.2.6 "Interpreting an event stream".
"""

import asyncio
import json
import re
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tests.support.waiting import PATIENCE_SECONDS

WAIT_SECONDS = PATIENCE_SECONDS


@dataclass
class Event:
    """One dispatched event."""

    name: str
    data: Any
    id: str


@dataclass
class Parser:
    """Parses bytes into events like a browser; also keeps ``comments`` and ``retries``."""

    last_event_id: str = ""
    comments: list[str] = field(default_factory=list)
    retries: list[int] = field(default_factory=list)
    _buffer: bytes = b""
    _name: str = ""
    _data: list[str] = field(default_factory=list)
    _id: str = ""

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that are complete with these bytes."""
        self._buffer = (self._buffer + data).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, self._buffer = self._buffer.split(b"\n")
        return [event for line in lines if (event := self._line(line.decode())) is not None]

    def _line(self, line: str) -> Event | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not name:
            self.comments.append(value)
        elif name == "event":
            self._name = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retries.append(int(value))
        return None

    def _dispatch(self) -> Event | None:
        self.last_event_id = self._id
        name, data = self._name or "message", self._data
        self._name, self._data = "", []
        if not data:
            return None
        return Event(name, json.loads("\n".join(data)), self._id)


class Stream:
    """One open response: its head, its events, its end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.status = 0
        self.headers: dict[str, str] = {}
        self.raw_head = b""
        self._parts: list[bytes] = []
        self.parser = Parser()
        self.ended = False
        self.cut = False
        self._events: list[Event] = []

    @property
    def body(self) -> bytes:
        """Return the body as far as it was read."""
        # Joined on demand: doing so after each of hundreds of parts would copy tens of gigabytes.
        self._parts = [b"".join(self._parts)]
        return self._parts[0]

    async def read_head(self) -> None:
        """Read the status and the headers, whose names are stored in lower case."""
        async with asyncio.timeout(WAIT_SECONDS):
            self.raw_head = await self._reader.readuntil(b"\r\n\r\n")
        first, *lines = self.raw_head.decode("latin-1").split("\r\n")
        self.status = int(first.split()[1])
        for line in filter(None, lines):
            name, _, value = line.partition(":")
            self.headers[name.strip().lower()] = value.strip()

    async def read_body(self) -> None:
        """Read the next part of the body: a chunk, or the available bytes if it is not chunked."""
        if self.headers.get("transfer-encoding") == "chunked":
            data = await self._read_chunk()
        elif "content-length" in self.headers:
            missing = int(self.headers["content-length"]) - len(self.body)
            data = await self._reader.read(missing) if missing else b""
        else:
            data = await self._reader.read(65536)
        self.ended = not data
        self._parts.append(data)
        if self.headers.get("content-type", "").startswith("text/event-stream"):
            self._events += self.parser.feed(data)

    async def next(self, wait_s: float = WAIT_SECONDS) -> Event:
        """Return the next event; EOFError if the response ended, TimeoutError if none arrives."""
        async with asyncio.timeout(wait_s):
            while not self._events:
                if self.ended:
                    raise EOFError(f"the response has ended ({self.status})")
                await self.read_body()
        return self._events.pop(0)

    async def until(self, name: str, wait_s: float = WAIT_SECONDS) -> list[Event]:
        """Return all events up to and including the first of a name."""
        events = [await self.next(wait_s)]
        while events[-1].name != name:
            events.append(await self.next(wait_s))
        return events

    async def rest(self, wait_s: float = WAIT_SECONDS) -> list[Event]:
        """Read to the end of the response; return the events that were not returned before."""
        async with asyncio.timeout(wait_s):
            while not self.ended:
                await self.read_body()
        events, self._events = self._events, []
        return events

    @property
    def blocks(self) -> list[bytes]:
        """Return the blocks of the body so far, each with its terminating blank line."""
        return re.findall(rb".+?\n\n", self.body, re.DOTALL)

    async def received(self, text: bytes, wait_s: float = WAIT_SECONDS) -> None:
        """Read until the body contains these bytes."""
        async with asyncio.timeout(wait_s):
            while text not in self.body:
                if self.ended:
                    raise EOFError(f"the response has ended ({self.status})")
                await self.read_body()

    async def closed_by_server(self) -> bool:
        """Wait until the server closes the connection after the end of the response."""
        async with asyncio.timeout(WAIT_SECONDS):
            return await self._reader.read(1) == b""

    async def send_on(
        self, method: str, target: str, headers: dict[str, str] | None = None
    ) -> None:
        """Send another request on the same connection, and read the head of its response."""
        self.ask(method, target, headers)
        await self.answer()

    def ask(self, method: str, target: str, headers: dict[str, str] | None = None) -> None:
        """Send another request on the same connection, even before the response to this one."""
        given = {"Host": "localhost", **(headers or {})}
        lines = [f"{method} {target} HTTP/1.1", *(f"{k}: {v}" for k, v in given.items())]
        self._writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")

    async def answer(self) -> None:
        """Read the head of the response to the next request on this connection."""
        self.headers, self._parts, self.parser = {}, [], Parser()
        self.ended = self.cut = False
        self._events = []
        await self.read_head()

    def close(self) -> None:
        """Close the connection, as a browser does when its tab is closed."""
        self._writer.close()

    def abort(self) -> None:
        """Reset the connection, like a machine that crashes."""
        connection = self._writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def _read_chunk(self) -> bytes:
        try:
            size = int(await self._reader.readuntil(b"\r\n"), 16)
            return (await self._reader.readexactly(size + 2))[:-2]
        except (asyncio.IncompleteReadError, ConnectionError):
            self.cut = True
            return b""


@asynccontextmanager
async def request(  # noqa: PLR0913 - the parts of a request
    url: str,
    target: str,
    *,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    version: str = "1.1",
    body: bytes = b"",
) -> AsyncIterator[Stream]:
    """Send one request on a new connection and read the head of the response."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=2**24)
    given = {"Host": parts.netloc, **(headers or {})}
    if body:
        given["Content-Length"] = str(len(body))
    lines = [f"{method} {target} HTTP/{version}", *(f"{k}: {v}" for k, v in given.items())]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    stream = Stream(reader, writer)
    try:
        await stream.read_head()
        yield stream
    finally:
        writer.close()


@asynccontextmanager
async def watch(
    url: str,
    job_id: str,
    *,
    session: str = "session-1",
    last_event_id: str | None = None,
    query: str = "",
    **options: Any,  # noqa: ANN401 - those of request
) -> AsyncIterator[Stream]:
    """Open a job's stream as a session."""
    headers = {"x-session-id": session, **options.pop("headers", {})}
    if last_event_id is not None:
        headers["Last-Event-ID"] = last_event_id
    target = f"/api/v1/jobs/{job_id}/stream" + (f"?{query}" if query else "")
    async with request(url, target, headers=headers, **options) as stream:
        yield stream


@asynccontextmanager
async def watch_many(
    url: str,
    query: str,
    *,
    session: str = "session-1",
    last_event_id: str | None = None,
    **options: Any,  # noqa: ANN401 - those of request
) -> AsyncIterator[Stream]:
    """Open a stream of many jobs as a session; ``query`` selects the jobs."""
    headers = {"x-session-id": session, **options.pop("headers", {})}
    if last_event_id is not None:
        headers["Last-Event-ID"] = last_event_id
    async with request(url, f"/api/v1/stream?{query}", headers=headers, **options) as stream:
        yield stream


def of_jobs(*job_ids: str) -> str:
    """Return the query that selects these jobs."""
    return f"jobs={','.join(job_ids)}"


async def states_of(stream: Stream, job_ids: Sequence[str]) -> list[Event]:
    """Read a stream of many jobs until each of these has sent its state; return all events."""
    missing, events = set(job_ids), list[Event]()
    while missing:
        events.append(await stream.next())
        if events[-1].name not in {"connected", "left", "ping"}:
            missing.discard(events[-1].data["jobId"])
    return events
