"""Batched questions to one Redis server.

Questions of one iteration of the event loop, and those asked while earlier ones are pending, share
a batch: ten thousand viewers that reconnect at once cost some fifty round trips. Equal questions
are asked once.
"""

import asyncio
import itertools
from collections.abc import Callable, Sequence
from typing import Any, Final

from eventlog.errors import EventLogError, unavailable, unexpected
from eventlog.question import Question
from eventlog.redis_calls import available
from jobcast.redis.connection import Replies
from jobcast.redis.server import Server

_BATCH: Final = 200
_UNDER_WAY: Final = 2
_REPLIES_PER_TURN: Final = 5
"""Answers before yielding to the event loop: each serves a viewer."""

_PAUSE_S: Final = 0.002
"""Minimum between two batches. Without it, each would hold one question."""

Reply = Callable[[Any], None]
"""Called with the answer to a question, a ``LogUnavailable`` or an ``UnreadableJob``."""

_Pending = tuple[Question, list[Reply]]


class ServerBatches:
    """Asks one server, over separate connections, because answers may be large."""

    def __init__(self, server: Server) -> None:
        self._pending: dict[Question, list[Reply]] = {}
        self._idle = [server.with_text() for _ in range(_UNDER_WAY)]
        self._tasks: set[asyncio.Task[None]] = set()
        self._flushed = 0.0

    def add(self, question: Question, reply: Reply) -> None:
        """Add a question to the next batch; ``reply`` gets the answer."""
        if not self._pending and self._idle:
            loop = asyncio.get_running_loop()
            loop.call_at(max(loop.time(), self._flushed + _PAUSE_S), self._flush)
        self._pending.setdefault(question, []).append(reply)

    async def close(self) -> None:
        """Wait for pending batches."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _flush(self) -> None:
        while self._pending and self._idle:
            self._flushed = asyncio.get_running_loop().time()
            batch = list(itertools.islice(self._pending.items(), _BATCH))
            for question, _ in batch:
                del self._pending[question]
            task = asyncio.create_task(self._read(self._idle.pop(), batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _read(self, server: Server, batch: Sequence[_Pending]) -> None:
        try:
            await self._answer(server, batch)
        finally:
            self._idle.append(server)
            self._flush()

    async def _answer(self, server: Server, batch: Sequence[_Pending]) -> None:
        commands = [question.commands() for question, _ in batch]
        packed = b"".join(itertools.chain.from_iterable(commands))
        try:
            replies = iter(await _replies(server, packed, sum(map(len, commands))))
        except Exception as error:  # noqa: BLE001 - every question must get an answer
            server.give_up()
            # Logs an unexpected error once for the batch. Its traceback would hold all questions.
            outage = unavailable(error).with_traceback(None)
            for number, (_, waiting) in enumerate(batch, 1):
                await _reply(waiting, outage, number)
            return
        for number, ((question, waiting), its_commands) in enumerate(
            zip(batch, commands, strict=True), 1
        ):
            try:
                answer = await question.answer([next(replies) for _ in its_commands])
            except EventLogError as error:
                answer = error.with_traceback(None)  # as above
            except Exception as error:  # noqa: BLE001 - one job must not affect the others
                answer = unexpected(error)
            await _reply(waiting, answer, number)


async def _replies(server: Server, packed: bytes, count: int) -> Replies:
    """Return a server's replies. A function of its own: an error's traceback holds its frame."""
    async with available():
        return await server.ask(packed, count)


async def _reply(waiting: Sequence[Reply], answer: object, number: int) -> None:
    """Call all callbacks of a question; yield to the event loop after some questions."""
    for reply in waiting:
        reply(answer)
    if not number % _REPLIES_PER_TURN:
        await asyncio.sleep(0)
