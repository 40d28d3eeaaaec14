"""Lenient decoding of the state hash.

The append script writes the hash without validating the values that workers pass, so an invalid
field is decoded as the nearest valid value.
"""

import re
import sys
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta, Raw

from schema.entry_id import is_stored_id
from schema.events import NO_REASON, Percent, Seconds, normalize_json
from schema.salvage import percent, salvage, salvage_object, salvage_value, seconds

STATUSES: Final = ("queued", "running", "succeeded", "failed")

_MAX_ATTEMPT: Final = 2**53 - 1
_ATTEMPT: Final = re.compile("[1-9][0-9]{0,15}")

Attempt = Annotated[int, Meta(ge=1, le=_MAX_ATTEMPT)]
"""Up to the largest integer that every JSON parser represents exactly."""

Note = Callable[[str], object]
"""Called with a message: the name of a field, its substitute, and why."""

T = TypeVar("T")
_MAX_SHOWN: Final = 60
_INVALID: Final = (msgspec.MsgspecError, ValueError, RecursionError)


def attempt_of(text: str) -> int:
    """Return the number of an attempt, which is read as the append script reads it.

    Raises:
        ValueError: it is none.
    """
    if _ATTEMPT.fullmatch(text) is None or int(text) > _MAX_ATTEMPT:
        raise ValueError(f"{text[:_MAX_SHOWN]!r} is no attempt")
    return int(text)


def json_raw(text: str) -> Raw:
    """Return JSON as one line.

    Raises:
        msgspec.MsgspecError, RecursionError: it is malformed.
    """
    return Raw(normalize_json(bytes(msgspec.json.decode(text, type=Raw))))


def json_seconds(text: str) -> float | None:
    """Decode seconds.

    Raises:
        msgspec.MsgspecError, ValueError: it is no number, negative, or too large for a float.
    """
    number = _seconds(text)
    if number > sys.float_info.max:
        raise ValueError("more than a float can be")
    return number


def state_fields(fields: Mapping[str, str | None], note: Note) -> dict[str, Any]:
    """Decode the fields of ``schema.state.JobState``; arguments and errors as of ``from_hash``."""

    def read(name: str, strict: Callable[[str], T], lenient: Callable[[str], T], default: T) -> T:
        text = fields.get(name)
        if text is None:
            return default
        try:
            return strict(text)
        except _INVALID as error:
            try:
                value = lenient(text)
            except ValueError:
                value = default
            note(f"{name} is read as {_shown(value)}: {error}")
            return value

    no_extra: dict[str, Any] = {}
    core = {name: _check(name, fields.get(name), valid) for name, valid in _REQUIRED.items()}
    status, error = core["status"], fields.get("error")
    default = 100 if status == "succeeded" else 0
    return {
        **{name: text for name, text in fields.items() if text is not None},
        "attempt": read("attempt", attempt_of, attempt_of, 1),
        "attemptId": read("attemptId", _entry_id, _entry_id, core["created"]),
        "type": fields.get("type") or "",
        "progress": read(
            "progress", percent_of, lambda text: percent(salvage_value(text)), default
        ),
        "estimatedTimeRemaining": read(
            "estimatedTimeRemaining", json_seconds, lambda text: seconds(salvage_value(text)), None
        ),
        "extra": read("extra", _object, salvage_object, no_extra),
        "result": read("result", json_raw, lambda text: Raw(salvage(text)), Raw(b"null")),
        "error": NO_REASON if error is None and status == "failed" else error,
        "cancel": fields.get("cancel") is not None,
    }


_REQUIRED: Final[Mapping[str, Callable[[str], object]]] = {
    "status": STATUSES.__contains__,
    "created": is_stored_id,
    "last": is_stored_id,
}
percent_of: Final[Callable[[str], int]] = msgspec.json.Decoder(Percent).decode
_seconds: Final[Callable[[str], float]] = msgspec.json.Decoder(Seconds).decode
_object: Final = msgspec.json.Decoder(dict[str, Any]).decode


def _check(name: str, text: str | None, is_valid: Callable[[str], object]) -> str:
    if text is None or not is_valid(text):
        raise ValueError(
            f"not a state of a job: {name} is {None if text is None else text[:_MAX_SHOWN]!r}"
        )
    return text


def _entry_id(text: str) -> str:
    if not is_stored_id(text):
        raise ValueError(f"{text[:_MAX_SHOWN]!r} is no id of an entry")
    return text


def _shown(value: object) -> str:
    text = msgspec.json.encode(value).decode(errors="replace")
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"
