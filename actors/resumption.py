"""How a viewer comes from where its events begin to the events that happen."""

from collections.abc import Sequence
from enum import Enum
from typing import Final

from actors.mailbox import Ending, Mailbox
from eventlog.catch_up import PAGE, CatchUp
from schema.entry import Entry
from schema.entry_id import position
from schema.resume import Beginning, From, Reason
from schema.sse import Frame, encode_entry, encode_reset
from schema.state import JobState

_MAX_FRAMES: Final = 2000
"""Events that may come while the log is read for one viewer; past that it comes again."""

_PAGE_BYTES: Final = 64 * 1024
"""About as much of the log is read at once as goes to a viewer at once."""

_FIRST_PAGE: Final = 8
"""Entries of the first page of a whole attempt, which tells how large they are."""


class Step(Enum):
    """What is next for a viewer that has to be brought what it missed."""

    MORE = "more"
    """The log has further entries for it."""

    LIVE = "live"
    """It has all that the actor knows."""

    ENDED = "ended"
    """It has been shown the end of its attempt."""

    RESET = "reset"
    """The log can't tell what it missed: it is shown a reset, with ``reason``, and the state."""

    AHEAD = "ahead"
    """It has seen more than the actor knows, or another attempt."""

    GONE = "gone"
    """The job is gone, or another one has its id."""


class Resumption:
    """What a viewer was brought of what it missed.

    A page is asked for when its mailbox is empty, so a viewer that reads slowly costs one page and
    loses nothing. What happens while the log is read is kept for it, because it may be too late for
    that answer; what happened before is in the log.

    Attributes:
        reading: whether a page is asked for.
        at: id of the last entry that it has.
        whole: whether it has yet to be shown the first entry of its attempt.
        page_size: how many entries its next page may have.
        reason: why it can't go on from ``at``, as the last answer says; None if it can.
    """

    __slots__ = ("_frames", "at", "page_size", "reading", "reason", "whole")

    def __init__(self, at: str, *, whole: bool) -> None:
        self.at = at
        self.whole = whole
        self.page_size = _FIRST_PAGE if whole else PAGE
        self.reading = False
        self.reason: Reason | None = None
        self._frames: list[Frame] = []

    def beginning(self) -> Beginning:
        """Return where its events are to begin, if it is judged anew."""
        if self.reason is Reason.UNKNOWN:
            return self.reason
        return From.START if self.whole else self.at

    def keep(self, frame: Frame) -> bool:
        """Keep an event that happens; say whether there was room for it."""
        if self.reading or frame.id is None:
            self._frames.append(frame)
        return len(self._frames) <= _MAX_FRAMES

    def forget(self) -> None:
        """Drop what was kept."""
        self._frames.clear()

    def begin_page(self) -> None:
        """Note that a page is asked for."""
        self.reading = True
        self._frames = self.kept_without_id()

    def kept_without_id(self) -> list[Frame]:
        """Return the events that happened meanwhile and are in no log."""
        return [frame for frame in self._frames if frame.id is None]

    def deliver(self, mailbox: Mailbox, answer: CatchUp, known: JobState) -> Step:
        """Bring the viewer a page, or as much of it as its mailbox takes.

        Args:
            mailbox: the viewer's.
            answer: what was read after ``at``.
            known: the state as the actor knows it; it will bring later events itself.
        """
        self.reading = False
        if answer.state is None or answer.state.creation != known.creation:
            return Step.GONE
        self.reason = answer.reset_reason(self.at)
        if _is_ahead(known, self.at, self.reason, answer.state):
            return Step.AHEAD
        if self.reason is None:
            return self._deliver_missed(mailbox, answer, position(known.last))
        if self.whole and self.reason is not Reason.UNKNOWN:
            return self._begin_at_oldest(mailbox, answer, known)
        return Step.RESET

    def _begin_at_oldest(self, mailbox: Mailbox, answer: CatchUp, known: JobState) -> Step:
        """Show a viewer that wants the whole attempt what is left of it."""
        oldest = answer.oldest_state()
        if self.reason is Reason.ATTEMPT:  # another has begun, and nothing was shown of this one
            return Step.AHEAD
        if oldest is None or self.reason is None:
            return Step.RESET
        if oldest.creation != known.creation:
            return Step.GONE
        if position(oldest.last) > position(known.last):
            return Step.AHEAD
        mailbox.put(encode_reset(oldest, self.reason))
        self.at, self.whole = oldest.last, False
        return Step.MORE

    def _deliver_missed(self, mailbox: Mailbox, answer: CatchUp, known: tuple[int, int]) -> Step:
        missed = answer.missed or ()
        self.whole = False
        self.page_size = _page_of(missed) or self.page_size
        for entry in missed:
            if entry.id is None or position(entry.id) > known:
                break
            if entry.event is not None:
                frame = encode_entry(entry)
                if not mailbox.has_room(frame):
                    return Step.MORE
                mailbox.put(frame)
            self.at = entry.id
            if entry.is_terminal:
                mailbox.end(Ending.FINISHED)
                return Step.ENDED
        else:
            if answer.more:
                return Step.MORE
        seen = position(self.at)
        for frame in self._frames:
            if frame.id is None or position(frame.id) > seen:
                mailbox.put(frame)
        return Step.LIVE


def _is_ahead(known: JobState, cursor: str, reason: Reason | None, state: JobState) -> bool:
    """Say whether an actor would show a viewer less than it has seen, or another attempt.

    Args:
        known: the state as the actor knows it.
        cursor: id of the last entry that the viewer has seen.
        reason: why it can't go on from that; None if it can.
        state: the state as the log has it.
    """
    match reason:
        case Reason.ATTEMPT:
            return position(cursor) >= position(known.attempt_id)
        case Reason.UNKNOWN:
            return position(state.last) > position(known.last)
    return position(cursor) > position(known.last)


def _page_of(entries: Sequence[Entry]) -> int:
    """Return how many entries of the size of these make a page; 0 if there are none."""
    size = sum(len(entry.data) for entry in entries)
    return min(PAGE, max(1, _PAGE_BYTES * len(entries) // max(1, size))) if entries else 0
