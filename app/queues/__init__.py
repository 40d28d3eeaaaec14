"""The queue to which the service adds jobs: an interface, and a module for each kind."""

from typing import Final, Protocol

FIRST_ATTEMPT: Final = 1
"""Attempt of a job that was never retried; also assumed for a job without a state."""


class JobQueue(Protocol):
    """Queues attempts of jobs for workers. All methods are idempotent.

    Raises:
        LogUnavailable: by each asynchronous method: the queue's server is unavailable.
    """

    def check(self, job_type: str) -> None:
        """Check that jobs of a type can be queued.

        Raises:
            ApiError: they can't; the message says why.
        """

    async def check_input(self, job_id: str) -> None:
        """Check that a job's stored input can be queued, before anything is written.

        Raises:
            UnreadableJob: the input can't be read.
        """

    async def add(self, job_id: str, attempt: int, job_type: str) -> None:
        """Queue an attempt.

        Raises:
            ApiError: the queue does not take jobs of this type.
            UnreadableJob: the job's input can't be read.
        """

    async def remove(self, job_id: str, attempt: int) -> None:
        """Remove an attempt, unless a worker has it."""

    async def remove_finished(self, job_id: str, attempt: int) -> None:
        """Remove a finished entry of this attempt, which could keep a new one from being queued.

        It is left from an earlier job with this id, which has expired or was deleted.
        """
