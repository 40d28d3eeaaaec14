"""Reading states and logs."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from eventlog.batch_reader import BatchReader
from eventlog.catch_up import PAGE, CatchUp, Question, mark
from eventlog.errors import LogUnavailable, UnreadableJob
from jobcast.redis.caller import Caller
from schema.entry import Entry
from schema.owner import Owner
from schema.state import JobState

NotRead = LogUnavailable | UnreadableJob
"""Why a job was not read: it may be read later, or it can't be."""
Answered = Callable[[CatchUp | NotRead], None]


class Reader:
    """Reads jobs, many at a time."""

    def __init__(self, redis: Caller) -> None:
        self._batches = BatchReader(redis)

    async def load(self, job_id: str) -> JobState | None:
        """Return the state of a job; None when there is none.

        Raises:
            UnreadableJob: what is stored is no job's.
            LogUnavailable: Redis is away.
        """
        return (await self.catch_up(job_id, None)).state

    async def catch_up(self, job_id: str, cursor: str | None, most: int = PAGE) -> CatchUp:
        """Return the state of a job and what was appended after a cursor.

        Args:
            job_id: the job.
            cursor: id of the last entry seen; None asks for the state alone.
            most: how many entries may be returned at once.

        Raises:
            UnreadableJob: what is stored is no job's.
            LogUnavailable: Redis is away.
        """
        future: asyncio.Future[CatchUp] = asyncio.get_running_loop().create_future()
        self.ask(job_id, cursor, partial(_settle, future), most)
        try:
            return await future
        finally:
            del future  # an error in it holds this frame, which would hold the error

    def ask(self, job_id: str, cursor: str | None, answered: Answered, most: int = PAGE) -> None:
        """Ask what ``catch_up`` returns, and be called with it, or with why it can't be had."""

        def judged(answer: CatchUp | NotRead) -> None:
            if isinstance(answer, CatchUp) and cursor and answer.may_be_trimmed(cursor):
                self._ask_for_oldest(job_id, answer, answered)
            else:
                answered(answer)

        question = Question(job_id, cursor, most=most)
        self._batches.ask(question, answered if cursor is None else judged)

    def _ask_for_oldest(self, job_id: str, answer: CatchUp, answered: Answered) -> None:
        def completed(oldest: Entry | NotRead | None) -> None:
            if isinstance(oldest, LogUnavailable):
                answered(oldest)
            elif isinstance(oldest, UnreadableJob):  # its log alone, for its state was just read
                answered(answer)
            else:
                answered(CatchUp(answer.state, oldest=oldest))

        self._batches.ask(Question(job_id, None, only_oldest=True), completed)

    def look(self, job_id: str, known: JobState, answered: Answered) -> None:
        """Ask what became of a job since a state of it: mostly nothing, which is cheap to learn."""

        def compared(found: Sequence[str | None] | NotRead) -> None:
            if isinstance(found, NotRead):
                answered(found)
            elif found == mark(known):
                answered(CatchUp(known, ()))
            else:
                self.ask(job_id, known.last, answered)

        self._batches.ask(Question(job_id, known.last, only_mark=True), compared)

    async def owner_in_log(self, job_id: str) -> Owner:
        """Return whose job it is as its log says, which its state may say no more.

        Raises:
            LogUnavailable: Redis is away.
        """
        future: asyncio.Future[Entry | None] = asyncio.get_running_loop().create_future()
        self._batches.ask(Question(job_id, None, only_oldest=True), partial(_settle, future))
        try:
            oldest = await future
        except UnreadableJob:
            oldest = None
        finally:
            del future
        fields = {} if oldest is None else oldest.fields
        return Owner(fields.get("userId"), fields.get("sessionId"))

    async def close(self) -> None:
        """Wait for what is under way."""
        await self._batches.close()


def _settle(future: asyncio.Future[Any], answer: object) -> None:
    if future.done():
        return
    if isinstance(answer, NotRead):
        future.set_exception(answer)
    else:
        future.set_result(answer)
