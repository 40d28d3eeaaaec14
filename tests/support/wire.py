"""What lies between a service and its Redis, for tests that make it slow or silent."""

import asyncio
from types import TracebackType
from typing import Self

from tests.support.valkey import HOST


class Wire:
    """Forwards a port of its own to another for the length of its block."""

    def __init__(self, to_port: int) -> None:
        self.url = ""
        self._to_port = to_port
        self._ends: list[asyncio.StreamWriter] = []
        self._open: list[asyncio.Event] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._held = b""
        self._release = asyncio.Event()

    def hold(self, text: bytes) -> None:
        """Stop a connection, one way, at the first piece that has this text in it."""
        self._held = text

    def release(self) -> None:
        """Let what was held go on."""
        self._held = b""
        self._release.set()

    def mute(self) -> None:
        """Let nothing through on the connections there are; they stay open. Later ones work."""
        for event in self._open:
            event.clear()
        self._open = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._forward, HOST, 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"redis://{HOST}:{port}/0"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for end in self._ends:
            end.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(HOST, self._to_port)
        may_pass = asyncio.Event()
        may_pass.set()
        self._open.append(may_pass)
        self._ends += [writer, back]
        for source, target in ((reader, back), (there, writer)):
            task = asyncio.create_task(self._pour(source, target, may_pass))
            self._tasks.add(task)

    async def _pour(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, may_pass: asyncio.Event
    ) -> None:
        try:
            while data := await source.read(65536):
                if self._held and self._held in data:
                    await self._release.wait()
                await may_pass.wait()
                target.write(data)
                await target.drain()
        except OSError:
            pass
        target.close()
