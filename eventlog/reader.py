"""Reading states and logs, many at a time.

What is asked for in one turn of the event loop, or while earlier questions are under way, goes to
Redis at once: ten thousand viewers that return together cost some fifty round trips, and the same
question is asked once.
"""

import asyncio
import itertools
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

import hiredis
from msgspec import Struct

from eventlog.connection import Client
from eventlog.errors import LogUnavailable
from eventlog.inquiry import Inquiry
from eventlog.raw_connection import packed
from schema.entry import Entry, entry_from_log
from schema.entry_id import position
from schema.events import InvalidEvent
from schema.state import STATE_FIELDS, JobState
from schema.wire import log_key, state_key

_log = logging.getLogger("jobcast.reader")

_BATCH: Final = 200
_UNDER_WAY: Final = 2
_PAUSE_S: Final = 0.002
"""Between two batches: in a crowd each would be of one question otherwise."""
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


Answered = Callable[[CatchUp | LogUnavailable], None]
_Question = tuple[str, str | None, bool]
"""A job, a cursor, and whether only the id of the job's last entry is asked for."""
_Reply = Callable[[Any], None]


class Reader:
    """Reads jobs in batches.

    Args:
        client: what says where Redis is, and how to connect.
    """

    def __init__(self, client: Client) -> None:
        self._asked: dict[_Question, list[_Reply]] = {}
        self._idle = [Inquiry(client) for _ in range(_UNDER_WAY)]
        self._tasks: set[asyncio.Task[None]] = set()
        self._flushed = 0.0

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
        future: asyncio.Future[CatchUp] = asyncio.get_running_loop().create_future()

        def answered(answer: CatchUp | LogUnavailable) -> None:
            if future.done():
                return
            if isinstance(answer, LogUnavailable):
                future.set_exception(answer)
            else:
                future.set_result(answer)

        self.ask(job_id, cursor, answered)
        return await future

    def ask(self, job_id: str, cursor: str | None, answered: Answered) -> None:
        """Ask what ``catch_up`` returns, and be called with it, or with why it can't be had."""
        self._ask((job_id, cursor, False), answered)

    def look(self, job_id: str, known: JobState, answered: Answered) -> None:
        """Ask what became of a job since a state of it: mostly nothing, which is cheap to learn."""

        def compared(last: str | LogUnavailable | None) -> None:
            if isinstance(last, LogUnavailable):
                answered(last)
            elif last == known.last:
                answered(CatchUp(known, ()))
            else:
                self.ask(job_id, known.last, answered)

        self._ask((job_id, known.last, True), compared)

    async def close(self) -> None:
        """Wait for what is under way, and close the connections."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for inquiry in self._idle:
            await inquiry.close()

    def _ask(self, question: _Question, reply: _Reply) -> None:
        if not self._asked and self._idle:
            loop = asyncio.get_running_loop()
            loop.call_at(max(loop.time(), self._flushed + _PAUSE_S), self._flush)
        self._asked.setdefault(question, []).append(reply)

    def _flush(self) -> None:
        while self._asked and self._idle:
            self._flushed = asyncio.get_running_loop().time()
            asked = list(itertools.islice(self._asked.items(), _BATCH))
            for question, _ in asked:
                del self._asked[question]
            task = asyncio.create_task(self._read(self._idle.pop(), asked))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _read(
        self, inquiry: Inquiry, asked: Sequence[tuple[_Question, list[_Reply]]]
    ) -> None:
        commands = [part for question, _ in asked for part in _commands(*question)]
        try:
            replies = await inquiry.ask(b"".join(commands), len(commands))
        except LogUnavailable as error:
            for _, waiting in asked:
                _reply_to_all(waiting, error)
            return
        finally:
            self._idle.append(inquiry)
            self._flush()
        following = iter(replies)
        for (_, cursor, only_last), waiting in asked:
            first = next(following)
            log = [] if only_last or cursor is None else next(following)
            try:
                answer = _raised(first) if only_last else _answer(first, log, cursor)
            except (hiredis.ReplyError, ValueError) as error:
                answer = LogUnavailable(f"The job can't be read: {error}")
            _reply_to_all(waiting, answer)


_FIELDS: Final = b"".join(b"$%d\r\n%b\r\n" % (len(name), name.encode()) for name in STATE_FIELDS)
_LAST: Final = b"*3\r\n$4\r\nHGET\r\n$%d\r\n%b\r\n$4\r\nlast\r\n"
_STATE: Final = b"*%d\r\n$5\r\nHMGET\r\n$%%d\r\n%%b\r\n%b" % (len(STATE_FIELDS) + 2, _FIELDS)


def _commands(job_id: str, cursor: str | None, only_last: bool) -> Sequence[bytes]:  # noqa: FBT001 - as asked
    key = state_key(job_id).encode()
    if only_last:
        return (_LAST % (len(key), key),)
    state = _STATE % (len(key), key)
    if cursor is None:
        return (state,)
    return state, packed("XRANGE", log_key(job_id), cursor, "+", "COUNT", str(PAGE + 1))


def _reply_to_all(waiting: Sequence[_Reply], answer: object) -> None:
    for reply in waiting:
        reply(answer)


def _raised(reply: object) -> Any:  # noqa: ANN401 - whatever Redis says
    if isinstance(reply, Exception):
        raise reply
    return reply


def _answer(values: object, log: object, cursor: str | None) -> CatchUp:
    """Make sense of two replies. The state was read first, so the log may already be longer."""
    fields = dict(zip(STATE_FIELDS, _raised(values), strict=True))
    if fields["status"] is None:
        return CatchUp(None)
    state = JobState.from_hash(fields)
    entries = _raised(log)
    if cursor is None or not entries or entries[0][0] != cursor:
        return CatchUp(state)
    end = position(state.last)
    try:
        missed = tuple(
            entry_from_log(entry_id, dict(zip(pairs[::2], pairs[1::2], strict=True)))
            for entry_id, pairs in entries[1:]
            if position(entry_id) <= end
        )
    except InvalidEvent as error:
        _log.warning("the log has an entry that is no event: %s", error)
        return CatchUp(state)
    more = len(entries) > PAGE and position(entries[-1][0]) < end
    return CatchUp(state, missed, more)
