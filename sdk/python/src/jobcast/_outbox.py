"""The outbox of one run: its events that wait for Redis, in order, numbered and bounded.

No I/O, so that the asyncio and the blocking API share it. A run has one append in flight at a time,
so the append script recognizes a repeat by its number alone, and events stay in order through lost
connections and failovers.
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
from jobcast._retry import is_transient
from jobcast.protocol.append import Answer, Append, brief
from jobcast.redis.outages import Outages

_log: Final = logging.getLogger("jobcast")
_outages: Final = Outages(_log, "Redis takes no events, so they wait in this process: %s")


_FINAL: Final = (JobFinished, JobSuperseded, UnknownJob)
"""Refusals that every later event of the run would get, too."""


class Limits(NamedTuple):
    """Limits of the calls and the outbox of a run.

    ``block_s`` is how many seconds a call may wait for Redis (None means no limit), ``max_events``
    and ``max_bytes`` bound the outbox, and ``interval_s`` is the shortest time between two progress
    events.
    """

    block_s: float | None
    max_events: int
    max_bytes: int
    interval_s: float = 0.0


Answered = Callable[[Append, Answer], None]
"""Called with an event that was written, and with the answer."""


class Verdict(Enum):
    """What to do after an append that was refused or got no answer."""

    LATER = auto()
    """Repeat it after a pause."""
    NOW = auto()
    """Send the first event now: it was replaced, or the run's start was put before it."""
    REFUSED = auto()
    """The event can't be written."""


class Waiting:
    """An event in the outbox, and its outcome.

    ``answered`` is called when it was written. ``otherwise`` is a smaller event that replaces it if
    it is larger than the job allows. ``number`` is its sequence number, 0 until it is first sent.
    ``is_awaited`` says whether its caller waits for the answer. ``wake`` are called when the
    outcome is known.
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
        """Return the answer; None if newer progress replaced the event. Raises its error."""
        if self.error is not None:
            raise self.error
        return self.answer

    def end(self, answer: Answer | None = None, error: BaseException | None = None) -> None:
        """Set the outcome, and wake the callers that wait for it."""
        self.answer, self.error, self.is_over = answer, error, True
        for wake in self.wake:
            wake()


class Outbox:
    """The events of one run that wait for Redis, oldest first.

    After a refusal that is final for the run, nothing more is sent: see `check`.

    ``waiting`` are the events, ``last_number`` is the last sequence number used, and ``is_behind``
    says whether a caller has timed out waiting for an event.
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
        """Raise the final refusal of this run, if there is one."""
        if self._refusal is not None:
            raise type(self._refusal)(str(self._refusal))

    def record_refusal(self, error: BaseException) -> None:
        """Remember a refusal that is final for the run."""
        if isinstance(error, _FINAL):
            self._refusal = error

    @property
    def first(self) -> Waiting | None:
        """The event to be sent next, or in flight."""
        return self.waiting[0] if self.waiting else None

    @property
    def has_end(self) -> bool:
        """Whether the outbox holds the end of the run."""
        return any(each.event.is_end for each in self.waiting)

    def begin(self, start: Append) -> None:
        """Remember how the run is started, and drop the events of an earlier one."""
        self.abandon(JobSuperseded("The run was started again"))
        self._start = start
        self._refusal = None

    def began(self, entry_id: str) -> None:
        """Remember the entry of the start, so that repeating it can't start a later job."""
        if self._start is not None:
            self._start = self._start._replace(name=entry_id)

    def numbered(self, waiting: Waiting) -> int:
        """Return the sequence number of an event; a repeat has the same."""
        if not waiting.number:
            self.last_number += 1
            waiting.number = self.last_number
        return waiting.number

    def add(self, waiting: Waiting) -> None:
        """Add an event at the end. Raises `BufferFull` if there is no room.

        There is always room for the run's end, and for one event. When room is short, only the
        newest progress is kept.
        """
        if self._is_full_with(waiting):
            self._conflate(is_newer=waiting.event.operation == "progress")
            if self._is_full_with(waiting) and not waiting.event.is_end:
                raise BufferFull
        self.waiting.append(waiting)
        self._bytes += waiting.size

    def add_first(self, waiting: Waiting) -> None:
        """Add an event at the front: it was sent already, or has to be first."""
        self.waiting.appendleft(waiting)
        self._bytes += waiting.size

    def withdraw(self, waiting: Waiting) -> None:
        """Remove an event whose caller was cancelled, unless it may have been written."""
        if not waiting.number and waiting in self.waiting:
            self.waiting.remove(waiting)
            self._bytes -= waiting.size

    def restart(self) -> None:
        """Put the run's start at the front, because a failover has lost it."""
        if self._start is not None:
            self.add_first(Waiting(self._start))

    def pop(self) -> Waiting:
        """Remove the first event and return it."""
        waiting = self.waiting.popleft()
        self._bytes -= waiting.size
        if not self.waiting:
            self.is_behind = False
        return waiting

    def answered(self, answer: Answer) -> None:
        """Remove the first event, which was written."""
        _outages.end("Redis takes events again")
        waiting = self.pop()
        if waiting.answered is not None:
            waiting.answered(waiting.event, answer)
        waiting.end(answer)

    def judge(self, error: BaseException) -> Verdict:
        """Decide how to go on after an error of the first event; replace or reorder events."""
        first = self.waiting[0]
        self.record_refusal(error)
        if is_transient(error):
            _outages.add(error)
            return Verdict.LATER
        if isinstance(error, JobNotRunning) and self._start and not first.follows_restart:
            first.follows_restart = True  # so that a second refusal is final
            first.number = 0  # the start gets a lower one
            self.restart()
            return Verdict.NOW
        if isinstance(error, InvalidEvent):
            smaller = first.otherwise
            if smaller is None and first.event.is_end and not first.is_awaited:
                # Its caller has returned, so nobody else ends the job.
                smaller = _event.failed(*brief(str(error), None))
            if smaller is not None and smaller.size < first.size:
                first.event, first.otherwise = smaller, None
                self._bytes += smaller.size - first.size
                first.size = smaller.size
                return Verdict.NOW
        return Verdict.REFUSED

    def refused(self, error: BaseException) -> None:
        """Remove the first event, which can't be written; all, if the refusal applies to all."""
        self._fail(self.pop(), error)
        if isinstance(error, JobcastError) and not isinstance(error, InvalidEvent):
            self.abandon(error)

    def abandon(self, error: BaseException) -> None:
        """Remove all events, with ``error`` as their outcome."""
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
        """Drop all progress except the newest, and except what may have been written already.

        ``is_newer`` says whether progress that is newer than all in the outbox is about to be
        added.
        """
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
