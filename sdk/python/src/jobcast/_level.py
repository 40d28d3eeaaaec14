"""One step that is counted, and how fast it goes. Nothing here waits or sends."""

import math
import sys
from collections.abc import Mapping
from time import monotonic
from typing import Final, TypeGuard

from jobcast._errors import InvalidEvent

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


class Level:
    """One step that is counted: how much is done, of how much, in which unit.

    ``is_tracked`` is whether a loop or a bar counts it, in which other steps may be nested;
    ``is_named`` whether the step is its own, and not that of the loop around it. ``more`` and
    ``eta`` (seconds) are what the last call said beside the count.
    """

    def __init__(
        self, step: str | None, *, is_tracked: bool = False, is_named: bool = True
    ) -> None:
        self.step = step
        self.is_tracked = is_tracked
        self.is_named = is_named
        self.current: float = 0
        self.total: float | None = None
        self.unit: str | None = None
        self.more: Mapping[str, object] = {}
        self.eta: float | None = None
        self._begun_s = monotonic()
        self._rate = Rate(self._begun_s)

    def take(self, current: object = None, total: object = None, unit: object = None) -> None:
        """Take what was given; `InvalidEvent` if any of it can't be, and then none is taken."""
        for name, value in (("current", current), ("total", total)):
            if value is not None and not (is_number(value) and value >= 0):
                raise InvalidEvent(f"{name} must be a number, 0 or more")
        if unit is not None and not isinstance(unit, str):
            raise InvalidEvent("unit must be a string")
        if is_number(current):
            self.current = current
        if is_number(total):
            self.total = total
        if unit is not None:
            self.unit = unit

    def share(self, inner: float) -> float | None:
        """Return what share is done, 0 to 1; ``inner`` is that of the item which is under way.

        None if how much there is is unknown.
        """
        if self.total is None:
            return None
        return min((self.current + inner) / self.total, 1.0) if self.total else 0.0

    def seconds_left(self, inner: float) -> float | None:
        """Return an estimate; None as long as it is not worth showing."""
        now_s, done = monotonic(), self.current + inner
        self._rate.note(done, now_s)
        if not self.total or now_s - self._begun_s < WORTH_S:
            return None
        if done < WORTH_SHARE * self.total or self._rate.per_s <= 0:
            return None
        left_s = max(0.0, self.total - done) / self._rate.per_s
        if left_s > LONGEST_S:  # infinite, too: of what stands still, the rate falls without end
            return None
        return round(left_s, 1) if left_s < 10 else round(left_s)  # noqa: PLR2004 - by the eye


def is_number(value: object) -> TypeGuard[float]:
    """Say whether it is a finite number, as JSON has them."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) <= sys.float_info.max  # an int may be more than a float can be
    )
