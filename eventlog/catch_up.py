"""What someone missed of a job: how Redis is asked for it, and what its answer says."""

import logging
from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from eventlog.raw_connection import packed
from schema.entry import Entry, entry_from_log
from schema.entry_id import position
from schema.events import InvalidEvent
from schema.state import STATE_FIELDS, JobState
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


class Question(Struct, frozen=True):
    """What is asked of Redis.

    Attributes:
        job_id: the job.
        cursor: id of the last entry seen; None asks for the state alone.
        only_last: whether only the id of the job's last entry is asked for.
    """

    job_id: str
    cursor: str | None
    only_last: bool = False

    def commands(self) -> Sequence[bytes]:
        """Return the commands that ask it, packed."""
        key = state_key(self.job_id).encode()
        if self.only_last:
            return (_LAST % (len(key), key),)
        state = _STATE % (len(key), key)
        if self.cursor is None:
            return (state,)
        log = log_key(self.job_id)
        return state, packed("XRANGE", log, self.cursor, "+", "COUNT", str(PAGE + 1))

    def answer(self, replies: Sequence[Any]) -> Any:  # noqa: ANN401 - as asked
        """Return what the replies say: a ``CatchUp``, or the id of the last entry if there is one.

        Args:
            replies: one for each command.

        Raises:
            ValueError: they are not what the append script writes.
            Exception: any that is among the replies.
        """
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        if self.only_last:
            return replies[0]
        return _catch_up(replies[0], replies[1] if len(replies) > 1 else (), self.cursor)


_FIELDS: Final = b"".join(b"$%d\r\n%b\r\n" % (len(name), name.encode()) for name in STATE_FIELDS)
_LAST: Final = b"*3\r\n$4\r\nHGET\r\n$%d\r\n%b\r\n$4\r\nlast\r\n"
_STATE: Final = b"*%d\r\n$5\r\nHMGET\r\n$%%d\r\n%%b\r\n%b" % (len(STATE_FIELDS) + 2, _FIELDS)


def _catch_up(values: Sequence[str | None], log: Sequence[Any], cursor: str | None) -> CatchUp:
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
    more = len(log) > PAGE and position(log[-1][0]) < end
    return CatchUp(state, missed, more)
