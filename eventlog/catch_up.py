"""Reading of a job's state and of the entries after a cursor: commands and answers."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

import hiredis
from msgspec import Struct
from msgspec.structs import replace

from eventlog.complaints import complaints
from eventlog.errors import LogUnavailable, Redirected, UnreadableJob
from jobcast.protocol.names import log_key, state_key
from jobcast.protocol.refusals import is_of_the_data
from jobcast.redis.connection import packed
from schema.entry import CHECKPOINT, CREATED, Entry, entry_from_log, salvage_entry
from schema.entry_id import is_stored_id, position
from schema.events import InvalidEvent
from schema.owner import Owner
from schema.resume import Reason, may_have_existed, reset_reason
from schema.state import STATE_FIELDS, JobState, apply
from schema.state_hash import STATUSES, Note

PAGE: Final = 64
"""Maximum of entries in one answer; 64 of 1 MiB are still read within the time limit."""

SLICE_BYTES: Final = 512 * 1024
"""Bytes of a log that are decoded or delivered before yielding to the event loop."""


class CatchUp(Struct, frozen=True):
    """A job's state, and the entries after a cursor.

    Attributes:
        state: the state; None if there is no such job.
        missed: the first entries after the cursor, including log-only ones; None if the cursor is
            not in the log. The last one of a finished job is its terminal entry.
        more: whether there are further entries after these.
        oldest: the oldest entry of the log, if the cursor is not in it but may have been.
    """

    state: JobState | None
    missed: tuple[Entry, ...] | None = None
    more: bool = False
    oldest: Entry | None = None

    def reset_reason(self, cursor: str) -> Reason | None:
        """Return why a viewer can't resume from this question's cursor; None if it can."""
        if self.state is None:
            return None
        oldest = None if self.oldest is None else self.oldest.id
        return reset_reason(cursor, self.state, oldest, found=self.missed is not None)

    def split(self) -> tuple["CatchUp", "CatchUp | None"]:
        """Return the first ``SLICE_BYTES``, and the rest if there is one."""
        size = 0
        for number, entry in enumerate(self.missed or (), 1):
            size += len(entry.data)
            if size > SLICE_BYTES and self.missed is not None and number < len(self.missed):
                head, tail = self.missed[:number], self.missed[number:]
                return replace(self, missed=head), replace(self, missed=tail)
        return self, None

    def may_be_trimmed(self, cursor: str) -> bool:
        """Say whether the cursor may have been trimmed, which the oldest entry reveals."""
        if self.state is None or self.missed is not None:
            return False
        return may_have_existed(cursor, self.state)

    def oldest_state(self) -> JobState | None:
        """Return the state at the oldest entry; None if that is no checkpoint."""
        if self.oldest is None or self.oldest.name != CHECKPOINT:
            return None
        try:
            return apply(None, self.oldest)
        except ValueError:  # not written by the append script
            return None


OnAnswer = Callable[[CatchUp], object]
"""Called with the answer to a question."""

IsWanted = Callable[[], bool]
"""Says whether an answer is still wanted."""


class Question(Struct, frozen=True):
    """A question about a job.

    Attributes:
        job_id: the job.
        cursor: id of the last known entry; None reads only the state.
        only_mark: read only ``MARK_FIELDS``.
        only_oldest: read only the oldest entry of the log.
        most: maximum of entries in the answer.
    """

    job_id: str
    cursor: str | None
    only_mark: bool = False
    only_oldest: bool = False
    most: int = PAGE

    def commands(self) -> Sequence[bytes]:
        """Return its commands, packed."""
        key = state_key(self.job_id).encode()
        if self.only_mark:
            return (_MARK % (len(key), key),)
        log = log_key(self.job_id)
        if self.only_oldest:
            return (packed("XRANGE", log, "-", "+", "COUNT", "1"),)
        state = _STATE % (len(key), key)
        if self.cursor is None:
            return (state,)
        return state, packed("XRANGE", log, self.cursor, "+", "COUNT", str(self.most + 1))

    async def answer(self, replies: Sequence[Any]) -> Any:  # noqa: ANN401 - depends on the question
        """Decode the replies to a ``CatchUp``, a ``mark`` or the oldest entry.

        Args:
            replies: one for each command; an exception for a refused one.

        Raises:
            UnreadableJob: the job is corrupt.
            LogUnavailable: Redis is unavailable, or another node has the job.
        """
        if isinstance(replies[0], Exception):
            refused = _error_of(replies[0])
            if isinstance(refused, UnreadableJob):
                complaints.unreadable(self.job_id, refused)
            raise refused
        if self.only_mark:
            return replies[0]
        if self.only_oldest:
            return _oldest(replies[0])
        log = replies[1] if len(replies) > 1 else ()
        return await self._caught_up(dict(zip(STATE_FIELDS, replies[0], strict=True)), log)

    async def _caught_up(self, fields: dict[str, str | None], log: Any) -> CatchUp:  # noqa: ANN401 - a reply
        """Decode state and log. The state was read first: the log may be longer already."""
        if fields["status"] is None:
            return CatchUp(None)
        faults: list[str] = []
        _share(fields)
        try:
            state = JobState.from_hash(fields, faults.append)
        except ValueError as error:
            raise complaints.unreadable(self.job_id, UnreadableJob(str(error), fields)) from None
        if isinstance(log, Exception):
            refused = _error_of(log)
            if not isinstance(refused, UnreadableJob):
                raise refused
            faults.append(f"its log can't be read: {refused}")
            log = ()
        answer = await _with_missed(state, log, self, faults.append)
        complaints.substituted(self.job_id, faults)
        return answer


_ELSEWHERE: Final = ("MOVED ", "ASK ", "TRYAGAIN ", "CLUSTERDOWN ")

MARK_FIELDS: Final = ("last", "status", "created", "userId", "sessionId")


def mark(state: JobState) -> list[str | None]:
    """Return ``MARK_FIELDS`` of a state, by which a change is detected.

    The status is included because others than the append script may change it.
    """
    return [state.last, state.status, *state.creation]


class Outline(Struct, frozen=True):
    """What ``MARK_FIELDS`` say of a job, without its result, which may be large.

    Attributes:
        last: id of its last entry.
        created: id of its first entry.
        owner: its owner.
        finished: whether its attempt succeeded or failed.
    """

    last: str
    created: str
    owner: Owner
    finished: bool

    @classmethod
    def of(cls, fields: Sequence[str | None]) -> "Outline | None":
        """Read the fields; None if the job is missing or unreadable."""
        last, status, created, user_id, session_id = fields
        if status not in STATUSES or not (last and created):
            return None
        if not (is_stored_id(last) and is_stored_id(created)):
            return None
        return cls(last, created, Owner(user_id, session_id), status in {"succeeded", "failed"})


_COMMON: Final = ("type", "userId", "sessionId")
"""Fields whose texts many jobs have in common, such as all of a user."""

_MOST_TEXTS: Final = 4096
_LONGEST_TEXT: Final = 255
_texts: dict[str, str] = {}


def _share(fields: dict[str, str | None]) -> None:
    """Replace equal texts by the same object: each takes 60 bytes and more in the state of a job.

    ``sys.intern`` would do that, but Python 3.12 never frees what it has interned.
    """
    if len(_texts) > _MOST_TEXTS:
        _texts.clear()
    for name in _COMMON:
        text = fields[name]
        if text is not None and len(text) <= _LONGEST_TEXT:
            fields[name] = _texts.setdefault(text, text)
    if fields["attemptId"] == fields["created"]:
        fields["attemptId"] = fields["created"]


_HMGET: Final = b"*%d\r\n$5\r\nHMGET\r\n$%%d\r\n%%b\r\n%b"


def _hmget(names: Sequence[str]) -> bytes:
    """Return a template of the command for these fields, with the length of the key and the key."""
    fields = b"".join(b"$%d\r\n%b\r\n" % (len(name), name.encode()) for name in names)
    return _HMGET % (len(names) + 2, fields)


_MARK: Final = _hmget(MARK_FIELDS)
_STATE: Final = _hmget(STATE_FIELDS)


def _error_of(reply: Exception) -> Exception:
    """Convert an error reply of Redis; other exceptions are returned unchanged."""
    if not isinstance(reply, hiredis.ReplyError):
        return reply
    text = str(reply)
    if text.startswith(_ELSEWHERE):
        return Redirected(text)
    if is_of_the_data(text):
        return UnreadableJob(text)
    return LogUnavailable(f"Redis does not say: {text}")


def _oldest(log: Sequence[Any]) -> Entry | None:
    for entry_id, pairs in log:
        fields = dict(zip(pairs[::2], pairs[1::2], strict=True))
        if fields.get("event") in {CHECKPOINT, CREATED}:
            return entry_from_log(entry_id, fields)
        return Entry(entry_id, "", None, b"")  # only its id matters
    return None


async def _with_missed(
    state: JobState, log: Sequence[Any], question: Question, note: Note
) -> CatchUp:
    cursor = question.cursor
    end = position(state.last)
    if cursor is None or not log or log[0][0] != cursor or position(cursor) > end:
        return CatchUp(state)  # entries after ``last`` are not by the append script
    missed = await _entries([each for each in log[1:] if position(each[0]) <= end], state, note)
    more = len(log) > question.most and position(log[-1][0]) < end
    has_end = missed[-1].is_terminal if missed else cursor == state.last
    if state.finished and not more and not has_end:
        missed = (*missed, state.terminal_entry())
    return CatchUp(state, missed, more)


async def _entries(log: Sequence[Any], state: JobState, note: Note) -> tuple[Entry, ...]:
    """Decode entries, yielding to the event loop after each ``SLICE_BYTES``."""
    entries: list[Entry] = []
    size = 0
    for entry_id, pairs in log:
        fields = dict(zip(pairs[::2], pairs[1::2], strict=True))
        entries.append(_entry(entry_id, fields, state, note))
        size += len(entries[-1].data)
        if size > SLICE_BYTES:
            size = 0
            await asyncio.sleep(0)
    return tuple(entries)


def _entry(entry_id: str, fields: dict[str, str], state: JobState, note: Note) -> Entry:
    """Decode an entry leniently.

    The state decides whether the job has ended, and how if its terminal entry is unreadable.
    """
    is_end = state.finished and entry_id == state.last
    try:
        entry = entry_from_log(entry_id, fields)
    except InvalidEvent as error:
        note(f"entry {entry_id}: {error}")
        if is_end:
            return state.terminal_entry()
        entry = salvage_entry(entry_id, fields)
    if not is_end and entry.is_terminal and position(entry_id) >= position(state.attempt_id):
        note(f"entry {entry_id} ends the job, which is {state.status}")
        return replace(entry, event=None)
    return entry
