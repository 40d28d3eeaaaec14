"""No queue: workers create their jobs themselves."""

from app.errors import NoQueue


class Nowhere:
    """Takes no job."""

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
        """Remove nothing: nothing is queued."""

    async def clear(self, job_id: str, attempt: int) -> None:
        """Forget nothing, for the same reason."""
