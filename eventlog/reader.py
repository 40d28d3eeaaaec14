"""Reading states and logs."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from eventlog.batch_reader import BatchReader
from eventlog.catch_up import PAGE, CatchUp
from eventlog.errors import LogUnavailable, UnreadableJob
from eventlog.outline import Outline, mark
from eventlog.question import Question
from jobcast.redis.caller import Caller
from schema.entry import Entry
from schema.owner import Owner
from schema.state import JobState

ReadFailure = LogUnavailable | UnreadableJob
"""A temporary or a permanent error."""
OnRead = Callable[[CatchUp | ReadFailure], None]


class Reader:
    """Reads jobs, in batches."""

    def __init__(self, redis: Caller) -> None:
        self._batches = BatchReader(redis)

    async def load(self, job_id: str) -> JobState | None:
        """Return the state of a job; None if there is none.

        Raises:
            UnreadableJob: the job is corrupt.
            LogUnavailable: Redis is unavailable.
        """
        return (await self.catch_up(job_id, None)).state

    async def catch_up(self, job_id: str, cursor: str | None, most: int = PAGE) -> CatchUp:
        """Return the state of a job and its entries after a cursor.

        Args:
            job_id: the job.
            cursor: id of the last known entry; None reads only the state.
            most: maximum of entries in the answer.

        Raises:
            UnreadableJob: the job is corrupt.
            LogUnavailable: Redis is unavailable.
        """
        future: asyncio.Future[CatchUp] = asyncio.get_running_loop().create_future()
        self.ask(job_id, cursor, partial(_resolve, future), most)
        try:
            return await future
        finally:
            del future  # breaks a cycle: its error's traceback holds this frame

    def ask(self, job_id: str, cursor: str | None, on_read: OnRead, most: int = PAGE) -> None:
        """Do what ``catch_up`` does, and pass the answer or the error to a callback."""

        def handle(answer: CatchUp | ReadFailure) -> None:
            if isinstance(answer, CatchUp) and cursor and answer.may_be_trimmed(cursor):
                self._ask_for_oldest(job_id, answer, on_read)
            else:
                on_read(answer)

        question = Question(job_id, cursor, most=most)
        self._batches.ask(question, on_read if cursor is None else handle)

    def _ask_for_oldest(self, job_id: str, answer: CatchUp, on_read: OnRead) -> None:
        def completed(oldest: Entry | ReadFailure | None) -> None:
            if isinstance(oldest, LogUnavailable):
                on_read(oldest)
            elif isinstance(oldest, UnreadableJob):  # only its log is corrupt
                on_read(answer)
            else:
                on_read(CatchUp(answer.state, oldest=oldest))

        self._batches.ask(Question(job_id, None, only_oldest=True), completed)

    def ask_if_changed(self, job_id: str, known: JobState, on_read: OnRead) -> None:
        """Read a job's state, and its entries if the state has changed, which is rare."""
        compare = partial(self._compare, job_id, known, on_read)
        self._batches.ask(Question(job_id, known.last, only_mark=True), compare)

    def _compare(
        self,
        job_id: str,
        known: JobState,
        on_read: OnRead,
        found: Sequence[str | None] | ReadFailure,
    ) -> None:
        """Answer with what is known, or read the job, by the mark that was found."""
        if isinstance(found, ReadFailure):
            on_read(found)
        elif found == mark(known):
            on_read(CatchUp(known, ()))
        else:
            self.ask(job_id, known.last, on_read)

    async def outline(self, job_id: str) -> Outline | None:
        """Return the outline of a job; None if there is none, or it is unreadable.

        Raises:
            LogUnavailable: Redis is unavailable.
        """
        future: asyncio.Future[Sequence[str | None]] = asyncio.get_running_loop().create_future()
        self._batches.ask(Question(job_id, None, only_mark=True), partial(_resolve, future))
        try:
            return Outline.of(await future)
        except UnreadableJob:
            return None
        finally:
            del future

    async def owner_in_log(self, job_id: str) -> Owner:
        """Return a job's owner by its log, for a job with a corrupt state.

        Raises:
            LogUnavailable: Redis is unavailable.
        """
        future: asyncio.Future[Entry | None] = asyncio.get_running_loop().create_future()
        self._batches.ask(Question(job_id, None, only_oldest=True), partial(_resolve, future))
        try:
            oldest = await future
        except UnreadableJob:
            oldest = None
        finally:
            del future
        fields = {} if oldest is None else oldest.fields
        return Owner(fields.get("userId"), fields.get("sessionId"))

    async def close(self) -> None:
        """Wait for pending batches."""
        await self._batches.close()


def _resolve(future: asyncio.Future[Any], answer: object) -> None:
    if future.done():
        return
    if isinstance(answer, ReadFailure):
        future.set_exception(answer)
    else:
        future.set_result(answer)
