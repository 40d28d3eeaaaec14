"""What a task reports in its queue's own way, read as progress of Jobcast.

The keys that are understood:

- ``progress``, ``percent`` or ``percentage``: 0-100, rounded down. A share of one has no key of its
  own: ``current`` of ``total`` says it (``{"current": 0.4, "total": 1}``).
- ``current``, ``total`` and ``unit``: a count; the percentage and the time left follow from it.
- ``step``, ``currentStep``, ``status``, ``stage``, ``description`` or ``message``: the step, a
  text.
- ``eta`` or ``estimatedTimeRemaining``: seconds left.
- Any other key whose value can be written as JSON is a further field, unless it begins with ``_``.

What can't be read is left out.
"""

import math
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from jobcast._count import Count
from jobcast._errors import InvalidEvent
from jobcast._event import MAX_PROGRESS, counted
from jobcast._failure import text_of
from jobcast._json import to_json

MAX_FIELDS_BYTES: Final = 16 * 1024
"""How much the further fields of one report may have: they are sent with each."""

PERCENT: Final = ("progress", "percent", "percentage")
STEP: Final = ("step", "currentStep", "status", "stage", "description", "message")
ETA: Final = ("eta", "estimatedTimeRemaining")
_COUNT: Final = ("current", "total", "unit")
KNOWN: Final = frozenset((*PERCENT, *STEP, *ETA, *_COUNT))
"""The keys that have a meaning."""

Complain = Callable[[str], None]
"""Is told what was left out and why."""


class Report(NamedTuple):
    """What a task reports: a percentage or a count, a step, the seconds left, further fields."""

    percent: int | None
    current: float | None
    total: float | None
    unit: str | None
    step: str | None
    eta: float | None
    more: dict[str, object]

    def enter(self, count: Count) -> None:
        """Have the report be what a run's count sends next."""
        if self.current is not None and self.percent is None:
            count.set(
                current=self.current,
                total=self.total,
                unit=self.unit,
                step=self.step,
                eta=self.eta,
                more=self.more,
            )
        else:
            given = {"current": self.current, "total": self.total, "unit": self.unit}
            more = {name: value for name, value in given.items() if value is not None}
            count.hold(counted(self.percent, self.step, self.eta, {**self.more, **more}))


def read(meta: object, complain: Complain) -> Report | None:
    """Return what a task reports; None if there is nothing to send."""
    if not isinstance(meta, Mapping):
        if meta is not None:
            complain(f"{type(meta).__name__} is no mapping")
        return None
    try:
        left = {key: value for key, value in dict(meta).items() if isinstance(key, str)}
    except Exception as error:  # noqa: BLE001 - a mapping of a class of its own may raise any
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
    """Take out the first of these that is a number from 0; others of them are left out."""
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
    """Take out the first of these that is a text; others of them that are stay further fields."""
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
