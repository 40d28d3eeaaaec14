"""The events of one run that wait for Redis: their order, their numbers, their bounds.

Nothing here waits or sends, so that the asynchronous and the blocking form share it. A run has one
append under way at a time, so the append script can tell a repeat by its number alone, and events
stay in order whatever happens to connections and servers.
"""

import logging
from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from typing import Final, NamedTuple

from jobcast import _event
from jobcast._errors import (
    BufferFull,
    InvalidEvent,
    JobcastError,
    JobFinished,
    JobNotRunning,
    JobSuperseded,
    UnknownJob,
)
from jobcast._failure import brief
from jobcast._retry import will_pass
from jobcast.protocol.append import Answer, Append

_log: Final = logging.getLogger("jobcast")


_FINAL: Final = (JobFinished, JobSuperseded, UnknownJob)
"""Refusals that each later event of the run would get too."""


class Limits(NamedTuple):
    """What bounds the calls of a run.

    How long one may wait for Redis (None: for ever), how much may wait of each run, and the
    shortest time between two progress events.
    """

    block_s: float | None
    max_events: int
    max_bytes: int
    interval_s: float = 0.0


Answered = Callable[[Append, Answer], None]
"""Is called with an event that was written, and the answer."""


class Verdict(Enum):
    """What follows when an append got no answer, or a refusal."""

    LATER = auto()
    """Repeat it after a pause."""
    NOW = auto()
    """Send what is first now: something was put in order."""
    REFUSED = auto()
    """It will never be written."""


class Waiting:
    """One event that waits for Redis, and what became of it.

    ``answered`` is called when it was written. ``number`` is its sequence number, 0 until it is
    sent for the first time. ``otherwise`` is a smaller event that takes its place if the job allows
    none of its size. ``is_awaited`` is whether its caller waits for the answer; ``wake`` holds what
    is called when it is over.
    """

    __slots__ = (
        *("answer", "answered", "error", "event", "follows_restart", "is_awaited", "is_over"),
        *("number", "otherwise", "size", "wake"),
    )

    def __init__(
        self,
        event: Append,
        answered: Answered | None = None,
        otherwise: Append | None = None,
        number: int = 0,
    ) -> None:
        self.event = event
        self.answered = answered
        self.otherwise = otherwise
        self.number = number
        self.size = event.size
        self.answer: Answer | None = None
        self.error: BaseException | None = None
        self.is_awaited = self.is_over = self.follows_restart = False
        self.wake: list[Callable[[], object]] = []

    def result(self) -> Answer | None:
        """Return the answer, None if newer progress took its place; raises the refusal."""
        if self.error is not None:
            raise self.error
        return self.answer

    def end(self, answer: Answer | None = None, error: BaseException | None = None) -> None:
        """Say what became of it, and wake who waits for that."""
        self.answer, self.error, self.is_over = answer, error, True
        for wake in self.wake:
            wake()


