"""What lies between a client and its Redis, and fails at a certain command."""

import asyncio
from types import TracebackType
from typing import Final, Literal, Self

import hiredis

from tests.support.valkey import HOST

Moment = Literal["before", "after", "unanswered", "late"]
"""When it fails: the command never arrives, or it is executed and its answer is lost as the
connection ends, or never comes; or it arrives only when it is let go."""
MOMENTS: Final[tuple[Moment, ...]] = ("before", "after", "unanswered", "late")


class Interruption:
    """Forwards commands to a Redis one by one, and counts them, for the length of its block.

    Args:
        to_port: of the Redis.
        database: of the clients' that come through.
        at: number of the command, from 1, at which it fails; 0 is never.
        moment: how it fails.
        lasting: whether nothing gets through any more from then on.
    """

    def __init__(
        self,
        to_port: int,
        database: int,
        *,
        at: int = 0,
        moment: Moment = "before",
        lasting: bool = False,
    ) -> None:
        self.count = 0
        self.url = ""
        self._to_port = to_port
        self._database = database
        self._at = at
        self._moment = moment
        self._lasting = lasting
        self._is_down = False
        self._holds = False
        self._let_go = asyncio.Event()
        self._arrived = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def heal(self) -> None:
        """Let everything through that is sent from now on."""
        self._is_down = False
        self._at = 0

    async def let_go(self) -> None:
        """Deliver what is held, if anything is, and return once it was executed."""
        self._let_go.set()
        if self._holds:
            await self._arrived.wait()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, HOST, 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"redis://{HOST}:{port}/{self._database}"
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

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.create_task(self._forward(reader, writer)))

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(HOST, self._to_port)
        commands = hiredis.Reader()
        try:
            while data := await reader.read(65536):
                commands.feed(data)
                while (command := commands.gets()) is not False:
                    writer.write(await self._answer(command, there, back))
        except ConnectionError:
            pass
        finally:
            writer.close()
            back.close()

    async def _answer(
        self, command: list[bytes], there: asyncio.StreamReader, back: asyncio.StreamWriter
    ) -> bytes:
        """Return the answer to a command, as it came; ConnectionError if the caller gets none."""
        self.count += 1
        moment = self._moment if self.count == self._at else None
        if self._is_down or moment == "before":
            self._is_down |= self._lasting
            raise ConnectionError
        self._is_down |= moment is not None and self._lasting
        if moment == "late":
            self._holds = True
            await self._let_go.wait()
        parts = b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in command)
        back.write(b"*%d\r\n%b" % (len(command), parts))
        answer, whole = b"", hiredis.Reader()
        while whole.gets() is False:
            data = await there.read(65536)
            if not data:
                raise ConnectionError
            answer += data
            whole = hiredis.Reader()
            whole.feed(answer)
        if moment == "late":
            self._arrived.set()
        if moment in {"after", "late"}:
            raise ConnectionError
        if moment == "unanswered":
            await asyncio.Event().wait()
        return answer
