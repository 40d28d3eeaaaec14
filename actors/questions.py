"""What an actor wants from Redis: it asks, goes on, and gets the answer as a message."""

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from typing import Any, Final

import pykka

from eventlog.append import Appender
from eventlog.errors import AppendRefused, LogUnavailable
from eventlog.reader import CatchUp, Reader
from schema.events import Terminal

_log = logging.getLogger("jobcast.actors")

_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 2.0

Ref = pykka.ActorRef[Any]


def tell(ref: Ref, message: object) -> None:
    """Send a message, on the event loop's thread, to an actor that may have stopped."""
    inbox: Any = ref.actor_inbox
    inbox.post(message)


class Questions:
    """Asks the event log for actors, again and again while Redis is away."""

    def __init__(self, reader: Reader, appender: Appender) -> None:
        self._reader = reader
        self._appender = appender
        self._tasks: set[asyncio.Task[None]] = set()

    def catch_up(
        self, job_id: str, cursor: str | None, ref: Ref, answer: Callable[[CatchUp], object]
    ) -> None:
        """Ask what became of a job since a cursor; the actor is told ``answer(…)``."""

        async def ask() -> None:
            tell(ref, answer(await self._reader.catch_up(job_id, cursor)))

        self._spawn(self._insist(ask, ref.is_alive))

    def settle(self, job_id: str, event: Terminal, attempt: int) -> None:
        """Have the end that a publish-only worker published appended. The first end wins."""

        async def ask() -> None:
            try:
                await self._appender.settle(job_id, event, attempt=attempt)
            except AppendRefused as refusal:
                _log.debug("job %s was not settled: %s", job_id, refusal)

        self._spawn(self._insist(ask, lambda: True))

    @staticmethod
    def remind(delay_s: float, ref: Ref, message: object) -> None:
        """Tell an actor something later."""
        asyncio.get_running_loop().call_later(delay_s, tell, ref, message)

    async def close(self) -> None:
        """Ask no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _insist(
        self, ask: Callable[[], Coroutine[Any, Any, None]], wanted: Callable[[], bool]
    ) -> None:
        pause_s = _FIRST_PAUSE_S
        while wanted():
            try:
                await ask()
            except LogUnavailable:
                await asyncio.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311 - jitter
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            else:
                return

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
