"""The state hash of a job, read as far as it can be.

Only the append script writes it, but a worker in another language says what, and the script looks
into none of it. So a field that is not what it should be is read as the nearest thing that is.
"""

import sys
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta, Raw

from schema.entry_id import is_stored_id
from schema.events import NO_REASON, Percent, Seconds, one_line
from schema.salvage import percent, salvaged, salvaged_object, salvaged_value, seconds

STATUSES: Final = ("queued", "running", "succeeded", "failed")

Attempt = Annotated[int, Meta(ge=1, le=2**53 - 1)]
"""As large as a number may be that every reader of JSON takes for the same."""

Note = Callable[[str], object]
"""Is called with the name of a field, what it is read as, and why."""

T = TypeVar("T")
_MOST_SHOWN: Final = 60
_UNREADABLE: Final = (msgspec.MsgspecError, ValueError, RecursionError)


def json_line(text: str) -> Raw:
    """Return JSON as one line.

    Raises:
        msgspec.MsgspecError, RecursionError: a strict reader refuses it.
    """
    return Raw(one_line(bytes(msgspec.json.decode(text, type=Raw))))


def json_seconds(text: str) -> float | None:
    """Return a number of JSON as seconds.

    Raises:
        msgspec.MsgspecError, ValueError: it is none, or more than a float can be.
    """
    number = _seconds(text)
    if number > sys.float_info.max:
        raise ValueError("more than a float can be")
    return number


def state_fields(fields: Mapping[str, str | None], note: Note) -> dict[str, Any]:
    """Return what a hash says, as ``schema.state.JobState`` is made of it.

    Args:
        fields: those of the hash by name; absent and None are the same.
        note: is told of each field that is read as something else.

    Raises:
        ValueError: its status, or the id of its first or last entry, is none.
    """

    def read(name: str, strict: Callable[[str], T], lenient: Callable[[str], T], instead: T) -> T:
        text = fields.get(name)
        if text is None:
            return instead
        try:
            return strict(text)
        except _UNREADABLE as error:
            try:
                value = lenient(text)
            except ValueError:
                value = instead
            note(f"{name} is read as {_shown(value)}: {error}")
            return value

    nothing: dict[str, Any] = {}
    core = {name: _core(fields, name, is_legal) for name, is_legal in _CORE.items()}
    status, error = core["status"], fields.get("error")
    least = 100 if status == "succeeded" else 0
    return {
        **{name: text for name, text in fields.items() if text is not None},
        "attempt": read("attempt", _attempt, _attempt, 1),
        "attemptId": read("attemptId", _entry_id, _entry_id, core["created"]),
        "type": fields.get("type") or "",
        "progress": read("progress", _percent, lambda text: percent(salvaged_value(text)), least),
        "estimatedTimeRemaining": read(
            "estimatedTimeRemaining", json_seconds, lambda text: seconds(salvaged_value(text)), None
        ),
        "extra": read("extra", _object, salvaged_object, nothing),
        "result": read("result", json_line, lambda text: Raw(salvaged(text)), Raw(b"null")),
        "error": NO_REASON if error is None and status == "failed" else error,
        "cancel": fields.get("cancel") is not None,
    }


_CORE: Final[Mapping[str, Callable[[str], object]]] = {
    "status": STATUSES.__contains__,
    "created": is_stored_id,
    "last": is_stored_id,
}
_percent: Final[Callable[[str], int]] = msgspec.json.Decoder(Percent).decode
_seconds: Final[Callable[[str], float]] = msgspec.json.Decoder(Seconds).decode
_object: Final = msgspec.json.Decoder(dict[str, Any]).decode


def _core(fields: Mapping[str, str | None], name: str, is_legal: Callable[[str], object]) -> str:
    text = fields.get(name)
    if text is None or not is_legal(text):
        raise ValueError(
            f"not a state of a job: {name} is {None if text is None else text[:_MOST_SHOWN]!r}"
        )
    return text


def _attempt(text: str) -> int:
    try:
        return msgspec.json.decode(text, type=Attempt)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from error


def _entry_id(text: str) -> str:
    if not is_stored_id(text):
        raise ValueError(f"{text[:_MOST_SHOWN]!r} is no id of an entry")
    return text


def _shown(value: object) -> str:
    text = msgspec.json.encode(value).decode(errors="replace")
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"
