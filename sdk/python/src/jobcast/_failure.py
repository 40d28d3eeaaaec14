"""Turns an exception into the error message and the code that viewers get.

An exception may be of any class, and converting it to text may run any code. Nothing here raises:
the job must fail anyway, and the exception must propagate unchanged.
"""

import asyncio
from typing import Final

from jobcast._errors import JobCancelled

MAX_MESSAGE_CHARACTERS: Final = 4096

_INTERRUPTIONS: Final[dict[type[BaseException], str]] = {
    asyncio.CancelledError: "The run was cancelled by its worker before it ended",
    KeyboardInterrupt: "The run was interrupted before it ended",
    SystemExit: "The worker exited before the run ended",
}


def describe(error: BaseException) -> tuple[str, str | None]:
    """Return the message for viewers, and the exception's ``code`` if that is a string."""
    error = ungrouped(error)
    if is_a(error, JobCancelled):
        return "Cancelled", None
    for kind, message in _INTERRUPTIONS.items():
        if is_a(error, kind):
            return message, None
    return text_of(error), _code_of(error)


def is_cancellation(error: BaseException | None) -> bool:
    """Return whether it is `JobCancelled`, or a group of nothing else."""
    return error is not None and is_a(ungrouped(error), JobCancelled)


def ungrouped(error: BaseException) -> BaseException:
    """Return the only exception of a group, or the first of a group of `JobCancelled`; else itself.

    Calls of a run may be in a ``TaskGroup``, which raises a group even if one task failed. A cancel
    request ends several tasks at once.
    """
    leaves, rest = list[BaseException](), [error]
    while rest:
        each = rest.pop()
        if is_a(each, BaseExceptionGroup):
            # Read through the class's descriptor: a subclass may override it.
            rest.extend(BaseExceptionGroup.__dict__["exceptions"].__get__(each))
        else:
            leaves.append(each)
    if len(leaves) == 1 or all(is_a(leaf, JobCancelled) for leaf in leaves):
        return leaves[0]
    return error


def is_a(error: BaseException | None, *kinds: type[BaseException]) -> bool:
    """Return whether an ``except`` clause would match, even if the exception fakes its class."""
    return issubclass(type(error), kinds)


def text_of(error: object) -> str:
    """Return the text of an exception, or the name of its class if there is no text."""
    try:
        return presentable(str(error)) or class_name(error)
    except BaseException:  # noqa: BLE001 - not our code, and the original exception must propagate
        return class_name(error)


def class_name(error: object) -> str:
    """Return the name of an exception's class."""
    # Read through `type`'s descriptor: a metaclass may override `__name__`.
    name: str = type.__dict__["__name__"].__get__(type(error))
    return presentable(name) or "Exception"


def _code_of(error: BaseException) -> str | None:
    try:
        code = getattr(error, "code", None)
        return presentable(code) if isinstance(code, str) else None
    except BaseException:  # noqa: BLE001 - as above
        return None


def presentable(text: str) -> str:
    """Return a plain str that JSON can carry: truncated, and without lone surrogates."""
    cut = str.__getitem__(text, slice(MAX_MESSAGE_CHARACTERS))
    return cut.encode(errors="replace").decode()
