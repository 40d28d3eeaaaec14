"""What the blocking and the asyncio adapters do around their calls of the library. Does no I/O."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Generic, TypeVar

from redis.exceptions import RedisError

from jobcast._errors import JobCancelled, JobFinished, JobSuperseded, UnknownJob
from jobcast._failure import text_of
from jobcast._owner import Owner, current_owner
from jobcast._run_state import RunState
from jobcast.adapters._leniency import Leniency, Notices, Outage
from jobcast.adapters._report import Report, read
from jobcast.adapters._task import Parts, Scope, Settings, Ticket, completion
from jobcast.protocol.append import Append

REFUSED_STARTS: Final = (UnknownJob, JobFinished, JobSuperseded)
"""Refusals of a start, after which there may be another."""


class Enqueueing:
    """Decides whether a task becomes a job when it is enqueued."""

    def __init__(self, notices: Notices, outage: Outage) -> None:
        self._notices = notices
        self._outage = outage

    def ticket(self, task_id: str, name: str, owner: Owner | None) -> Ticket | None:
        """Return the ticket of a task; None if it has no owner."""
        owner = current_owner.get() if owner is None else owner
        if owner is None:
            self._notices.warn_once(
                "owner",
                "%s is not followed: it has no owner. Enqueue it within"
                " `with jobcast.owner(user_id=…)`, or `with jobcast.owner():` to say so."
                " This is logged once.",
                name,
            )
            return None
        if owner.is_nobody:
            return None
        return Ticket.of_task(str(task_id), name, owner)

    def creation_failed(self, ticket: Ticket, error: Exception) -> Ticket | None:
        """Log that a job could not be created; return the ticket to send nevertheless, if any.

        If Redis was unavailable, the worker creates the job from the ticket.
        """
        if isinstance(error, RedisError):
            self._outage.note(error)
            self._notices.warn_once(
                "away", "Jobcast's Redis is unavailable; tasks are enqueued all the same: %s", error
            )
            return ticket
        self._notices.warn_once(
            f"refused {error}", "%s (%s) is not followed: %s", ticket.type, ticket.job_id, error
        )
        return None

    def id_taken(self, ticket: Ticket) -> Ticket:
        """Log that a task's id is taken by another job; return a ticket with a new job id."""
        other = ticket.with_new_id()
        self._notices.warn_once(
            "doubled",
            "there is a job %s already: the task that was enqueued with its id is job %s",
            ticket.job_id,
            other.job_id,
        )
        return other


class TasksState:
    """The settings of one queue's tasks, and what is known of their Redis.

    ``time_limits`` are the exceptions that the queue raises in the thread of a task that is late,
    wherever it is. They are raised by all calls in a task, but its end.
    """

    def __init__(self, settings: Settings, time_limits: tuple[type[Exception], ...] = ()) -> None:
        self.time_limits = time_limits
        self._parts = Parts.of(settings)
        self.max_event_bytes = self._parts.bounds.max_event_bytes
        self.notices = Notices()
        self._outage = Outage()
        self._enqueueing = Enqueueing(self.notices, self._outage)


T = TypeVar("T", bound=TasksState)
R = TypeVar("R", bound=RunState)


class TaskState(Generic[T, R]):
    """One execution of a task.

    ``is_cancelled`` is whether it must not run: its job was cancelled before, or the service queued
    it for an attempt that is over.
    """

    def __init__(
        self, tasks: T, run: R, leniency: Leniency, scope: Scope, *, is_cancelled: bool
    ) -> None:
        self.run = run
        self.is_cancelled = is_cancelled
        self._tasks = tasks
        self._leniency = leniency
        self._scope = scope

    @property
    def is_followed(self) -> bool:
        """Whether its events are sent."""
        return not self._leniency.is_silenced

    def leave(self) -> None:
        """Leave the job running, until another worker takes it over or its lease expires."""
        self.run._stop_renewing()  # noqa: SLF001 - internal to the library
        self._scope.leave(self.run)

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        """Log whatever goes wrong in the block: it must not fail the task.

        Raises `JobCancelled`, and the time limits of the queue.
        """
        try:
            yield
        except JobCancelled:
            raise
        except self._tasks.time_limits:
            raise
        except Exception as error:  # noqa: BLE001 - of any kind
            self._complain(text_of(error))

    @contextmanager
    def _ending(self) -> Iterator[None]:
        """Silence the run if anything goes wrong in the block, and leave the job after it."""
        try:
            with self._leniency.silencing():
                yield
        finally:
            self.leave()

    @property
    def _may_end(self) -> bool:
        return self.is_followed and not self.run.has_ended

    def _report_of(self, meta: object) -> Report | None:
        """Read a progress report; None if there is nothing to send."""
        return read(meta, self._complain) if self.is_followed else None

    def _completion_of(self, result: object) -> tuple[Append, str | None]:
        """Return the event that completes the job, and a log line if it lacks the result."""
        event, problem = completion(result, self._tasks.max_event_bytes)
        if problem is None or not self.is_followed:
            return event, None
        self._tasks.notices.warn_once(problem, "job %s: %s", self.run.job_id, problem)
        return event, problem

    def _complain(self, what: str) -> None:
        self._tasks.notices.warn_once(
            f"report {what}", "job %s: a report was not forwarded whole: %s", self.run.job_id, what
        )
