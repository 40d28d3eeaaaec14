"""What a run knows of its job, in both forms of the library."""

import logging
import os
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Final, Protocol
from weakref import ref

from jobcast import _event
from jobcast._count import Count
from jobcast._errors import InvalidEvent
from jobcast._failure import brief, describe
from jobcast._json import from_json
from jobcast._level import Level
from jobcast._pace import Pace, merged
from jobcast.protocol.append import Answer, Append

_log: Final = logging.getLogger("jobcast")

_making: Final = threading.Lock()

MAX_LINES: Final = 1000
"""How many lines of a logging handler wait; of more, the oldest are dropped."""

running: Final[ContextVar["ref[RunState] | None"]] = ContextVar("jobcast_run", default=None)
"""The run that was started last in this context. It is not held: one that nobody holds is lost."""


def current() -> "RunState | None":
    """Return the run that was started last in this context, None if there is none that goes on."""
    held = running.get()
    run = None if held is None else held()
    return None if run is None or run.has_ended else run


if hasattr(os, "register_at_fork"):
    # A run is of the process that has started it.
    os.register_at_fork(after_in_child=lambda: running.set(None))


class Lease(Protocol):
    """The lease of a run, which is renewed in the background."""

    def stop(self) -> None:
        """Renew it no longer."""

    def end(self) -> None:
        """Take the run out of the index of leases."""


