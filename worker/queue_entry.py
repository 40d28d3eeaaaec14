"""The entries of the queue, as the service adds them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class QueueEntry:
    """A queued attempt of a job; ``deliveries`` counts its deliveries, this one included."""

    job_id: str
    attempt: int
    deliveries: int

    @classmethod
    def from_data(cls, data: object, deliveries: int) -> Self:
        """Parse ``{"jobId": …, "attempt": …}``. Raises ValueError if it is malformed."""
        if not isinstance(data, Mapping):
            raise ValueError("the data of the queue entry is not an object")  # noqa: TRY004
        job_id, attempt = data.get("jobId"), data.get("attempt")
        if not isinstance(job_id, str):
            raise ValueError("the queue entry has no jobId")  # noqa: TRY004
        if not isinstance(attempt, int) or isinstance(attempt, bool):
            raise ValueError("the queue entry has no attempt")  # noqa: TRY004
        return cls(job_id, attempt, deliveries)
