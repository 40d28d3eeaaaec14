"""What someone missed of a job: how Redis is asked for it, and what its answer says."""

import logging
from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from eventlog.raw_connection import packed
from schema.entry import CHECKPOINT, Entry, entry_from_log
from schema.entry_id import position
from schema.events import InvalidEvent
from schema.resume import Reason, may_have_been, reset_reason
from schema.state import STATE_FIELDS, JobState, apply
from schema.wire import log_key, state_key

_log = logging.getLogger("jobcast.reader")

PAGE: Final = 64
"""How many entries one answer holds at the most: as many of 1 MiB are still read in time."""


class CatchUp(Struct, frozen=True):
    """A job as it is, and what someone missed who had seen it up to a cursor.

    Attributes:
        state: the state; None when there is no such job.
        missed: the first entries after the cursor, log-only ones included; None when the cursor is
            not in the log, or an entry after it is not what the contract says.
        more: whether there are further ones, to be asked for from the last of these.
        oldest: the oldest entry that the log has, if the cursor is not in it but may have been.
    """

    state: JobState | None
    missed: tuple[Entry, ...] | None = None
    more: bool = False
    oldest: Entry | None = None

    def reset_reason(self, cursor: str) -> Reason | None:
        """Say why a viewer can't go on from the cursor that this was asked for; None if it can."""
        if self.state is None:
            return None
        oldest = None if self.oldest is None else self.oldest.id
        return reset_reason(cursor, self.state, oldest, found=self.missed is not None)

    def may_be_trimmed(self, cursor: str) -> bool:
        """Say whether the log's oldest entry tells why a cursor is not in it."""
        if self.state is None or self.missed is not None:
            return False
        return may_have_been(cursor, self.state)

    def oldest_state(self) -> JobState | None:
        """Return the job as it was at the oldest entry; None if the log was not cut there."""
        if self.oldest is None or self.oldest.name != CHECKPOINT:
            return None
        try:
            return apply(None, self.oldest)
        except ValueError:  # nothing that the append script writes
            return None


class Question(Struct, frozen=True):
    """What is asked of Redis.

    Attributes:
        job_id: the job.
        cursor: id of the last entry seen; None asks for the state alone.
        only_mark: whether only the id of the job's last entry and its creation are asked for.
        only_oldest: whether only the oldest entry of the log is asked for.
        most: how many entries the answer may hold.
    """

    job_id: str
    cursor: str | None
    only_mark: bool = False
    only_oldest: bool = False
    most: int = PAGE

    def commands(self) -> Sequence[bytes]:
        """Return the commands that ask it, packed."""
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

    def answer(self, replies: Sequence[Any]) -> Any:  # noqa: ANN401 - as asked
        """Return what the replies say: a ``CatchUp``, what ``mark`` returns, or the oldest entry.

        Args:
            replies: one for each command.

        Raises:
            ValueError: they are not what the append script writes.
            Exception: any that is among the replies.
        """
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        if self.only_mark:
            return replies[0]
        if self.only_oldest:
            return _oldest(replies[0])
        log = replies[1] if len(replies) > 1 else ()
        return _catch_up(replies[0], log, self.cursor, self.most)


MARK_FIELDS: Final = ("last", "created", "userId", "sessionId")


def mark(state: JobState) -> list[str | None]:
    """Return what ``MARK_FIELDS`` are of a state: its last entry, and which creation it is of."""
    return [state.last, *state.creation]


_HMGET: Final = b"*%d\r\n$5\r\nHMGET\r\n$%%d\r\n%%b\r\n%b"


def _hmget(names: Sequence[str]) -> bytes:
    """Return the command for these fields, to be filled in with the length of a key and the key."""
    fields = b"".join(b"$%d\r\n%b\r\n" % (len(name), name.encode()) for name in names)
    return _HMGET % (len(names) + 2, fields)


_MARK: Final = _hmget(MARK_FIELDS)
_STATE: Final = _hmget(STATE_FIELDS)


def _oldest(log: Sequence[Any]) -> Entry | None:
    for entry_id, pairs in log:
        fields = dict(zip(pairs[::2], pairs[1::2], strict=True))
        if fields.get("event") == CHECKPOINT:
            return entry_from_log(entry_id, fields)
        return Entry(entry_id, "", None, b"")  # its place is all that matters
    return None


def _catch_up(
    values: Sequence[str | None], log: Sequence[Any], cursor: str | None, most: int
) -> CatchUp:
    """Make sense of two replies. The state was read first, so the log may already be longer."""
    fields = dict(zip(STATE_FIELDS, values, strict=True))
    if fields["status"] is None:
        return CatchUp(None)
    state = JobState.from_hash(fields)
    if cursor is None or not log or log[0][0] != cursor:
        return CatchUp(state)
    end = position(state.last)
    try:
        missed = tuple(
            entry_from_log(entry_id, dict(zip(pairs[::2], pairs[1::2], strict=True)))
            for entry_id, pairs in log[1:]
            if position(entry_id) <= end
        )
    except InvalidEvent as error:
        _log.warning("the log has an entry that is no event: %s", error)
        return CatchUp(state)
    more = len(log) > most and position(log[-1][0]) < end
    return CatchUp(state, missed, more)
