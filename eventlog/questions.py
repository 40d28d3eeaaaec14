"""Questions to the log, retried until Redis answers."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Final

from eventlog.append import Appender
from eventlog.backoff import jittered
from eventlog.catch_up import PAGE, CatchUp, IsWanted, OnAnswer
from eventlog.errors import AppendRefused, LogUnavailable, Unreadable, UnreadableJob
from eventlog.pace import Pages
from eventlog.reader import Reader, ReadFailure
from schema.events import Terminal
from schema.state import Creation, JobState

_log = logging.getLogger("jobcast.questions")

_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 2.0

_FEW: Final = 4
"""Entries of an answer that is delivered without pacing."""


class Questions:
    """Asks the log; retries while Redis is unavailable and the answer is wanted."""

    def __init__(self, reader: Reader, appender: Appender) -> None:
        self._reader = reader
        self._appender = appender
        self._tasks: set[asyncio.Task[None]] = set()

    def catch_up(  # noqa: PLR0913, PLR0917 - the question and its answer
        self,
        job_id: str,
        cursor: str | None,
        on_answer: OnAnswer,
        is_wanted: IsWanted,
        most: int = PAGE,
        pause_s: float = _FIRST_PAUSE_S,
    ) -> None:
        """Read a job's state and its entries after a cursor.

        Args:
            job_id: the job.
            cursor: id of the last known entry, if any.
            on_answer: called with the answer.
            is_wanted: whether the answer is still wanted.
            most: maximum of entries in the answer.
            pause_s: pause before a retry.
        """
        again = partial(self.catch_up, job_id, cursor, on_answer, is_wanted, most)
        answered = partial(_answered, on_answer, is_wanted, again, pause_s)
        self._reader.ask(job_id, cursor, answered, most)

    def catch_up_if_changed(
        self,
        job_id: str,
        known: JobState,
        on_answer: OnAnswer,
        is_wanted: IsWanted,
        pause_s: float = _FIRST_PAUSE_S,
    ) -> None:
        """Read a job's state, and its entries if the state has changed.

        Args:
            job_id: the job.
            known: its last known state.
            on_answer: called with the answer.
            is_wanted: whether the answer is still wanted.
            pause_s: pause before a retry.
        """
        again = partial(self.catch_up_if_changed, job_id, known, on_answer, is_wanted)
        self._reader.ask_if_changed(
            job_id, known, partial(_answered, on_answer, is_wanted, again, pause_s)
        )

    def settle(self, job_id: str, event: Terminal, known: JobState, attempt: int) -> None:
        """Append the terminal event of a publish-only worker. The first one wins.

        Args:
            job_id: the job.
            event: the terminal event.
            known: its last known state, so that another job with its id is not ended.
            attempt: the attempt that it ends.
        """
        task = asyncio.create_task(self._settle(job_id, event, known.creation, attempt))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Cancel pending appends."""
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
    on_answer: OnAnswer,
    is_wanted: IsWanted,
    again: Callable[[float], None],
    pause_s: float,
    answer: CatchUp | ReadFailure,
) -> None:
    """Pass the answer on, or retry later if it is still wanted.

    An unreadable job is answered like a missing one; the next request for it gets the error.
    """
    if isinstance(answer, CatchUp):
        if answer.missed is not None and len(answer.missed) > _FEW:
            Pages.here().do(on_answer, answer)
        else:
            on_answer(answer)
    elif isinstance(answer, UnreadableJob):
        on_answer(CatchUp(None))
    elif is_wanted():
        longer_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        asyncio.get_running_loop().call_later(jittered(pause_s), again, longer_s)
