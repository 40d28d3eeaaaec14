"""The catching up of one viewer, from its cursor to live events."""

from collections.abc import Sequence
from enum import Enum
from typing import Final

from actors.mailbox import Ending, Recipient
from eventlog.catch_up import PAGE, CatchUp
from schema.entry import Entry
from schema.entry_id import position
from schema.resume import Beginning, From, Reason
from schema.sse import Frame, encode_entry, encode_reset
from schema.state import JobState

_MAX_FRAMES: Final = 2000
"""Live events kept while the log is read for one viewer; past that it is sent back."""

_PAGE_BYTES: Final = 64 * 1024
"""Target size of a page: what a viewer's transport takes at once."""

_FIRST_PAGE: Final = 8
"""Entries of the first page of a whole attempt, from which the page size is derived."""


class Step(Enum):
    """The next step of a resuming viewer."""

    MORE = "more"
    """The log has further entries for it."""

    LIVE = "live"
    """It has everything up to the actor's state."""

    ENDED = "ended"
    """It got the end of its attempt."""

    RESET = "reset"
    """The log does not have what it missed: it gets a reset, with ``reason``, and the state."""

    AHEAD = "ahead"
    """Its cursor is beyond the actor's, or in another attempt."""

    GONE = "gone"
    """The job has vanished, or another one has its id."""


class Resumption:
    """How far a viewer has caught up.

    The next page is read when its mailbox is empty, so a slow viewer costs one page and loses
    nothing. Live events are kept for it while the log is read, because the answer may lack them.

    Attributes:
        reading: whether a page is being read.
        at: id of the last entry that it has.
        whole: whether it has yet to get the first entry of its attempt.
        page_size: maximum of entries of the next page.
        reason: why it can't resume from ``at``, by the last answer; None if it can.
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
        """Return where its events begin if it is admitted anew."""
        if self.reason is Reason.UNKNOWN:
            return self.reason
        return From.START if self.whole else self.at

    def keep(self, frame: Frame) -> bool:
        """Keep a live event; say whether there was room for it."""
        if self.reading or frame.id is None:
            self._frames.append(frame)
        return len(self._frames) <= _MAX_FRAMES

    def forget(self) -> None:
        """Drop the kept events."""
        self._frames.clear()

    def begin_page(self) -> None:
        """Start a page: its answer includes the events kept so far, except those without an id."""
        self.reading = True
        self._frames = self.kept_without_id()

    def kept_without_id(self) -> list[Frame]:
        """Return the kept events that are in no log."""
        return [frame for frame in self._frames if frame.id is None]

    def deliver(self, mailbox: Recipient, answer: CatchUp, known: JobState) -> Step:
        """Deliver a page, or as much of it as the mailbox takes.

        Args:
            mailbox: the viewer's.
            answer: the read after ``at``.
            known: the actor's state; later events are delivered live.
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

    def _begin_at_oldest(self, mailbox: Recipient, answer: CatchUp, known: JobState) -> Step:
        """Begin a trimmed attempt at its oldest entry, after a reset."""
        oldest = answer.oldest_state()
        if self.reason is Reason.ATTEMPT:  # another has begun, and this viewer has nothing yet
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

    def _deliver_missed(self, mailbox: Recipient, answer: CatchUp, known: tuple[int, int]) -> Step:
        missed = answer.missed or ()
        self.whole = False
        self.page_size = _page_size_for(missed) or self.page_size
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
    """Say whether a cursor is beyond the actor's state ``known``, or in another attempt."""
    match reason:
        case Reason.ATTEMPT:
            return position(cursor) >= position(known.attempt_id)
        case Reason.UNKNOWN:
            return position(state.last) > position(known.last)
    return position(cursor) > position(known.last)


def _page_size_for(entries: Sequence[Entry]) -> int:
    """Return the number of entries of this size that make a page; 0 if there are none."""
    size = sum(len(entry.data) for entry in entries)
    return min(PAGE, max(1, _PAGE_BYTES * len(entries) // max(1, size))) if entries else 0
