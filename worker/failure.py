"""How a job function says that its job can't be done."""


class Failure(Exception):
    """The job fails with this message for its viewers and this stable code for programs."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code
