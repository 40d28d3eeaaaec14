"""Questions to one Redis server, many at a time.

What is asked for in one turn of the event loop, or while earlier questions are under way, goes to
Redis at once: ten thousand viewers that return together cost some fifty round trips, and the same
question is asked once.
"""

import asyncio
import itertools
from collections.abc import Callable, Sequence
from typing import Any, Final

from eventlog.catch_up import Question
from eventlog.connection import available
from eventlog.errors import EventLogError, unavailable, unforeseen
from jobcast.redis.connection import Replies
from jobcast.redis.server import Server

_BATCH: Final = 200
_UNDER_WAY: Final = 2
_AT_ONCE: Final = 5
"""Answers that are handed on in a turn of the event loop: a viewer is served after each."""

_PAUSE_S: Final = 0.002
"""Between two batches: in a crowd each would be of one question otherwise."""

Reply = Callable[[Any], None]
"""Is called with the answer to a question, or with a ``LogUnavailable`` or an ``UnreadableJob``."""

_Asked = tuple[Question, list[Reply]]


class Batches:
    """Asks one server, over connections of its own: what it brings may be large."""

    def __init__(self, server: Server) -> None:
        self._asked: dict[Question, list[Reply]] = {}
        self._idle = [server.with_text() for _ in range(_UNDER_WAY)]
        self._tasks: set[asyncio.Task[None]] = set()
        self._flushed = 0.0

    def ask(self, question: Question, reply: Reply) -> None:
        """Ask soon, together with others."""
        if not self._asked and self._idle:
            loop = asyncio.get_running_loop()
            loop.call_at(max(loop.time(), self._flushed + _PAUSE_S), self._flush)
        self._asked.setdefault(question, []).append(reply)

    async def close(self) -> None:
        """Wait for what is under way."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _flush(self) -> None:
        while self._asked and self._idle:
            self._flushed = asyncio.get_running_loop().time()
            asked = list(itertools.islice(self._asked.items(), _BATCH))
            for question, _ in asked:
                del self._asked[question]
            task = asyncio.create_task(self._read(self._idle.pop(), asked))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _read(self, server: Server, asked: Sequence[_Asked]) -> None:
        try:
            await self._answer(server, asked)
        finally:
            self._idle.append(server)
            self._flush()

    async def _answer(self, server: Server, asked: Sequence[_Asked]) -> None:
        commands = [question.commands() for question, _ in asked]
        packed = b"".join(itertools.chain.from_iterable(commands))
        try:
            replies = iter(await _replies(server, packed, sum(map(len, commands))))
        except Exception as error:  # noqa: BLE001 - who asked must not wait for ever, whatever it is
            server.give_up()
            # Logs what was not foreseen, once for all who asked; and they are in this frame, which
            # must not be in what they are told.
            away = unavailable(error).with_traceback(None)
            for number, (_, waiting) in enumerate(asked, 1):
                await _reply(waiting, away, number)
            return
        for number, ((question, waiting), its_commands) in enumerate(
            zip(asked, commands, strict=True), 1
        ):
            try:
                answer = await question.answer([next(replies) for _ in its_commands])
            except EventLogError as error:
                answer = error.with_traceback(None)  # as above
            except Exception as error:  # noqa: BLE001 - nor must those who asked about other jobs
                answer = unforeseen(error)
            await _reply(waiting, answer, number)


async def _replies(server: Server, packed: bytes, count: int) -> Replies:
    """Return what a server answers. The frame of this is in an error's trace, and holds nobody."""
    async with available():
        return await server.ask(packed, count)


async def _reply(waiting: Sequence[Reply], answer: object, number: int) -> None:
    """Reply to all who have asked a question; after some questions, let others have their turn."""
    for reply in waiting:
        reply(answer)
    if not number % _AT_ONCE:
        await asyncio.sleep(0)
