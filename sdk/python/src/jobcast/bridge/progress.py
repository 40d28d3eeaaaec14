"""Progress as other libraries report it: a number, a text, or an object with usual names."""

import math
from collections.abc import Mapping
from typing import Final

from jobcast import _event
from jobcast._errors import InvalidEvent
from jobcast.protocol.append import Append

_PERCENT: Final = ("progress", "percent", "percentage")
_STEP: Final = ("currentStep", "step", "description", "message", "status")
_SECONDS: Final = ("estimatedTimeRemaining", "eta")
_CONTRACT: Final = ("progress", "currentStep", "estimatedTimeRemaining")
_WHOLE: Final = 100


def progress_of(value: object) -> Append:
    """Return the ``progress-update`` that a value stands for.

    A number is the percentage, a text the step. Of an object ``progress``, ``percent`` or
    ``percentage`` is the percentage, or follows from ``current`` and ``total``; ``currentStep``,
    ``step``, ``description``, ``message`` or ``status`` is the step; ``estimatedTimeRemaining`` or
    ``eta`` are the seconds left. All else are further fields. Numbers out of range become the
    nearest. `InvalidEvent` if it is anything else, or can't be written as JSON.
    """
    if isinstance(value, str):
        return _event.counted(None, value, None, {})
    if isinstance(value, Mapping):
        return _of_object({str(name): each for name, each in value.items()})
    number = _number(value)
    if number is None:
        raise InvalidEvent("progress is neither a number nor a text nor an object")
    return _event.progressed(_percent(number), None, None, {})


def _of_object(fields: dict[str, object]) -> Append:
    percent = eta = step = None
    for name in _PERCENT:
        if percent is None and (percent := _number(fields.get(name))) is not None:
            del fields[name]
    for name in _SECONDS:
        if eta is None and (eta := _number(fields.get(name))) is not None:
            del fields[name]
    for name in _STEP:
        text = fields.get(name)
        if step is None and isinstance(text, str):
            step = text
            del fields[name]
    current, total = _number(fields.get("current")), _number(fields.get("total"))
    if percent is None and current is not None and total:
        percent = _WHOLE * current / total
    for name in _CONTRACT:
        fields.pop(name, None)  # of another type: these names mean one thing
    whole = None if percent is None else _percent(percent)
    return _event.counted(whole, step, None if eta is None else max(eta, 0), fields)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) <= 2**53 and math.isfinite(value) else None


def _percent(number: float) -> int:
    return round(min(max(number, 0), _WHOLE))
