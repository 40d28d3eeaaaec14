"""No queue: workers create their jobs themselves."""

from app.errors import NoQueue


class RefusingQueue:
    """Refuses all jobs."""

    def check(self, _job_type: str) -> None:
        """Raise NoQueue."""
        raise NoQueue

    async def check_input(self, _job_id: str) -> None:
        """Raise NoQueue."""
        raise NoQueue

    async def add(self, _job_id: str, _attempt: int, job_type: str) -> None:
        """Raise NoQueue."""
        self.check(job_type)

    async def remove(self, job_id: str, attempt: int) -> None:
        """Do nothing: the queue is always empty."""

    async def remove_finished(self, job_id: str, attempt: int) -> None:
        """Do nothing: the queue is always empty."""
