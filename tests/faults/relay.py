"""A proxy that lies: what the oracle must see through."""

import asyncio
from collections.abc import Callable

from tests.support.proxy import End, Proxy
from tests.support.sse import Parser, Stream, request
from tests.support.valkey import HOST

Lie = Callable[[bytes], list[bytes]]
"""Returns what becomes of one block of the stream: a frame, or a comment."""


def honest(block: bytes) -> list[bytes]:
    """Pass everything on."""
    return [block]


class Relay(Proxy):
    """An HTTP proxy of streams that cuts each response after some blocks, and may lie.

    Args:
        url: address of the service.
        lie: what it does to the blocks; one function for all responses of all viewers.
        cut_after: how many blocks a response has at the most.
        answers: the status of its own for who comes back; 0 leaves that to the service.
    """

    def __init__(
        self, url: str, lie: Lie = honest, *, cut_after: int = 1000, answers: int = 0
    ) -> None:
        super().__init__()
        self._upstream = url
        self._lie = lie
        self._cut_after = cut_after
        self._answers = answers

    @property
    def url(self) -> str:
        """Return where viewers find it."""
        return f"http://{HOST}:{self.port}"

    async def _serve(self, here: End) -> None:
        reader, writer = here
        try:
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines if line)
            if self._answers and "Last-Event-ID" in headers:
                writer.write(f"HTTP/1.1 {self._answers} Any\r\nContent-Length: 0\r\n\r\n".encode())
            else:
                async with request(self._upstream, first.split()[1], headers=headers) as stream:
                    await self._pass_on(stream, writer)
        except (OSError, EOFError):
            pass  # one of the two sides has gone
        finally:
            writer.close()

    async def _pass_on(self, stream: Stream, writer: asyncio.StreamWriter) -> None:
        content_type = stream.headers.get("content-type", "text/plain")
        head = f"HTTP/1.1 {stream.status} Any\r\nContent-Type: {content_type}\r\n\r\n"
        writer.write(head.encode())
        passed = 0
        while not stream.ended and passed < self._cut_after:
            await stream.read_body()
            for block in stream.blocks[passed : self._cut_after]:
                passed += 1
                for piece in self._lie(block):
                    writer.write(piece)
            await writer.drain()


def name_of(block: bytes) -> str:
    """Return the name of the event in a block; empty if there is none."""
    events = Parser().feed(block)
    return events[0].name if events else ""
