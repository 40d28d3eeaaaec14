"""A proxy between a client and Redis that fails at a certain command."""

import asyncio
from typing import Final, Literal

import hiredis

from tests.support.proxy import End, Proxy
from tests.support.valkey import HOST

Moment = Literal["before", "after", "unanswered", "late"]
"""How it fails. Before: the command never arrives. After: it is executed, and the connection ends
before the reply. Unanswered: it is executed, and the reply never arrives. Late: the connection is
kept open, and the command arrives only after ``let_go``; its reply is lost."""
MOMENTS: Final[tuple[Moment, ...]] = ("before", "after", "unanswered", "late")


class Interruption(Proxy):
    """Forwards and counts commands, one by one, for the length of its block.

    Args:
        to_port: port of Redis.
        database: database of the clients.
        at: number of the command at which it fails, from 1; 0 for never.
        moment: how it fails.
        lasting: whether all commands fail from then on.
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
        super().__init__(to_port)
        self.count = 0
        self._database = database
        self._at = at
        self._moment = moment
        self._lasting = lasting
        self._is_down = False
        self._holds = False
        self._let_go = asyncio.Event()
        self._arrived = asyncio.Event()

    @property
    def url(self) -> str:
        """Return the URL for clients."""
        return f"redis://{HOST}:{self.port}/{self._database}"

    def fail_next(self, moment: Moment) -> None:
        """Fail at the next command."""
        self._at, self._moment = self.count + 1, moment

    def heal(self) -> None:
        """Forward all commands from now on."""
        self._is_down = False
        self._at = 0

    async def let_go(self) -> None:
        """Forward the held command, if any, and wait until it was executed."""
        self._let_go.set()
        if self._holds:
            await self._arrived.wait()

    async def _serve(self, here: End) -> None:
        (reader, writer), onward = here, await self._connect()
        if onward is None:
            writer.transport.abort()
            return
        there, back = onward
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
        """Return the raw reply to a command; raise ConnectionError if the client must get none."""
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
