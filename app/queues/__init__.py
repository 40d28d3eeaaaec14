"""The queue on which the service puts jobs: an interface, and a module for each kind."""

from typing import Final, Protocol

FIRST_ATTEMPT: Final = 1
"""Attempt of a job without retries, or whose state is missing."""


class JobQueue(Protocol):
    """Takes attempts of jobs for workers. All methods are idempotent.

    Raises:
        LogUnavailable: from each method that is awaited: the queue's server is unavailable.
    """

    def check(self, job_type: str) -> None:
        """Check that jobs of a type can be queued.

        Raises:
            ApiError: they can't; the message says why.
        """

    async def check_input(self, job_id: str) -> None:
        """Check that what is stored as a job's input can be queued, before anything is written.

        Raises:
            UnreadableJob: it can't be read.
        """

    async def add(self, job_id: str, attempt: int, job_type: str) -> None:
        """Queue an attempt.

        Raises:
            ApiError: the queue does not take jobs of this type.
            UnreadableJob: the job's input can't be read.
        """

    async def remove(self, job_id: str, attempt: int) -> None:
        """Remove an attempt, unless a worker has it."""

    async def clear(self, job_id: str, attempt: int) -> None:
        """Forget an earlier job with this id, before an attempt of this number is queued.

        The earlier job has expired or was deleted.
        """
