"""What an exception tells the viewers of the job that it failed.

The exception may be of any class, and so may all that Python calls on the way to its text. Nothing
here raises: the job has to fail all the same, and the exception has to go on as it is.
"""

import asyncio
from typing import Final

from jobcast._errors import JobCancelled

MAX_MESSAGE_CHARACTERS: Final = 4096
BRIEF_CHARACTERS: Final = 64
"""Two texts of this length fit into the smallest event that a job may allow, however escaped."""

_INTERRUPTIONS: Final[dict[type[BaseException], str]] = {
    asyncio.CancelledError: "The run was cancelled by its worker before it ended",
    KeyboardInterrupt: "The run was interrupted before it ended",
    SystemExit: "The worker exited before the run ended",
}


def describe(error: BaseException) -> tuple[str, str | None]:
    """Return the message for the viewers, and the code for programs if the exception has one."""
    if is_a(error, JobCancelled):
        return "Cancelled", None
    for kind, message in _INTERRUPTIONS.items():
        if is_a(error, kind):
            return message, None
    return text_of(error), _code_of(error)


def brief(message: str, code: str | None) -> tuple[str, str | None]:
    """Return what any job has room for: a message that is cut, and the code unless it is long."""
    fits = code is not None and len(code) <= BRIEF_CHARACTERS
    return message[:BRIEF_CHARACTERS], code if fits else None


def is_a(error: BaseException | None, kind: type[BaseException]) -> bool:
    """Say of which class an exception is, as ``except`` does: it may claim to be of another."""
    return issubclass(type(error), kind)


def text_of(error: BaseException) -> str:
    """Return the text of an exception, or the name of its class if it has none."""
    try:
        return _presentable(str(error)) or class_name(error)
    except BaseException:  # noqa: BLE001 - it is not ours, and one is on its way already
        return class_name(error)


def class_name(error: BaseException) -> str:
    """Return the name of its class."""
    # By the slot itself: a metaclass may have a `__name__` of its own.
    name: str = type.__dict__["__name__"].__get__(type(error))
    return _presentable(name) or "Exception"


def _code_of(error: BaseException) -> str | None:
    try:
        code = getattr(error, "code", None)
        return _presentable(code) if isinstance(code, str) else None
    except BaseException:  # noqa: BLE001 - as above
        return None


def _presentable(text: str) -> str:
    """Return text that JSON can carry: no lone surrogates, not without end, and a plain str."""
    cut = str.__getitem__(text, slice(MAX_MESSAGE_CHARACTERS))
    return cut.encode(errors="replace").decode()
