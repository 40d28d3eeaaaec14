"""Errors of the log."""

import logging
from collections.abc import Callable, Mapping
from typing import Final

from jobcast.protocol.refusals import Refusal
from schema.owner import Owner

_log = logging.getLogger("jobcast.reader")


class EventLogError(Exception):
    """Base of all errors of the log; ``text`` is the default message."""

    text = "The event log refused"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.text)


class LogUnavailable(EventLogError):
    """Redis is unavailable, or refuses temporarily."""

    text = "Redis can't be reached or does not answer in time"


class Redirected(LogUnavailable):
    """Another node of the Cluster has the job."""


class Unreadable(EventLogError):
    """Stored data is corrupt: a retry would fail as well."""

    text = "What is stored can't be read, and trying again does not help"


class UnreadableJob(Unreadable):
    """The state or the log of a job is corrupt; ``fields`` is its state hash, if it was read."""

    text = "What is stored of the job can't be read"

    def __init__(
        self, message: str | None = None, fields: Mapping[str, str | None] | None = None
    ) -> None:
        super().__init__(message)
        self.fields = fields or {}

    @property
    def owner(self) -> Owner | None:
        """The job's owner; None if its state has none."""
        owner = Owner(self.fields.get("userId"), self.fields.get("sessionId"))
        return None if owner == Owner() else owner


class AppendRefused(EventLogError):
    """The append is illegal in the job's state; nothing was written."""


class UnknownJob(AppendRefused):
    """There is no such job."""


class JobExists(AppendRefused):
    """The job exists already."""


class JobFinished(AppendRefused):
    """The job has finished already."""


class JobStalled(JobFinished):
    """The run's lease has expired, so the job was failed."""


class Leased(AppendRefused):
    """The run's lease has not expired."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.left_ms = int(message.partition(" ")[0])


class Superseded(AppendRefused):
    """A newer attempt or run took over."""


class NotRunning(AppendRefused):
    """The job was not started."""


class NotFailed(AppendRefused):
    """The job is not in failed state."""


class NotCancellable(AppendRefused):
    """The job is not cancellable."""


class BadEvent(AppendRefused):
    """The event breaks the contract."""


class IdempotencyConflict(EventLogError):
    """A request has the Idempotency-Key of another one."""

    text = "The Idempotency-Key was used for another request"


def unavailable(error: Exception) -> LogUnavailable:
    """Convert an error of a call to Redis; log an unexpected one."""
    if isinstance(error, LogUnavailable):
        return error
    _log.error("a call to Redis failed unexpectedly", exc_info=error)
    return LogUnavailable(f"{LogUnavailable.text} ({type(error).__name__})")


def unexpected(error: Exception) -> UnreadableJob:
    """Log an unexpected error of decoding, which would recur; return it as an unreadable job."""
    _log.error("a job can't be read, for an unexpected reason", exc_info=error)
    return UnreadableJob(f"{UnreadableJob.text} ({type(error).__name__})")


REFUSALS: Final[dict[str, Callable[[str], AppendRefused]]] = {
    Refusal.NO_JOB: UnknownJob,
    Refusal.EXISTS: JobExists,
    Refusal.FINISHED: JobFinished,
    Refusal.STALLED: JobStalled,
    Refusal.SUPERSEDED: Superseded,
    Refusal.LEASED: Leased,
    Refusal.NOT_RUNNING: NotRunning,
    Refusal.NOT_FAILED: NotFailed,
    Refusal.NOT_CANCELLABLE: NotCancellable,
    Refusal.BAD_EVENT: BadEvent,
}
"""Errors by refusal of the append script."""
