"""Reading states and logs, many at a time.

What is asked for in one turn of the event loop, or while earlier questions are under way, goes to
Redis as one pipeline: ten thousand viewers that return at once cost a few round trips, and the same
question is asked once.
"""

import asyncio
import itertools
import logging
from collections.abc import Sequence
from typing import Final, cast

from msgspec import Struct
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import ResponseError

from eventlog.connection import available
from eventlog.errors import LogUnavailable
from schema.entry import Entry, entry_from_log
from schema.entry_id import position
from schema.events import InvalidEvent
from schema.state import STATE_FIELDS, JobState
from schema.wire import log_key, state_key

_log = logging.getLogger("jobcast.reader")

_BATCH: Final = 200
_UNDER_WAY: Final = 2
PAGE: Final = 64
"""How many entries one answer holds at the most: as many of 1 MiB are still read in time."""


class CatchUp(Struct, frozen=True):
    """A job as it is, and what someone missed who had seen it up to a cursor.

    Attributes:
        state: the state; None when there is no such job.
        missed: the first entries after the cursor, log-only ones included; None when the cursor is
            not in the log, or an entry after it is not what the contract says.
        more: whether there are further ones, to be asked for from the last of these.
    """

    state: JobState | None
    missed: tuple[Entry, ...] | None = None
    more: bool = False

    def for_viewer(self, cursor: str | None) -> "CatchUp":
        """Return this as it holds for a viewer: one of an earlier attempt has to begin anew."""
        if self.state is None or cursor is None or self.missed is None:
            return self
        of_earlier = position(cursor) < position(self.state.attempt_id)
        return CatchUp(self.state) if of_earlier else self


_Question = tuple[str, str | None]


class Reader:
    """Reads jobs in batches."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._asked: dict[_Question, asyncio.Future[CatchUp]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def load(self, job_id: str) -> JobState | None:
        """Return the state of a job; None when there is none.

        Raises:
            LogUnavailable: Redis is away.
        """
        return (await self.catch_up(job_id, None)).state

    async def catch_up(self, job_id: str, cursor: str | None) -> CatchUp:
        """Return the state of a job and what was appended after a cursor.

        Args:
            job_id: the job.
            cursor: id of the last entry seen; None asks for the state alone.

        Raises:
            LogUnavailable: Redis is away.
        """
        question = (job_id, cursor)
        answer = self._asked.get(question)
        if answer is None:
            if not self._asked and len(self._tasks) < _UNDER_WAY:
                asyncio.get_running_loop().call_soon(self._flush)
            answer = self._asked[question] = asyncio.get_running_loop().create_future()
        return await asyncio.shield(answer)

    async def close(self) -> None:
        """Wait for what is under way."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _flush(self) -> None:
        while self._asked and len(self._tasks) < _UNDER_WAY:
            asked = list(itertools.islice(self._asked.items(), _BATCH))
            for question, _ in asked:
                del self._asked[question]
            task = asyncio.create_task(self._read(asked))
            self._tasks.add(task)
            task.add_done_callback(self._read_more)

    def _read_more(self, done: asyncio.Task[None]) -> None:
        self._tasks.discard(done)
        self._flush()

    async def _read(self, asked: Sequence[tuple[_Question, asyncio.Future[CatchUp]]]) -> None:
        try:
            async with available(), self._redis.pipeline(transaction=False) as pipe:
                for (job_id, cursor), _ in asked:
                    _ask(pipe, job_id, cursor)
                replies = await pipe.execute(raise_on_error=False)
        except LogUnavailable as error:
            for _, future in asked:
                _fail(future, error)
            return
        answers = iter(replies)
        for (_, cursor), future in asked:
            state = next(answers)
            log = [] if cursor is None else next(answers)
            try:
                answer = _answer(state, log, cursor)
            except (ResponseError, ValueError) as error:
                _fail(future, LogUnavailable(f"The job can't be read: {error}"))
            else:
                if not future.done():
                    future.set_result(answer)


def _ask(pipe: Pipeline, job_id: str, cursor: str | None) -> None:
    pipe.hmget(state_key(job_id), STATE_FIELDS)
    if cursor is not None:
        pipe.xrange(log_key(job_id), min=cursor, count=PAGE + 1)


def _answer(values: object, log: object, cursor: str | None) -> CatchUp:
    """Make sense of two replies. The state was read first, so the log may already be longer."""
    for reply in (values, log):
        if isinstance(reply, Exception):
            raise reply
    fields = dict(zip(STATE_FIELDS, cast("list[str | None]", values), strict=True))
    if fields["status"] is None:
        return CatchUp(None)
    state = JobState.from_hash(fields)
    entries = cast("list[tuple[str, dict[str, str]]]", log)
    if cursor is None or not entries or entries[0][0] != cursor:
        return CatchUp(state)
    end = position(state.last)
    try:
        missed = tuple(
            entry_from_log(entry_id, fields)
            for entry_id, fields in entries[1:]
            if position(entry_id) <= end
        )
    except InvalidEvent as error:
        _log.warning("the log has an entry that is no event: %s", error)
        return CatchUp(state)
    more = len(entries) > PAGE and position(entries[-1][0]) < end
    return CatchUp(state, missed, more)


def _fail(future: asyncio.Future[CatchUp], error: LogUnavailable) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # nobody may be waiting any more: that is no mistake
