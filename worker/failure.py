"""The exception that a job function raises to fail its job."""


class Failure(Exception):
    """Fails the job, with a message for viewers and a stable code for programs."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code
