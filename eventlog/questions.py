"""Questions to the log that are repeated until Redis answers."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Final

from eventlog.append import Appender
from eventlog.backoff import jittered
from eventlog.catch_up import PAGE, CatchUp, Given, IsWanted
from eventlog.errors import AppendRefused, LogUnavailable, Unreadable, UnreadableJob
from eventlog.pace import Pages
from eventlog.reader import NotRead, Reader
from schema.events import Terminal
from schema.state import Creation, JobState

_log = logging.getLogger("jobcast.questions")

_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 2.0

_FEW: Final = 4
"""Entries of an answer that is given at once, however many others there are."""


class Questions:
    """Asks the log, again and again while Redis is unavailable and the answer is wanted."""

    def __init__(self, reader: Reader, appender: Appender) -> None:
        self._reader = reader
        self._appender = appender
        self._tasks: set[asyncio.Task[None]] = set()

    def catch_up(  # noqa: PLR0913, PLR0917 - what is asked, and for whom
        self,
        job_id: str,
        cursor: str | None,
        given: Given,
        is_wanted: IsWanted,
        most: int = PAGE,
        pause_s: float = _FIRST_PAUSE_S,
    ) -> None:
        """Ask what became of a job since a cursor.

        Args:
            job_id: the job.
            cursor: id of the last entry seen, if any.
            given: is called with the answer.
            is_wanted: says whether the answer is still wanted.
            most: how many entries may be read at once.
            pause_s: what to wait before the question is repeated.
        """
        again = partial(self.catch_up, job_id, cursor, given, is_wanted, most)
        answered = partial(_answered, given, is_wanted, again, pause_s)
        self._reader.ask(job_id, cursor, answered, most)

    def look(
        self,
        job_id: str,
        known: JobState,
        given: Given,
        is_wanted: IsWanted,
        pause_s: float = _FIRST_PAUSE_S,
    ) -> None:
        """Ask the same since a state, which is mostly still the job's.

        Args:
            job_id: the job.
            known: a state of it.
            given: is called with the answer.
            is_wanted: says whether the answer is still wanted.
            pause_s: what to wait before the question is repeated.
        """
        again = partial(self.look, job_id, known, given, is_wanted)
        self._reader.look(job_id, known, partial(_answered, given, is_wanted, again, pause_s))

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
                await asyncio.sleep(jittered(pause_s))
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            except (AppendRefused, Unreadable) as refusal:
                _log.debug("job %s was not settled: %s", job_id, refusal)
                return
            else:
                return


def _answered(
    given: Given,
    is_wanted: IsWanted,
    again: Callable[[float], None],
    pause_s: float,
    what: CatchUp | NotRead,
) -> None:
    """Give the answer, or ask again later if it is still wanted.

    A job that can't be read is answered like one that does not exist: there is nothing to follow,
    and the next request is told why.
    """
    if isinstance(what, CatchUp):
        if what.missed is not None and len(what.missed) > _FEW:
            Pages.here().do(given, what)
        else:
            given(what)
    elif isinstance(what, UnreadableJob):
        given(CatchUp(None))
    elif is_wanted():
        longer_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        asyncio.get_running_loop().call_later(jittered(pause_s), again, longer_s)
