"""What can go wrong with the log. The class docstring is the default message."""

import logging
from collections.abc import Callable

_log = logging.getLogger("jobcast.reader")


class EventLogError(Exception):
    """The event log refused."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.__doc__)


class LogUnavailable(EventLogError):
    """Redis can't be reached or does not answer in time."""


class Redirected(LogUnavailable):
    """Another node of the Cluster serves this."""


class AppendRefused(EventLogError):
    """The append breaks the state machine; nothing was written."""


class UnknownJob(AppendRefused):
    """There is no such job."""


class JobExists(AppendRefused):
    """The job exists already."""


class JobFinished(AppendRefused):
    """The job has finished already."""


class Leased(AppendRefused):
    """The run's lease is not over."""

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
    """The Idempotency-Key was used for another request."""


def unavailable(error: Exception) -> LogUnavailable:
    """Return why Redis can't be asked; what was not foreseen is logged."""
    if isinstance(error, LogUnavailable):
        return error
    _log.error("Redis can't be asked, for a reason that was not foreseen", exc_info=error)
    return LogUnavailable(f"{LogUnavailable.__doc__} ({type(error).__name__})")


REFUSALS: dict[str, Callable[[str], AppendRefused]] = {
    "NOJOB": UnknownJob,
    "EXISTS": JobExists,
    "FINISHED": JobFinished,
    "STALLED": JobFinished,
    "SUPERSEDED": Superseded,
    "LEASED": Leased,
    "NOTRUNNING": NotRunning,
    "NOTFAILED": NotFailed,
    "NOTCANCELLABLE": NotCancellable,
    "BADEVENT": BadEvent,
}
"""The append script's error replies by their first word."""
