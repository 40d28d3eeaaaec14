"""Viewers over TLS and over HTTP/2, in a process of their own: ``python -m`` this module.

It answers in lines of whole numbers, like ``crowd.c``: first how many are live, how many were
refused and the nanoseconds that took; then ``count``, and ``seen`` with the notes after the line.
HTTP/2 is read frame by frame here: a library would take longer to read an event than the service
to send it.
"""

import asyncio
import re
import ssl
import struct
import sys
import time
from array import array
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import uvloop
from hpack import Decoder, Encoder

from benchmarks.crowd import Crowd
from benchmarks.processes import HOST

Speaks = Literal["http/1.1", "h2"]

STREAMS: Final = 100
"""Streams of one connection: more than these Hypercorn does not take by default."""

_STAMP: Final = re.compile(rb"@(\d{19})")
_STAMP_SIZE: Final = 20
_WINDOW: Final = 1024
"""What a stream gets before its client says more: some four events."""

_MUCH: Final = 2**30
_DATA, _HEADERS, _RST, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_ACK: Final = 1
_END_STREAM: Final = 1
_END_HEADERS: Final = 4
_HEAD_SIZE: Final = 9


class SecureCrowd(Crowd):
    """Viewers of one server, who leave when the context ends.

    Args:
        port: of the server.
        requests: one whole HTTP/1.1 request for each viewer, of which HTTP/2 is made.
        ready_mark: what in an answer says that the viewer is live.
        speaks: the protocol; with ``h2``, 100 viewers share a connection.
        tls: whether over TLS.
        starved: how many leave their stream unread, the first ones of each connection in turn.
    """

    def __init__(  # noqa: PLR0913 - what a crowd is
        self,
        port: int,
        requests: Sequence[bytes],
        ready_mark: bytes,
        *,
        speaks: Speaks,
        tls: bool,
        starved: int = 0,
    ) -> None:
        super().__init__(port, requests, ready_mark)
        self._how = (speaks, int(tls), starved)

    async def start(self, *arguments: object, wait_s: float) -> list[int]:
        """Start the process, and return the numbers that it begins with."""
        port, requests, mark, _note, at_once = arguments
        command = (sys.executable, "-m", __spec__.name, port, requests, mark, at_once, *self._how)
        self._process = await asyncio.create_subprocess_exec(
            *map(str, command), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        return await self._line(wait_s)


class _Notes:
    """What all viewers have seen."""

    def __init__(self, mark: bytes, viewers: int) -> None:
        self.ages = array("q")
        self.count = self.lost = self.refused = 0
        self.all_answered = asyncio.Event()
        self._mark = mark
        self._waiting = viewers

    def answered(self, *, well: bool) -> None:
        self.refused += not well
        self._waiting -= 1
        if not self._waiting:
            self.all_answered.set()

    def seen(self, data: bytes, *, live: bool) -> tuple[bytes, bool]:
        """Note what came; return the piece of a stamp at its end, and whether it is live."""
        if not live:
            if self._mark not in data:
                return data, False
            self.answered(well=True)
            return b"", True
        now = time.monotonic_ns()
        stamps = _STAMP.findall(data)
        self.ages.extend([now - int(stamp) for stamp in stamps])
        self.count += len(stamps)
        begun = data.rfind(b"@", -_STAMP_SIZE + 1)
        return data[begun:] if begun >= 0 else b"", True


class _Viewer(asyncio.Protocol):
    """One viewer over HTTP/1.1."""

    def __init__(self, notes: _Notes, request: bytes) -> None:
        self._notes = notes
        self._request = request
        self._rest = b""
        self._live = False

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - asyncio's
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._rest, self._live = self._notes.seen(self._rest + data, live=self._live)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        if self._live:
            self._notes.lost += 1
        else:
            self._notes.answered(well=False)


class _Viewers(asyncio.Protocol):
    """A hundred viewers over one connection of HTTP/2."""

    def __init__(self, notes: _Notes, requests: Sequence[bytes], starved: int) -> None:
        self._notes = notes
        self._requests = requests
        self._starved = starved
        self._buffer = bytearray()
        self._decoder = Decoder()
        self._streams: dict[int, tuple[bytes, bool]] = {}
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - asyncio's
        self._transport = transport
        encoder = Encoder()
        out = [
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            _frame(_SETTINGS, 0, 0, struct.pack(">HIHI", 2, 0, 4, _WINDOW)),
            _window_update(0),
        ]
        for number, request in enumerate(self._requests):
            stream = 2 * number + 1
            block = encoder.encode(_headers(request))
            out.append(_frame(_HEADERS, _END_STREAM | _END_HEADERS, stream, block))
            if number < self._starved:
                self._notes.answered(well=True)
            else:
                self._streams[stream] = b"", False
                out.append(_window_update(stream))
        transport.write(b"".join(out))

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        at = 0
        while at + _HEAD_SIZE <= len(buffer):
            size = int.from_bytes(buffer[at : at + 3], "big")
            end = at + _HEAD_SIZE + size
            if end > len(buffer):
                break
            stream = int.from_bytes(buffer[at + 5 : at + _HEAD_SIZE], "big")
            payload = bytes(buffer[at + _HEAD_SIZE : end])
            self._frame(buffer[at + 3], buffer[at + 4], stream, payload)
            at = end
        del buffer[:at]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        for stream in list(self._streams):
            self._over(stream)

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _DATA and stream in self._streams:
            rest, live = self._streams[stream]
            self._streams[stream] = self._notes.seen(rest + payload, live=live)
        elif kind == _HEADERS:
            _name, status = next(iter(self._decoder.decode(payload, raw=True)))
            if status != b"200":
                self._over(stream)
        elif kind in {_SETTINGS, _PING} and not flags & _ACK:
            answer = payload if kind == _PING else b""
            self._transport.write(_frame(kind, _ACK, 0, answer))
        if kind == _RST or (kind in {_DATA, _HEADERS} and flags & _END_STREAM):
            self._over(stream)
        elif kind == _GOAWAY:
            self._transport.close()

    def _over(self, stream: int) -> None:
        _, live = self._streams.pop(stream, (b"", None))
        if live:
            self._notes.lost += 1
        elif live is not None:
            self._notes.answered(well=False)


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    head = len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big")
    return head + payload


def _window_update(stream: int) -> bytes:
    return _frame(_WINDOW_UPDATE, 0, stream, _MUCH.to_bytes(4, "big"))


def _headers(request: bytes) -> list[tuple[str, str]]:
    """Return the headers of HTTP/2 that a request of HTTP/1.1 has."""
    first, *lines = request.decode().rstrip().split("\r\n")
    method, target, _ = first.split()
    pairs = [line.split(": ", 1) for line in lines]
    host = next(value for name, value in pairs if name == "Host")
    others = [(name.lower(), value) for name, value in pairs if name != "Host"]
    own = {":method": method, ":path": target, ":scheme": "https", ":authority": host}
    return [*own.items(), *others]


async def _watch(arguments: Sequence[str]) -> None:
    port, file, mark, at_once, speaks, tls, starved = arguments
    requests = (await asyncio.to_thread(Path(file).read_bytes)).split(b"\0")[:-1]
    notes = _Notes(mark.encode(), len(requests))
    context = _context(speaks) if int(tls) else None
    begun = time.monotonic_ns()
    places = asyncio.Semaphore(int(at_once))
    loop = asyncio.get_running_loop()
    viewers: list[Callable[[], asyncio.Protocol]] = [
        partial(_Viewer, notes, request) for request in requests
    ]
    if speaks == "h2":
        groups = [requests[at : at + STREAMS] for at in range(0, len(requests), STREAMS)]
        shares = [len(range(number, int(starved), len(groups))) for number in range(len(groups))]
        viewers = [
            partial(_Viewers, notes, group, share)
            for group, share in zip(groups, shares, strict=True)
        ]

    async def connect(viewer: Callable[[], asyncio.Protocol]) -> None:
        async with places:
            await loop.create_connection(viewer, HOST, int(port), ssl=context)

    async with asyncio.TaskGroup() as group:
        for viewer in viewers:
            group.create_task(connect(viewer))
    await notes.all_answered.wait()
    live = len(requests) - notes.refused
    _say(b"%d %d %d\n" % (live, notes.refused, time.monotonic_ns() - begun))
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while question := (await reader.readline()).strip():
        if question == b"count":
            _say(b"%d\n" % len(notes.ages))
        elif question == b"seen":
            ages, notes.ages = notes.ages, array("q")
            _say(b"%d %d 0\n" % (len(ages), notes.lost) + ages.tobytes())


def _context(speaks: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the server's certificate is its own
    context.set_alpn_protocols([speaks])
    return context


def _say(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    uvloop.run(_watch(sys.argv[1:]))
