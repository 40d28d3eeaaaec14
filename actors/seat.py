"""The seats of a viewer of many jobs: one in the audience of each job, one mailbox for all.

Actors treat a seat like a mailbox. A seat labels the frames with their job.
"""

from collections.abc import Callable
from typing import Protocol

from actors.mailbox import Ending, Mailbox
from actors.messages import Deregister, Register
from actors.runtime import LoopInbox
from schema.resume import Beginning
from schema.sse import Frame, is_end, label, label_end
from schema.state import JobState


class Labeller:
    """Labels frames, each once for all seats of its job, which get it one after another.

    Attributes:
        is_end: whether the last one was the job's end, to which its ``left`` was added.
    """

    __slots__ = ("_labelled", "_last", "is_end")

    def __init__(self) -> None:
        self._last: Frame | None = None
        self._labelled: Frame | None = None
        self.is_end = False

    def label(self, frame: Frame, job_id: str) -> Frame:
        """Return the labelled frame of a job."""
        labelled = self._labelled
        if labelled is None or frame is not self._last:
            self.is_end = not frame.conflatable and is_end(frame)
            labelled = (label_end if self.is_end else label)(frame, job_id)
            self._last, self._labelled = frame, labelled
        return labelled


class SeatHolder(Protocol):
    """Holds the seats of one viewer of many jobs, as a ``Roster``."""

    def seat_ended(self, seat: "Seat", ending: Ending) -> None:
        """Handle a seat that accepts no more: its job has ended, or its actor sent it back."""


InboxOf = Callable[[str, JobState], LoopInbox]
"""Returns the inbox of a job's actor, as ``Directory.inbox_of``."""


class Seat:
    """One job of a viewer of many.

    It never resumes from a cursor, so an actor reads no pages for it.

    Args:
        job_id: the job.
        state: its state, just read.
        labeller: labels the frames of all seats of this process.
        mailbox: the viewer's.
        holder: called once, when the seat accepts no more.

    Attributes:
        job_id: the job.
        created: its first entry.
        last: id of the last frame, if that is an entry's.
        has_left: whether that frame was the job's end, which includes its ``left``.
        is_announced: whether the job was announced again meanwhile.
        is_again: whether an earlier seat was sent back by the job's actor.
        ending: why nothing more is accepted; None while it is.
    """

    __slots__ = (
        *("_holder", "_inbox", "_labeller", "_mailbox"),
        *("created", "ending", "has_left", "is_again", "is_announced", "job_id", "last"),
    )

    def __init__(
        self, job_id: str, state: JobState, labeller: Labeller, mailbox: Mailbox, holder: SeatHolder
    ) -> None:
        self._labeller = labeller
        self._mailbox = mailbox
        self._holder = holder
        self._inbox: LoopInbox | None = None
        self.job_id = job_id
        self.created = state.created
        self.last: str | None = None
        self.is_announced = self.is_again = self.has_left = False
        self.ending: Ending | None = None

    def take(self, inbox_of: InboxOf, state: JobState, start: Beginning) -> None:
        """Begin to get the job's events.

        Args:
            inbox_of: finds the job's actor.
            state: the state of the job, just read.
            start: None, or the reason of the ``reset`` before the snapshot.
        """
        self._inbox = inbox_of(self.job_id, state)
        self._inbox.hand(Register(self, start))

    def leave(self) -> None:
        """Get no more events."""
        self.ending = self.ending or Ending.RETRY
        inbox, self._inbox = self._inbox, None
        if inbox is not None:
            inbox.tell(Deregister(self))

    def __len__(self) -> int:
        """Count the frames that the mailbox buffers."""
        return len(self._mailbox)

    def has_room(self, frame: Frame) -> bool:
        """Say whether a frame fits into the mailbox without conflation."""
        return self._mailbox.has_room(frame)

    def when_empty(self, call: object) -> None:
        """Ignore this: only for pages of the log, which a seat never gets."""

    def put(self, frame: Frame) -> None:
        """Deliver a frame with its job, or buffer it."""
        if self.ending is None:
            self.last = frame.id
            labelled = self._labeller.label(frame, self.job_id)
            self.has_left = self._labeller.is_end
            self._mailbox.put(labelled)

    def end(self, ending: Ending) -> None:
        """Accept no further frames of this job."""
        if self.ending is None:
            self.ending = ending
            self._holder.seat_ended(self, ending)
