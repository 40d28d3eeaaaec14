"""No queue: workers create their jobs themselves."""

from typing import ClassVar


class NoQueue:
    """Has no jobs and takes none."""

    takes_jobs: ClassVar = False

    async def add(self, job_id: str, attempt: int, job_type: str) -> None:
        """Raise RuntimeError: callers respect ``takes_jobs``."""
        raise RuntimeError(f"no queue for {job_type} job {job_id}, attempt {attempt}")

    async def remove(self, job_id: str, attempt: int) -> None:
        """Remove nothing: nothing is queued here."""

    async def clear(self, job_id: str, attempt: int) -> None:
        """Forget nothing, for the same reason."""
