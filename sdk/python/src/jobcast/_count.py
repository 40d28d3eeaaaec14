"""Progress by counting: how many of how many, how fast, and until when.

Nothing here waits or sends; both forms of the library use it.
"""

import math
import sys
import threading
from collections.abc import Mapping
from time import monotonic
from typing import Final, TypeGuard

from jobcast import _event
from jobcast._errors import InvalidEvent
from jobcast.protocol.append import Append

PACE_S: Final = 1 / 20
"""Shortest time between two events that only count on."""
MEMORY_S: Final = 15.0
"""Time constant of the damped rate: what is older counts less and less."""
WORTH_S: Final = 3.0
"""No estimate before so many seconds of a step."""
WORTH_SHARE: Final = 0.02
"""No estimate before this share of it is done."""

LONGEST_S: Final = 7 * 24 * 3600.0
"""No estimate of more than a job lives."""


class Rate:
    """How many units a second, damped: a moving average with exponentially falling weights."""

    def __init__(self, now_s: float) -> None:
        self._rate = self._weight = 0.0
        self._at_s = now_s
        self._count = 0.0

    def note(self, count: float, now_s: float) -> None:
        """Take in that so many units are done."""
        passed_s = now_s - self._at_s
        if passed_s <= 0:
            return
        share = 1 - math.exp(-passed_s / MEMORY_S)
        self._rate += share * ((count - self._count) / passed_s - self._rate)
        self._weight += share * (1 - self._weight)
        self._count, self._at_s = count, now_s

    @property
    def per_s(self) -> float:
        """Units a second; what was before the first note has no weight."""
        return self._rate / self._weight if self._weight else 0.0


class Count:
    """How much of the current step is done.

    ``is_held`` is whether there is news that was not sent, because the last event is too recent.
    """

    _more: Mapping[str, object]
    _eta: float | None
    _ready: Append | None

    def __init__(self) -> None:
        self.is_held = False
        self._plan: dict[str, tuple[float, float]] = {}
        self._sent_s = -math.inf
        self._adding = threading.Lock()
        self._begin(None)

    def plan(self, weights: Mapping[str, float]) -> None:
        """Say which steps there will be, in order, and what share of the work each is."""
        shares = list(weights.values())
        if not shares or not all(_is_number(share) and share > 0 for share in shares):
            raise InvalidEvent("a plan needs a weight above 0 for each of its steps")
        done, whole = 0.0, sum(map(float, shares))
        if not _is_number(whole):
            raise InvalidEvent("the weights of a plan are too large")
        self._plan = {}
        for step, share in weights.items():
            self._plan[step] = done / whole, (done + share) / whole
            done += share

    def step(self, step: str, progress: int | None, more: dict[str, object]) -> int | None:
        """Begin a step, and return its progress; fields of the plan are added to ``more``."""
        self._begin(step)
        for name in ("current", "total", "unit"):
            if name in more:
                self._take(**{name: more[name]})
        if step in self._plan:
            more.setdefault("stepIndex", list(self._plan).index(step) + 1)
            more.setdefault("stepCount", len(self._plan))
            if progress is None:
                return self._percent()
        return progress

    def set(  # noqa: PLR0913 - the arguments of `progress`
        self,
        *,
        current: object,
        total: object,
        unit: object,
        step: str | None,
        eta: float | None,
        more: Mapping[str, object],
    ) -> None:
        """Say how much is done; what is None stays as it is."""
        is_new = step not in (None, self._step) or unit not in (None, self._unit)
        if is_new or more or eta is not None:
            # Refused now, not when the count is sent: that may be in the background.
            _event.counted(None, step, eta, {**more, "unit": unit})
        if step is not None and step != self._step:
            self._begin(step)
        self._take(current=current, total=total, unit=unit)
        self._more, self._eta = more, eta
        self._ready = None
        self.is_held = True

    def hold(self, event: Append) -> None:
        """Have an event of progress that is no count be sent next, at the same pace."""
        with self._adding:
            self._ready = event
        self.is_held = True

    def anew(self) -> None:
        """Count from 0 again, within the same step."""
        self._begin(self._step)

    def advance(self, count: object) -> None:
        """Say that so much more is done."""
        if not _is_number(count):
            raise InvalidEvent("what a run advances by must be a number")
        with self._adding:
            self._take(current=self._current + count)
        self._eta = None
        self._ready = None
        self.is_held = True

    @property
    def due_in_s(self) -> float:
        """In how many seconds the next event may be sent."""
        return self._sent_s + PACE_S - monotonic()

    def event(self) -> Append:
        """Return the event that says where things are, to be sent now."""
        self.is_held = False
        self._sent_s = monotonic()
        with self._adding:
            ready, self._ready = self._ready, None
        if ready is not None:
            return ready
        fields: dict[str, object] = {"current": _plain(self._current)}
        if self._total is None:
            fields["indeterminate"] = True
        else:
            fields["total"] = _plain(self._total)
        if self._unit is not None:
            fields["unit"] = self._unit
        left_s = self._seconds_left()
        eta = left_s if self._eta is None else self._eta
        return _event.counted(self._percent(), self._step, eta, {**self._more, **fields})

    def _begin(self, step: str | None) -> None:
        self._step = step
        self._current = 0.0
        self._total: float | None = None
        self._unit: str | None = None
        self._more = {}
        self._eta = None
        self._begun_s = monotonic()
        self._rate = Rate(self._begun_s)
        self._ready = None
        self.is_held = False

    def _take(self, current: object = None, total: object = None, unit: object = None) -> None:
        for name, value in (("current", current), ("total", total)):
            if value is not None and not (_is_number(value) and value >= 0):
                raise InvalidEvent(f"{name} must be a number, 0 or more")
        if unit is not None and not isinstance(unit, str):
            raise InvalidEvent("unit must be a string")
        if _is_number(current):
            self._current = current
        if _is_number(total):
            self._total = total
        if unit is not None:
            self._unit = unit

    def _percent(self) -> int | None:
        """Return the progress of the whole job; None if this step says nothing of it."""
        lower, upper = self._plan.get(self._step or "", (0.0, 1.0))
        if self._total is None and self._step not in self._plan:
            return None
        done = min(self._current / self._total, 1.0) if self._total else 0.0
        return math.floor(100 * (lower + (upper - lower) * done) + 1e-9)

    def _seconds_left(self) -> float | None:
        now_s = monotonic()
        self._rate.note(self._current, now_s)
        if not self._total or now_s - self._begun_s < WORTH_S:
            return None
        if self._current < WORTH_SHARE * self._total or self._rate.per_s <= 0:
            return None
        left_s = max(0.0, self._total - self._current) / self._rate.per_s
        if left_s > LONGEST_S:  # infinite, too: of what stands still, the rate falls without end
            return None
        return round(left_s, 1) if left_s < 10 else round(left_s)  # noqa: PLR2004 - by the eye


def _is_number(value: object) -> TypeGuard[float]:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) <= sys.float_info.max  # an int may be more than a float can be
    )


def _plain(number: float) -> float:
    """Return a whole number as an int, which JSON writes without a point."""
    return int(number) if float(number).is_integer() else number
