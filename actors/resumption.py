"""The way of one viewer from its cursor to the events that happen."""

from collections.abc import Sequence
from enum import Enum
from typing import Final

from actors.mailbox import Ending, Mailbox
from eventlog.catch_up import PAGE, CatchUp
from schema.entry import Entry
from schema.entry_id import position
from schema.sse import Frame, encode_entry

_MOST_FRAMES: Final = 2000
"""Events that may come while the log is read for one viewer; past that it comes again."""

_PAGE_BYTES: Final = 64 * 1024
"""About as much of the log is read at once as goes to a viewer at once."""

_FIRST_PAGE: Final = 8
"""Entries of the first page of a whole attempt, which tells how large they are."""


class Step(Enum):
    """What is next for a viewer that was brought a part of what it missed."""

    MORE = "more"
    """The log has further entries for it."""

    LIVE = "live"
    """It has all that the actor knows."""

    OVER = "over"
    """It has been shown the end of its attempt."""


class Resumption:
    """What a viewer was brought of what it missed.

    A page is asked for when its mailbox is empty, so a viewer that reads slowly costs one page and
    loses nothing. What happens while the log is read is kept for it, because it may be too late for
    that answer; what happened before is in the log.

    Attributes:
        asked: whether a page is asked for.
        at: id of the last entry that it has.
        whole: whether it has yet to be shown the first entry of its attempt.
        most: how many entries its next page may have.
    """

    __slots__ = ("_frames", "asked", "at", "most", "whole")

    def __init__(self, at: str, *, whole: bool) -> None:
        self.at = at
        self.whole = whole
        self.most = _FIRST_PAGE if whole else PAGE
        self.asked = False
        self._frames: list[Frame] = []

    def keep(self, frame: Frame) -> bool:
        """Keep an event that happens; say whether there was room for it."""
        if self.asked or frame.id is None:
            self._frames.append(frame)
        return len(self._frames) <= _MOST_FRAMES

    def forget(self) -> None:
        """Drop what was kept."""
        self._frames.clear()

    def ask(self) -> None:
        """Note that a page is asked for."""
        self.asked = True
        self._frames = self.kept_without_id()

    def kept_without_id(self) -> list[Frame]:
        """Return the events that happened meanwhile and are in no log."""
        return [frame for frame in self._frames if frame.id is None]

    def deliver(self, mailbox: Mailbox, answer: CatchUp, known: tuple[int, int]) -> Step:
        """Bring the viewer a page, or as much of it as its mailbox takes.

        Args:
            mailbox: the viewer's.
            answer: what was read after ``at``.
            known: position of the last entry that the actor knows; it will bring later ones itself.
        """
        missed = answer.missed or ()
        self.whole = False
        self.most = _page_of(missed) or self.most
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
                return Step.OVER
        else:
            if answer.more:
                return Step.MORE
        seen = position(self.at)
        for frame in self._frames:
            if frame.id is None or position(frame.id) > seen:
                mailbox.put(frame)
        return Step.LIVE


def _page_of(entries: Sequence[Entry]) -> int:
    """Return how many entries of the size of these make a page; 0 if there are none."""
    size = sum(len(entry.line) for entry in entries)
    return min(PAGE, max(1, _PAGE_BYTES * len(entries) // max(1, size))) if entries else 0