class Outbox:
    """The events of one run that wait for Redis, oldest first.

    After a refusal that is final, nothing more of the run is sent: see `check`.

    ``waiting`` are those events, ``last_number`` is the sequence number that was used last, and
    ``is_behind`` whether a caller has stopped waiting for an event.
    """

    def __init__(self, job_id: str, limits: Limits) -> None:
        self._job_id = job_id
        self._limits = limits
        self.waiting = deque[Waiting]()
        self._bytes = 0
        self.last_number = 0
        self._start: Append | None = None
        self.is_behind = False
        self._refusal: JobcastError | None = None

    def check(self) -> None:
        """Raise the refusal that every event of this run gets, if one has got it."""
        if self._refusal is not None:
            raise type(self._refusal)(str(self._refusal))

    def note(self, error: BaseException) -> None:
        """Take in a refusal, which may be of all that this run sends."""
        if isinstance(error, _FINAL):
            self._refusal = error

    @property
    def first(self) -> Waiting | None:
        """The event that is to be sent next, or is under way."""
        return self.waiting[0] if self.waiting else None

    @property
    def has_end(self) -> bool:
        """Whether the end of the run is among what waits."""
        return any(each.event.is_end for each in self.waiting)

    def begin(self, start: Append) -> None:
        """Remember how the run is started, and that nothing of an earlier run waits."""
        self.abandon(JobSuperseded("The run was started again"))
        self._start = start
        self._refusal = None

    def began(self, entry_id: str) -> None:
        """Remember which entry the start is, so that it is repeated in no later job."""
        if self._start is not None:
            self._start = self._start._replace(name=entry_id)

    def numbered(self, waiting: Waiting) -> int:
        """Return the sequence number of an event, the same for each repeat."""
        if not waiting.number:
            self.last_number += 1
            waiting.number = self.last_number
        return waiting.number

    def add(self, waiting: Waiting) -> None:
        """Put an event behind the others; `BufferFull` if there is no room.

        There always is room for the run's end, and for one event. When room is short, only the
        newest progress is kept.
        """
        if self._is_full_with(waiting):
            self._conflate(is_newer=waiting.event.operation == "progress")
            if self._is_full_with(waiting) and not waiting.event.is_end:
                raise BufferFull
        self.waiting.append(waiting)
        self._bytes += waiting.size

    def add_first(self, waiting: Waiting) -> None:
        """Put an event before the others: one that was sent already, or has to come first."""
        self.waiting.appendleft(waiting)
        self._bytes += waiting.size

    def withdraw(self, waiting: Waiting) -> None:
        """Take back an event whose caller was cancelled, unless it may have been written."""
        if not waiting.number and waiting in self.waiting:
            self.waiting.remove(waiting)
            self._bytes -= waiting.size

    def restart(self) -> None:
        """Start the run once more, before what waits: a failover has lost its start."""
        if self._start is not None:
            self.add_first(Waiting(self._start))

    def pop(self) -> Waiting:
        """Take out the first event."""
        waiting = self.waiting.popleft()
        self._bytes -= waiting.size
        if not self.waiting:
            self.is_behind = False
        return waiting

    def answered(self, answer: Answer) -> None:
        """Take out the first event, which was written."""
        waiting = self.pop()
        if waiting.answered is not None:
            waiting.answered(waiting.event, answer)
        waiting.end(answer)

    def judge(self, error: BaseException) -> Verdict:
        """Say what follows an error that the first event got, and put in order what has to be."""
        first = self.waiting[0]
        self.note(error)
        if will_pass(error):
            return Verdict.LATER
        if isinstance(error, JobNotRunning) and self._start and not first.follows_restart:
            first.follows_restart = True  # so that a second refusal is final
            first.number = 0  # the start's comes before
            self.restart()
            return Verdict.NOW
        if isinstance(error, InvalidEvent):
            smaller = first.otherwise
            if smaller is None and first.event.is_end and not first.is_awaited:
                # Nobody is there who could end the job in another way.
                smaller = _event.failed(*brief(str(error), None))
            if smaller is not None and smaller.size < first.size:
                first.event, first.otherwise = smaller, None
                self._bytes += smaller.size - first.size
                first.size = smaller.size
                return Verdict.NOW
        return Verdict.REFUSED

    def refused(self, error: BaseException) -> None:
        """Take out the first event, which won't be written; all, if that is true of all."""
        self._fail(self.pop(), error)
        if isinstance(error, JobcastError) and not isinstance(error, InvalidEvent):
            self.abandon(error)

    def abandon(self, error: BaseException) -> None:
        """Take out all events."""
        while self.waiting:
            self._fail(self.pop(), error)

    def _fail(self, waiting: Waiting, error: BaseException) -> None:
        if not waiting.is_awaited:
            name = waiting.event.name or waiting.event.operation
            _log.warning("job %s: %s was not written: %s", self._job_id, name, error)
        waiting.end(error=error)

    def _is_full_with(self, waiting: Waiting) -> bool:
        limits = self._limits
        return bool(self.waiting) and (
            len(self.waiting) >= limits.max_events or self._bytes + waiting.size > limits.max_bytes
        )

    def _conflate(self, *, is_newer: bool) -> None:
        """Drop all progress but the newest, and what may have been written already."""
        kept = deque[Waiting]()
        for waiting in reversed(self.waiting):
            is_progress = waiting.event.operation == "progress"
            if is_progress and is_newer and not waiting.number:
                self._bytes -= waiting.size
                waiting.end()
            else:
                kept.appendleft(waiting)
            is_newer |= is_progress
        self.waiting = kept