class RunState(ABC):
    """What a run knows of its job."""

    job_id: str
    """The job's id."""
    attempt: int | None
    """The job's attempt, from 1; None before the start, unless it was asked for."""
    type: str = ""
    """The job's type; known after the start."""
    input: dict[str, Any]
    """The job's input; known after the start, and empty when the job has none."""
    result: object = None
    """What the job is completed with at the end of the block."""
    finished: bool = False
    """Whether this run has completed or failed the job, and Redis has acknowledged it."""
    cancel_requested: bool = False
    """Whether the job was asked to stop, as far as this run was told: by the answer to an event, or
    to a renewal of its lease."""

    def __init__(self, job_id: str, attempt: int | None, interval_s: float = 0.0) -> None:
        self.job_id = job_id
        self.attempt = attempt
        self.input = {}
        self._count: Count | None = None
        self._pace = Pace(interval_s)
        self._held: Append | None = None
        self._holding = threading.Lock()
        self._lines: deque[Append] = deque(maxlen=MAX_LINES)
        self._has_news = False
        self._lease: Lease | None = None

    @property
    @abstractmethod
    def has_ended(self) -> bool:
        """Whether this run has completed or failed the job, acknowledged or not."""

    @abstractmethod
    def note(
        self,
        current: float,
        total: float | None,
        unit: str | None,
        step: str | None,
        level: Level | None = None,
    ) -> None:
        """Report a count from code that can't await: at once, or when there is time for it.

        It is sent as `progress` sends counts, in a run of asyncio by the event loop. ``level`` is
        what `enter` has returned, of a bar that may have others within.
        """

    def enter(self) -> Level:
        """Begin a bar that is reported by `note`, within the loop that is going on."""
        return self._counting().enter(None)

    def leave(self, level: Level) -> None:
        """End a bar."""
        self._counting().leave(level)

    def plan(self, weights: Mapping[str, float]) -> None:
        """Say which steps there will be and what share of the work each is, in any unit.

        ``{"download": 1, "analyse": 4}``: while ``step("analyse")`` counts from 0 to its total, the
        job goes from 20 to 100 percent. The steps carry ``stepIndex`` and ``stepCount``.
        """
        self._counting().plan(weights)

    def _note(
        self,
        current: float,
        total: float | None,
        unit: str | None,
        step: str | None,
        level: Level | None,
    ) -> None:
        self._counting().set(
            current=current, total=total, unit=unit, step=step, eta=None, more={}, level=level
        )
        self._has_news = True

    def _entered(
        self, step: str | None, total: float | None, unit: str | None
    ) -> tuple[Level, Append | None]:
        """Begin a loop; return its level, and the event of its step if it has one of its own."""
        count, more = self._counting(), dict[str, object]()
        level = count.enter(step, total, unit)
        if step is None:
            return level, None
        return level, _event.stepped(step, count.planned(step, None, more), None, more)

    def _counting(self) -> Count:
        with _making:  # threads may share a run
            if self._count is None:
                self._count = Count()
            return self._count

    def _progress(  # noqa: PLR0913, PLR0917 - what `progress` takes
        self,
        progress: int | None,
        step: str | None,
        current: float | None,
        total: float | None,
        unit: str | None,
        eta: float | None,
        more: Mapping[str, object],
    ) -> Append | None:
        """Return the event that a call of `progress` sends; None if it was noted for later."""
        has_count = current is not None or total is not None or unit is not None
        if progress is not None:
            if has_count:
                counted = {"current": current, "total": total, "unit": unit}
                given = {name: value for name, value in counted.items() if value is not None}
                more = {**more, **given}
            return self._paced(_event.progressed(progress, step, eta, more))
        if not has_count:
            raise InvalidEvent("progress needs a percentage, or current")
        self._counting().set(current=current, total=total, unit=unit, step=step, eta=eta, more=more)
        return None

    def _paced(self, event: Append) -> Append | None:
        """Return the progress to send; None if it waits, because the last one is too recent."""
        if not self._pace.interval_s and self._count is None:
            return event  # nothing ever waits
        with self._holding:
            event = merged(event, self._unsent())
            if self._due_in_s > 0:
                self._held = event
                return None
            self._pace.note()
            return event

    @property
    def _due_in_s(self) -> float:
        """In how many seconds progress may be sent; what is too late is refused at once."""
        return 0.0 if self.finished else self._pace.due_in_s

    @property
    def _is_early(self) -> bool:
        """Whether all that waits is progress, and a call has sent another meanwhile."""
        return not self._lines and self._due_in_s > 0

    def _unsent(self) -> Append | None:
        """Take out the progress that waits."""
        held, self._held = self._held, None
        if self._count is not None and self._count.is_held:
            return merged(self._count.event(), held)
        return held

    def _next_news(self) -> Append | None:
        """Take out what is to be sent next: a line, or else the progress."""
        self._has_news = False  # first, for another thread may add to it meanwhile
        try:
            event = self._lines.popleft()
        except IndexError:
            with self._holding:
                unsent = self._unsent()
                if unsent is not None:
                    self._pace.note()
            return unsent
        self._has_news = True
        return event

    def _leave_out(self, event: Append, refusal: InvalidEvent) -> None:
        """Go on without an event, which the call that meets its refusal has nothing to do with."""
        name = event.name or event.operation
        _log.warning("job %s: %s was left out: %s", self.job_id, name, refusal)

    def _id_of(self, answer: Answer | None) -> str:
        if answer is None:
            return ""
        self.cancel_requested = answer.cancel_requested
        return answer.entry_id

    def _answered(self, event: Append, answer: Answer) -> None:
        self.cancel_requested = answer.cancel_requested
        if event.is_end:
            self.finished = True
            self._end_lease()

    def _end_lease(self) -> None:
        if self._lease is not None:
            self._lease.end()
            self._lease = None

    def _began(self, answer: Answer) -> None:
        """Learn what the start said; ValueError if the input can't be read, all else is known."""
        self.attempt = answer.attempt
        self.cancel_requested = answer.cancel_requested
        self.type = answer.type
        running.set(ref(self))
        self.input = _input_of(answer)


def failure(error: str | BaseException, code: str | None) -> tuple[Append, Append | None]:
    """Return the event of a call of `fail`, and a smaller one for a job that allows none as long.

    The end of a job must not hang on the text of an exception.
    """
    if not isinstance(error, BaseException):
        return _event.failed(error, code), None
    message, its_code = describe(error)
    code = its_code if code is None else code
    return _event.failed(message, code), _event.failed(*brief(message, code))


def _input_of(answer: Answer) -> dict[str, Any]:
    job_input = from_json(answer.input) if answer.input else None
    if job_input is None:
        return {}
    if not isinstance(job_input, dict):
        raise ValueError("not an object")  # noqa: TRY004 - the input is wrong, not a type
    return job_input
