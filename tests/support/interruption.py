"""What lies between a client and its Redis, and fails at a certain command."""

import asyncio
from typing import Final, Literal

import hiredis

from tests.support.proxy import End, Proxy
from tests.support.valkey import HOST

Moment = Literal["before", "after", "unanswered", "late"]
"""When it fails: the command never arrives, or it is executed and its answer is lost as the
connection ends, or never comes; or it arrives only when it is let go."""
MOMENTS: Final[tuple[Moment, ...]] = ("before", "after", "unanswered", "late")


class Interruption(Proxy):
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
        """Return where clients find it."""
        return f"redis://{HOST}:{self.port}/{self._database}"

    def fail_next(self, moment: Moment) -> None:
        """Fail at the next command."""
        self._at, self._moment = self.count + 1, moment

    def heal(self) -> None:
        """Let everything through that is sent from now on."""
        self._is_down = False
        self._at = 0

    async def let_go(self) -> None:
        """Deliver what is held, if anything is, and return once it was executed."""
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
