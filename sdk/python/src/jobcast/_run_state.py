"""The state of a run, shared by the asyncio and the blocking API."""

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
from jobcast._failure import describe
from jobcast._json import from_json
from jobcast._level import Level
from jobcast._pace import Pace, merged
from jobcast.protocol.append import Answer, Append, shortened

_log: Final = logging.getLogger("jobcast")

_count_lock: Final = threading.Lock()

MAX_LINES: Final = 1000
"""Lines of a logging handler that may wait; beyond that, the oldest are dropped."""

running: Final[ContextVar["ref[RunState] | None"]] = ContextVar("jobcast_run", default=None)
"""The run that was started last in this context. A weak reference, so that the lease of a run that
nobody holds expires."""


def current() -> "RunState | None":
    """Return the run that was started last in this context; None if it has ended."""
    held = running.get()
    run = None if held is None else held()
    return None if run is None or run.has_ended else run


if hasattr(os, "register_at_fork"):
    # A run belongs to the process that started it.
    os.register_at_fork(after_in_child=lambda: running.set(None))


class Lease(Protocol):
    """The lease of a run, renewed in the background."""

    def stop(self) -> None:
        """Stop renewing the lease."""

    def end(self) -> None:
        """Remove the run from the index of leases."""


class Sender(Protocol):
    """Sends the events of a run."""

    @property
    def has_end(self) -> bool:
        """Whether the run's end is still buffered."""


class RunState(ABC):
    """What a run knows about its job."""

    _sender: Sender

    job_id: str
    """The job's id."""
    attempt: int | None
    """The job's attempt, from 1; None before the start, unless `Jobs.run` was given one."""
    type: str = ""
    """The job's type; known after the start."""
    input: dict[str, Any]
    """The job's input; known after the start, empty if the job has none."""
    result: object = None
    """The result with which the end of the block completes the job."""
    finished: bool = False
    """Whether this run has completed or failed the job, and Redis has acknowledged it."""
    cancel_requested: bool = False
    """Whether the job was asked to stop, according to the last answer to an event or a lease
    renewal."""

    def __init__(self, job_id: str, attempt: int | None, interval_s: float = 0.0) -> None:
        self.job_id = job_id
        self.attempt = attempt
        self.input = {}
        self._count: Count | None = None
        self._pace = Pace(interval_s)
        self._held: Append | None = None
        self._held_lock = threading.Lock()
        self._lines: deque[Append] = deque(maxlen=MAX_LINES)
        self._has_pending = False
        self._lease: Lease | None = None

    @property
    def has_ended(self) -> bool:
        """Whether this run has completed or failed the job, acknowledged or not."""
        return self.finished or self._sender.has_end

    @abstractmethod
    def note(
        self,
        current: float,
        total: float | None,
        unit: str | None,
        step: str | None,
        level: Level | None = None,
    ) -> None:
        """Report a count from code that can't await, at the pace of `progress`.

        In a run of asyncio the event loop sends it. ``level`` is what `enter` returned, for a bar
        that may contain others. Raises `JobCancelled` if the job was asked to stop.
        """

    def _stop_renewing(self) -> None:
        """Stop renewing the lease, unless the end of the run is still buffered."""
        if self._lease is not None and not self._sender.has_end:
            self._lease.stop()

    def enter(self) -> Level:
        """Begin a bar that is reported by `note`, within the current loop."""
        return self._counting().enter(None)

    def leave(self, level: Level) -> None:
        """End a bar."""
        self._counting().leave(level)

    def plan(self, weights: Mapping[str, float]) -> None:
        """Declare the steps and the weight of each, in any unit.

        ``{"download": 1, "analyse": 4}``: while ``step("analyse")`` counts from 0 to its total, the
        job goes from 20 to 100 percent. The events of these steps have ``stepIndex`` and
        ``stepCount``. Raises `InvalidEvent` if a weight is not above 0.
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
        self._has_pending = True

    def _entered(
        self, step: str | None, total: float | None, unit: str | None
    ) -> tuple[Level, Append | None]:
        """Begin a loop; return its level, and the event of its step if it begins one."""
        count, more = self._counting(), dict[str, object]()
        level = count.enter(step, total, unit)
        if step is None:
            return level, None
        return level, _event.stepped(step, count.planned(step, None, more), None, more)

    def _counting(self) -> Count:
        with _count_lock:  # threads may share a run
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
        """Return the event that a call of `progress` sends; None if it was kept for later."""
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
        """Return the progress to send; None if it waits because the last one is too recent."""
        if not self._pace.interval_s and self._count is None:
            return event  # nothing ever waits
        with self._held_lock:
            event = merged(event, self._pop_progress())
            if self._due_in_s > 0:
                self._held = event
                return None
            self._pace.record_sent()
            return event

    @property
    def _due_in_s(self) -> float:
        """Seconds until progress may be sent; 0 after the end, so that a late call is refused."""
        return 0.0 if self.finished else self._pace.due_in_s

    @property
    def _is_early(self) -> bool:
        """Whether only progress waits, and a call has sent other progress too recently."""
        return not self._lines and self._due_in_s > 0

    def _pop_progress(self) -> Append | None:
        """Remove and return the progress that waits."""
        held, self._held = self._held, None
        if self._count is not None and self._count.is_held:
            return merged(self._count.event(), held)
        return held

    def _pop_pending(self) -> Append | None:
        """Remove and return what is to be sent next: a log line, else the progress."""
        self._has_pending = False  # first: another thread may set it meanwhile
        try:
            event = self._lines.popleft()
        except IndexError:
            with self._held_lock:
                progress = self._pop_progress()
                if progress is not None:
                    self._pace.record_sent()
            return progress
        self._has_pending = True
        return event

    def _leave_out(self, event: Append, refusal: InvalidEvent) -> None:
        """Log that an event was dropped, because its refusal does not concern the current call."""
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
        """Adopt the start's answer. Raises ValueError, after all else, if the input is invalid."""
        with self._held_lock:
            self._pop_progress()  # of an earlier run by this object
        self.attempt = answer.attempt
        self.cancel_requested = answer.cancel_requested
        self.type = answer.type
        running.set(ref(self))
        self.input = _input_of(answer)


def failure(error: str | BaseException, code: str | None) -> tuple[Append, Append | None]:
    """Return the event of a call of `fail`, and a smaller one in case the job allows none so large.

    The text of an exception must not prevent the end of a job.
    """
    if not isinstance(error, BaseException):
        return _event.failed(error, code), None
    message, its_code = describe(error)
    code = its_code if code is None else code
    event = _event.failed(message, code)
    return event, shortened(event)


def _input_of(answer: Answer) -> dict[str, Any]:
    job_input = from_json(answer.input) if answer.input else None
    if job_input is None:
        return {}
    if not isinstance(job_input, dict):
        raise ValueError("not an object")  # noqa: TRY004 - the input is wrong, not a type
    return job_input
