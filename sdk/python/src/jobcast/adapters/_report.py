"""Parses what tasks pass to the progress call of their queue.

The keys:

- ``progress``, ``percent`` or ``percentage``: 0-100, rounded down. For a fraction of one, report
  ``{"current": 0.4, "total": 1}``.
- ``current``, ``total`` and ``unit``: a count; the percentage and the time left follow from it.
- ``step``, ``currentStep``, ``status``, ``stage``, ``description`` or ``message``: the step, a
  string.
- ``eta`` or ``estimatedTimeRemaining``: seconds left.
- Any other key is a further field, if its value can be written as JSON and the key does not begin
  with ``_``.

Invalid values are left out.
"""

import math
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from jobcast._count import Count
from jobcast._errors import InvalidEvent
from jobcast._event import MAX_PROGRESS, counted
from jobcast._failure import text_of
from jobcast._json import to_json
from jobcast.protocol.append import Append

MAX_FIELDS_BYTES: Final = 16 * 1024
"""Size limit of the further fields of one report, as JSON: each event carries them."""

PERCENT: Final = ("progress", "percent", "percentage")
STEP: Final = ("step", "currentStep", "status", "stage", "description", "message")
ETA: Final = ("eta", "estimatedTimeRemaining")
_COUNT: Final = ("current", "total", "unit")
KNOWN: Final = frozenset((*PERCENT, *STEP, *ETA, *_COUNT))
"""The keys with a defined meaning."""

Complain = Callable[[str], None]
"""Called with what is left out of a report, and why."""


class Report(NamedTuple):
    """One report of a task: a percentage or a count, a step, the seconds left, further fields."""

    percent: int | None
    current: float | None
    total: float | None
    unit: str | None
    step: str | None
    eta: float | None
    more: dict[str, object]

    def enter(self, count: Count) -> Append | None:
        """Update a run's count, or return the event of a report with a percentage or no count."""
        if self.current is not None and self.percent is None:
            count.set(
                current=self.current,
                total=self.total,
                unit=self.unit,
                step=self.step,
                eta=self.eta,
                more=self.more,
            )
            return None
        given = {"current": self.current, "total": self.total, "unit": self.unit}
        more = {name: value for name, value in given.items() if value is not None}
        return counted(self.percent, self.step, self.eta, {**self.more, **more})


def is_changed(before: Mapping[str, object], name: str, value: object) -> bool:
    """Return whether a value is new, or differs from the one before."""
    return name not in before or differ(before[name], value)


def differ(before: object, value: object) -> bool:
    """Return whether two values differ, or can't be compared."""
    try:
        return bool(before != value)
    except Exception:  # noqa: BLE001 - a custom class may raise anything, an array does
        return True


def read(meta: object, complain: Complain) -> Report | None:
    """Parse a report; None if there is nothing to send."""
    if not isinstance(meta, Mapping):
        if meta is not None:
            complain(f"{type(meta).__name__} is no mapping")
        return None
    try:
        left = {key: value for key, value in dict(meta).items() if isinstance(key, str)}
    except Exception as error:  # noqa: BLE001 - a custom mapping may raise anything
        complain(text_of(error))
        return None
    percent = _number(left, PERCENT, complain)
    current = _number(left, ("current",), complain)
    total = _number(left, ("total",), complain)
    report = Report(
        None if percent is None else math.floor(min(percent, MAX_PROGRESS)),
        current,
        total,
        _text(left, ("unit",), complain),
        _text(left, STEP, complain),
        _number(left, ETA, complain),
        _further(left, complain),
    )
    return report if any(part not in (None, {}) for part in report) else None


def _number(left: dict[str, object], names: tuple[str, ...], complain: Complain) -> float | None:
    """Remove all these keys; return the first value that is a finite number, 0 or more."""
    found = None
    for name in names:
        value = left.pop(name, None)
        if value is None or found is not None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            complain(f"{name} is no number")
            continue
        try:
            number = float(value)
        except (ValueError, OverflowError):
            complain(f"{name} is no number")
            continue
        if not 0 <= number < math.inf:
            complain(f"{name} is not 0 or more, and finite")
            continue
        found = value if isinstance(value, int) else number
    return found


def _text(left: dict[str, object], names: tuple[str, ...], complain: Complain) -> str | None:
    """Remove and return the first of these that is a string; the others stay further fields."""
    for name in names:
        value = left.get(name)
        if isinstance(value, str):
            del left[name]
            text = value.encode(errors="replace").decode()
            if len(text) * 4 <= MAX_FIELDS_BYTES:
                return text
            complain(f"{name} is too long")
    return None


def _further(left: dict[str, object], complain: Complain) -> dict[str, object]:
    more, size = {}, 0
    for name, value in left.items():
        if name.startswith("_") or name in _COUNT:
            continue
        try:
            size += len(to_json({name: value}, name).encode())
        except InvalidEvent as error:
            complain(str(error))
            continue
        if size > MAX_FIELDS_BYTES:
            complain(f"{name} and what follows: more than {MAX_FIELDS_BYTES} bytes")
            break
        more[name] = value
    return more
