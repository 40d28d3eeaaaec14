"""The exceptions of the library. The docstring of each class is its default message."""

from typing import Final

from jobcast.protocol.refusals import Refusal, is_of_the_data


class JobcastError(Exception):
    """The call to Jobcast was refused."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or type(self).__doc__ or type(self).__name__)


class UnknownJob(JobcastError):
    """There is no such job, or it has expired."""


class JobExists(JobcastError):
    """A job with this id exists already."""


class JobFinished(JobcastError):
    """The job has succeeded or failed already."""


class JobStalled(JobFinished):
    """The lease of this run ran out while nobody renewed it, and the job was failed."""


class JobSuperseded(JobcastError):
    """Another run or attempt has taken over this job."""


class JobNotRunning(JobcastError):
    """The job was not started."""


class JobNotFailed(JobcastError):
    """The job has not failed, so there is nothing to retry."""


class InvalidEvent(JobcastError, ValueError):
    """An argument is not what the contract allows."""


class BufferFull(JobcastError):
    """Redis is unavailable, and as many events of this run wait for it as may."""


class JobCancelled(JobcastError):
    """The job was asked to stop."""


_KINDS: Final[dict[str, type[JobcastError]]] = {
    Refusal.NO_JOB: UnknownJob,
    Refusal.EXISTS: JobExists,
    Refusal.FINISHED: JobFinished,
    Refusal.STALLED: JobStalled,
    Refusal.SUPERSEDED: JobSuperseded,
    Refusal.NOT_RUNNING: JobNotRunning,
    Refusal.NOT_FAILED: JobNotFailed,
    Refusal.NOT_CANCELLABLE: JobFinished,
    Refusal.BAD_EVENT: InvalidEvent,
}


def refused(reply: str) -> JobcastError | None:
    """Return the exception for an error reply to an append; None if it is not about the job."""
    code, _, text = reply.partition(" ")
    kind = _KINDS.get(code)
    if kind is not None:
        return kind(text[:1].upper() + text[1:])
    if is_of_the_data(reply):
        return UnknownJob(f"What is stored under this id is no job: {reply}")
    return None
