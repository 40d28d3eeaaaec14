"""What an actor wants from Redis: it asks, goes on, and gets the answer as a message."""

import asyncio
import logging
import random
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import pykka

from actors.reminders import Reminders
from eventlog.append import Appender
from eventlog.catch_up import PAGE, CatchUp
from eventlog.errors import AppendRefused, LogUnavailable, Unreadable, UnreadableJob
from eventlog.pace import Pages
from eventlog.reader import NotRead, Reader
from schema.events import Terminal
from schema.state import Creation, JobState

_log = logging.getLogger("jobcast.actors")

_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 2.0

_FEW: Final = 4
"""Entries that an actor may be told of at once, however many others are."""

Ref = pykka.ActorRef[Any]


def tell(ref: Ref, message: object) -> None:
    """Send a message, on the event loop's thread, to an actor that may have stopped."""
    inbox: Any = ref.actor_inbox
    inbox.post(message)


def hand(ref: Ref, message: object) -> None:
    """Have a message handled at once, or after those that wait; not from within an actor."""
    inbox: Any = ref.actor_inbox
    inbox.hand(message)


class Questions:
    """Asks the event log for actors, again and again while Redis is away."""

    def __init__(self, reader: Reader, appender: Appender) -> None:
        self._reader = reader
        self._appender = appender
        self._tasks: set[asyncio.Task[None]] = set()
        self._reminders = Reminders()

    def catch_up(  # noqa: PLR0913, PLR0917 - what is asked, and for whom
        self,
        job_id: str,
        cursor: str | None,
        ref: Ref,
        answer: Callable[[CatchUp], object],
        most: int = PAGE,
        pause_s: float = _FIRST_PAUSE_S,
    ) -> None:
        """Ask what became of a job since a cursor; the actor is told ``answer(…)``.

        Args:
            job_id: the job.
            cursor: id of the last entry seen, if any.
            ref: the actor that asks, until it stops.
            answer: makes the message of what was read.
            most: how many entries may be read at once.
            pause_s: what to wait before the question is repeated.
        """
        again = partial(self.catch_up, job_id, cursor, ref, answer, most)
        self._reader.ask(job_id, cursor, partial(_answered, ref, answer, again, pause_s), most)

    def look(
        self,
        job_id: str,
        known: JobState,
        ref: Ref,
        answer: Callable[[CatchUp], object],
        pause_s: float = _FIRST_PAUSE_S,
    ) -> None:
        """Ask the same since a state, which is mostly the job's still.

        Args:
            job_id: the job.
            known: its state as the actor knows it.
            ref: the actor that asks, until it stops.
            answer: makes the message of what was read.
            pause_s: what to wait before the question is repeated.
        """
        again = partial(self.look, job_id, known, ref, answer)
        self._reader.look(job_id, known, partial(_answered, ref, answer, again, pause_s))

    def settle(self, job_id: str, event: Terminal, known: JobState, attempt: int) -> None:
        """Have the end that a publish-only worker published appended. The first end wins.

        Args:
            job_id: the job.
            event: how it ended.
            known: a state of it; another job that was created under its id meanwhile goes on.
            attempt: which attempt has ended.
        """
        task = asyncio.create_task(self._settle(job_id, event, known.creation, attempt))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def remind(self, delay_s: float, ref: Ref, message: object) -> None:
        """Tell an actor something later."""
        self._reminders.add(delay_s, tell, ref, message)

    async def close(self) -> None:
        """Ask no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _settle(self, job_id: str, event: Terminal, creation: Creation, attempt: int) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                state = await self._reader.load(job_id)
                if state is None or state.creation != creation:
                    return
                await self._appender.settle(job_id, event, attempt=attempt)
            except LogUnavailable:
                await asyncio.sleep(_jittered(pause_s))
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            except (AppendRefused, Unreadable) as refusal:
                _log.debug("job %s was not settled: %s", job_id, refusal)
                return
            else:
                return


def _answered(
    ref: Ref,
    answer: Callable[[CatchUp], object],
    again: Callable[[float], None],
    pause_s: float,
    what: CatchUp | NotRead,
) -> None:
    """Tell the actor, or ask again later if it still lives.

    A job that can't be read has nothing to follow: to its actor it is gone, and who asks next is
    told why.
    """
    if isinstance(what, CatchUp):
        if what.missed is not None and len(what.missed) > _FEW:
            Pages.here().do(tell, ref, answer(what))
        else:
            tell(ref, answer(what))
    elif isinstance(what, UnreadableJob):
        tell(ref, answer(CatchUp(None)))
    elif ref.is_alive():
        longer_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        asyncio.get_running_loop().call_later(_jittered(pause_s), again, longer_s)


def _jittered(pause_s: float) -> float:
    return pause_s * random.uniform(0.5, 1)  # noqa: S311 - spread, not secrecy
