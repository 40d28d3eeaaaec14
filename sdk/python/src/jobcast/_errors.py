"""What a call to Jobcast can raise; each class's docstring is its default message."""


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


class InvalidEvent(JobcastError, ValueError):
    """An argument is not what the contract allows."""


class JobCancelled(JobcastError):
    """The job was asked to stop."""
