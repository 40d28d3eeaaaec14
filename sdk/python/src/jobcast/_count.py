"""Progress by counting: the percentage and the time left follow from how many items are done.

No I/O, so that the asyncio and the blocking API share it.
"""

import math
import threading
from collections.abc import Mapping

from jobcast import _event
from jobcast._errors import InvalidEvent
from jobcast._level import Level, is_number
from jobcast.protocol.append import Append


class Count:
    """Counts of the current step and of the loops around it.

    A step within a loop is a share of the loop's current item. Viewers see the innermost step; the
    percentage and the seconds left are those of the outermost loop.

    ``is_held`` says whether the count has changed since the last event that was sent.
    """

    def __init__(self) -> None:
        self.is_held = False
        self._plan: dict[str, tuple[float, float]] = {}
        self._lock = threading.RLock()
        self._levels = [Level(None)]  # the outermost first

    @property
    def is_nested(self) -> bool:
        """Whether the current step is within a loop."""
        return self._levels[0].is_tracked

    def plan(self, weights: Mapping[str, float]) -> None:
        """Declare the steps, in order, with the weight of each.

        Raises `InvalidEvent` if there are none, a weight is not above 0, or the sum is too large.
        """
        given: object = weights
        shares = list(given.values()) if isinstance(given, Mapping) else []
        if not shares or not all(is_number(share) and share > 0 for share in shares):
            raise InvalidEvent("a plan needs a weight above 0 for each of its steps")
        done, whole = 0.0, sum(map(float, shares))
        if not is_number(whole):
            raise InvalidEvent("the weights of a plan are too large")
        self._plan = {}
        for step, share in weights.items():
            self._plan[step] = done / whole, (done + share) / whole
            done += share

    def step(self, step: str, progress: int | None, more: dict[str, object]) -> int | None:
        """Begin a step and return its percentage; None leaves the job's percentage as it is.

        Adds ``stepIndex`` and ``stepCount`` to ``more`` if the step is in the plan. Raises
        `InvalidEvent` if an argument is invalid.
        """
        _event.counted(None, step, None, {})  # validates the step
        with self._lock:
            self._begin(Level(step))
            for name in ("current", "total", "unit"):
                if name in more:
                    self._levels[-1].take(**{name: more[name]})
            return self.planned(step, progress, more)

    def planned(
        self, step: str | None, progress: int | None, more: dict[str, object]
    ) -> int | None:
        """Return the percentage of a step that has begun; None leaves the job's as it is.

        That is ``progress`` if given, else the plan's percentage for a planned step outside any
        loop. Adds ``stepIndex`` and ``stepCount`` to ``more`` if the step is in the plan.
        """
        if step not in self._plan:
            return progress
        more.setdefault("stepIndex", list(self._plan).index(step) + 1)
        more.setdefault("stepCount", len(self._plan))
        return self._percent() if progress is None and len(self._levels) == 1 else progress

    def enter(self, step: str | None, total: object = None, unit: object = None) -> Level:
        """Begin a loop; without ``step`` it counts the current step.

        Raises `InvalidEvent` if an argument is invalid.
        """
        _event.counted(None, step, None, {"unit": unit})  # validates the arguments
        with self._lock:
            top = self._levels[-1]
            is_named = step is not None or not top.is_tracked
            level = Level(top.step if step is None else step, is_tracked=True, is_named=is_named)
            level.take(total=total, unit=unit)
            self._begin(level)
            self.is_held = True
        return level

    def leave(self, level: Level) -> None:
        """End a loop and the steps within it. The count of the outermost loop stays."""
        with self._lock:
            if level in self._levels:
                index = self._levels.index(level)
                level.is_tracked = False
                del self._levels[max(1, index) :]  # with the steps within it

    def set(  # noqa: PLR0913 - the arguments of `progress`
        self,
        *,
        current: object,
        total: object,
        unit: object,
        step: str | None,
        eta: float | None,
        more: Mapping[str, object],
        level: Level | None = None,
    ) -> None:
        """Set the count of ``level``, or of the current step.

        ``current``, ``total``, ``unit`` and ``step`` stay as they are where they are None. Raises
        `InvalidEvent` if an argument is invalid.
        """
        with self._lock:
            if level is not None:
                self._return_to(level)
            top = self._levels[-1]
            is_new = step not in (None, top.step) or unit not in (None, top.unit)
            if is_new or more or eta is not None:
                # Validate now: a count that is sent in the background has no caller to raise to.
                _event.counted(None, step, eta, {**more, "unit": unit})
            if step is not None and step != top.step:
                if level is None:
                    self._begin(Level(step))
                else:
                    level.step = step
            top = self._levels[-1]
            top.take(current=current, total=total, unit=unit)
            top.more, top.eta = more, eta
            self.is_held = True

    def advance(self, count: object, level: Level | None = None) -> None:
        """Add to the count of ``level``, or of the current step.

        Raises `InvalidEvent` if the new count is not a number of 0 or more.
        """
        if not is_number(count):
            raise InvalidEvent("what a run advances by must be a number")
        with self._lock:
            if level is not None:
                self._return_to(level)
            top = self._levels[-1]
            top.take(current=top.current + count)
            top.eta = None
            self.is_held = True

    def event(self) -> Append:
        """Return the event that reports the current count, for sending it now."""
        with self._lock:
            self.is_held = False
            top, percent = self._levels[-1], self._percent()
            fields: dict[str, object] = {"current": _plain(top.current)}
            if top.total is None or percent is None:
                fields["indeterminate"] = True
            if top.total is not None:
                fields["total"] = _plain(top.total)
            if top.unit is not None:
                fields["unit"] = top.unit
            left_s = self._levels[0].seconds_left(self._inner(0))
            eta = left_s if top.eta is None else top.eta
            return _event.counted(percent, top.step, eta, {**top.more, **fields})

    def _begin(self, level: Level) -> None:
        """Replace the current step, or nest the new one in the current loop."""
        if not self._levels[-1].is_tracked:
            self._levels.pop()
        self._levels.append(level)
        self.is_held = False

    def _return_to(self, level: Level) -> None:
        """Drop the steps within a loop, because the loop has continued."""
        if level in self._levels:
            del self._levels[self._levels.index(level) + 1 :]
        else:  # dropped meanwhile, perhaps because another thread's loop has continued
            self._begin(level)

    def _percent(self) -> int | None:
        """Return the percentage of the whole job; None if the count does not determine it."""
        first, bounds = 0, None
        for index, level in enumerate(self._levels):
            if level.is_named and level.step in self._plan:
                first, bounds = index, self._plan[level.step]
        share = self._levels[first].share(self._inner(first))
        if share is None and bounds is None:
            return None
        lower, upper = bounds or (0.0, 1.0)
        return math.floor(100 * (lower + (upper - lower) * (share or 0.0)) + 1e-9)

    def _inner(self, index: int) -> float:
        """Return the share of a loop's current item that is done by the steps within it."""
        inner = 0.0
        for level in reversed(self._levels[index + 1 :]):
            inner = level.share(inner) or 0.0
        return inner


def _plain(number: float) -> float:
    """Return a whole number as an int, which JSON writes without a decimal point."""
    return int(number) if float(number).is_integer() else number
