"""Why a job can't be done: what its function says of it, and what the log does."""

from typing import Final

MAX_LOGGED_CHARACTERS: Final = 200


class Failure(Exception):
    """The job fails with this message for its viewers and this stable code for programs."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


def text_of(error: BaseException) -> str:
    """Return the text of an exception of any class, which may fail to make it."""
    kind: str = type.__dict__["__name__"].__get__(type(error))
    try:
        return str.__getitem__(str(error), slice(MAX_LOGGED_CHARACTERS)) or kind
    except BaseException:  # noqa: BLE001 - it is not ours, and one is being dealt with already
        return kind
