"""What was read of a job: its state, and the entries after a cursor.

Here a job's end is believed: the state decides whether it has ended, and the log supplies the data
of its end.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from schema.entry import CHECKPOINT, Entry, entry_from_log, salvage_entry
from schema.entry_id import position
from schema.events import InvalidEvent
from schema.resume import Reason, may_have_existed, reset_reason
from schema.state import JobState, apply
from schema.state_hash import Note

PAGE: Final = 64
"""Maximum of entries in one answer; 64 of 1 MiB are still read within the time limit."""

SLICE_BYTES: Final = 512 * 1024
"""Bytes of a log that are decoded or delivered before yielding to the event loop."""


class CatchUp(Struct, frozen=True):
    """A job's state, and the entries after a cursor.

    Attributes:
        state: the state; None if there is no such job.
        missed: the first entries after the cursor, including log-only ones; None if the cursor is
            not in the log. If the job has finished and there are no more, the last one is its
            terminal entry.
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


async def decode_catch_up(
    state: JobState, log: Sequence[Any], cursor: str | None, most: int, note: Note
) -> CatchUp:
    """Decode a reply of ``XRANGE``: the entry at the cursor, and up to ``most`` after it.

    If the state says that the job has ended, and the log has no readable terminal entry, the end is
    made from the state.

    Args:
        state: the state, read before the log.
        log: the reply: ids and fields; empty without a cursor.
        cursor: id of the last known entry, if any.
        most: maximum of entries to return.
        note: called with a message for each entry that was not taken as it is.
    """
    end = position(state.last)
    if cursor is None or not log or log[0][0] != cursor or position(cursor) > end:
        return CatchUp(state)  # entries after ``last`` are not by the append script
    entries = [each for each in log[1:] if position(each[0]) <= end]
    missed = await _decode_entries(entries, state, note)
    more = len(log) > most and position(log[-1][0]) < end
    has_end = missed[-1].is_terminal if missed else cursor == state.last
    if state.finished and not more and not has_end:
        missed = (*missed, state.terminal_entry())
    return CatchUp(state, missed, more)


async def _decode_entries(log: Sequence[Any], state: JobState, note: Note) -> tuple[Entry, ...]:
    """Decode entries, yielding to the event loop after each ``SLICE_BYTES``."""
    entries: list[Entry] = []
    size = 0
    for entry_id, pairs in log:
        fields = dict(zip(pairs[::2], pairs[1::2], strict=True))
        entries.append(_decode_entry(entry_id, fields, state, note))
        size += len(entries[-1].data)
        if size > SLICE_BYTES:
            size = 0
            await asyncio.sleep(0)
    return tuple(entries)


def _decode_entry(entry_id: str, fields: dict[str, str], state: JobState, note: Note) -> Entry:
    """Decode an entry leniently.

    A terminal entry of the current attempt counts only if the state agrees that the job has ended;
    otherwise it is treated as log-only. If that of an ended job is unreadable, the end is made from
    the state.
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
