"""One counted step and its rate. No I/O."""

import math
import sys
from collections.abc import Mapping
from time import monotonic
from typing import Final, TypeGuard

from jobcast._errors import InvalidEvent

MEMORY_S: Final = 15.0
"""Time constant of the moving average, in seconds: older progress counts less and less."""
WORTH_S: Final = 3.0
"""Seconds of a step before its first estimate."""
WORTH_SHARE: Final = 0.02
"""Share of a step that is done before its first estimate."""
LONGEST_S: Final = 7 * 24 * 3600.0
"""Longest estimate, in seconds: an unfinished job is kept no longer."""


class Rate:
    """Units per second, as a moving average with exponentially decaying weights."""

    def __init__(self, now_s: float) -> None:
        self._rate = self._weight = 0.0
        self._at_s = now_s
        self._count = 0.0

    def note(self, count: float, now_s: float) -> None:
        """Record that ``count`` units are done at ``now_s``."""
        passed_s = now_s - self._at_s
        if passed_s <= 0:
            return
        share = 1 - math.exp(-passed_s / MEMORY_S)
        self._rate += share * ((count - self._count) / passed_s - self._rate)
        self._weight += share * (1 - self._weight)
        self._count, self._at_s = count, now_s

    @property
    def per_s(self) -> float:
        """Units per second. The initial rate of 0 has no weight after the first ``note``."""
        return self._rate / self._weight if self._weight else 0.0


class Level:
    """One counted step: how much is done, the total and the unit.

    ``is_tracked`` says whether a loop or a bar counts it, so that other steps can be nested in it;
    ``is_named`` whether the step has its own name, not that of the loop around it. ``more`` and
    ``eta`` (seconds) are the further arguments of the last call.
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
        """Set what is given. Raises `InvalidEvent`, and sets nothing, if any of it is invalid."""
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
        """Return the share that is done, 0 to 1; None if the total is unknown.

        ``inner`` is the share of the current item that is done.
        """
        if self.total is None:
            return None
        return min((self.current + inner) / self.total, 1.0) if self.total else 0.0

    def seconds_left(self, inner: float) -> float | None:
        """Return the estimated seconds left; None as long as an estimate is not meaningful."""
        now_s, done = monotonic(), self.current + inner
        self._rate.note(done, now_s)
        if not self.total or now_s - self._begun_s < WORTH_S:
            return None
        if done < WORTH_SHARE * self.total or self._rate.per_s <= 0:
            return None
        left_s = max(0.0, self.total - done) / self._rate.per_s
        if left_s > LONGEST_S:  # even infinite: the rate of a stuck step decays to 0
            return None
        return round(left_s, 1) if left_s < 10 else round(left_s)  # noqa: PLR2004 - tenths only below 10 s


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a value is a finite number that JSON can represent; a bool is not."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) <= sys.float_info.max  # an int may exceed the range of a float
    )
