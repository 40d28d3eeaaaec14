"""A drop-in for ``tqdm.tqdm`` that also reports to the current run.

    from jobcast.tqdm import tqdm

    for file in tqdm(files, "Hashing", unit="file"):
        ...

In the terminal it is tqdm's own bar. Viewers see the count, the total, and the bar's description as
the step, in runs of both APIs; without a run, or after its end, it is only a bar. A bar within
another's loop is a share of the current item, as with `Run.track`. A bar that tqdm disables
(``disable=True``) still reports. What tqdm accepts and a job does not (a count below 0, a total
that is no number) is left out of the report. Raises `JobCancelled` if the job was asked to stop.
Needs the extra ``jobcast[tqdm]``.
"""

import operator
from collections.abc import Iterator
from typing import Any, Final

from tqdm import tqdm as _tqdm

from jobcast._level import Level, is_number
from jobcast._run_state import RunState, current

_ITEMS: Final = "it"
"""tqdm's default unit."""


class tqdm(_tqdm):  # type: ignore[misc] # noqa: N801 - tqdm's name, and it ships no types
    """A tqdm bar, with all of tqdm's arguments."""

    _job: RunState | None = None  # until it is set: tqdm's constructor may raise
    _level: Level
    _is_iterated = False
    _reported: tuple[object, object] | None = None

    def __init__(
        self,
        iterable: Any = None,  # noqa: ANN401 - as tqdm's
        desc: str | None = None,
        *args: Any,  # noqa: ANN401 - as tqdm's
        **kwargs: Any,  # noqa: ANN401 - as tqdm's
    ) -> None:
        super().__init__(iterable, desc, *args, **kwargs)
        self._done = self.n
        self._step = _text(desc)
        unit = kwargs.get("unit", _ITEMS)
        self._of = None if unit == _ITEMS else _text(unit)
        job = current()
        if job is not None:
            self._level = job.enter()
            self._job = job
            self._report()

    def __iter__(self) -> Iterator[Any]:
        self._is_iterated = True
        for item in super().__iter__():
            yield item
            self._done += 1
            self._report()

    def update(self, n: float | None = 1) -> bool | None:
        """Advance, as tqdm does; a negative ``n`` goes back."""
        if not self._is_iterated:  # else tqdm itself calls this at times, to draw the bar
            self._done += 1 if n is None else n
        shown: bool | None = super().update(n)
        if not self._is_iterated:
            self._report()
        return shown

    def reset(self, total: float | None = None) -> None:
        """Restart from 0, as tqdm does."""
        self._done = 0
        super().reset(total)
        self._report()

    def refresh(self, *args: Any, **kwargs: Any) -> bool | None:  # noqa: ANN401 - as tqdm's
        """Draw the bar, and report ``n`` and ``total`` if they were set directly."""
        shown: bool | None = super().refresh(*args, **kwargs)
        # tqdm calls this for all bars that are open, also those of other jobs.
        is_changed = (self.n, self.total) != self._reported
        if self._job is not None and is_changed and not self._is_iterated and not self.disable:
            self._done = self.n
            self._report()
        return shown

    def set_description(self, desc: str | None = None, refresh: bool | None = True) -> None:  # noqa: FBT001, FBT002 - as tqdm's
        """Change the description, which is the step."""
        super().set_description(desc, refresh)
        self._step = _text(desc)
        self._report()

    def set_description_str(self, desc: str | None = None, refresh: bool | None = True) -> None:  # noqa: FBT001, FBT002 - as tqdm's
        """Change the description, which is the step."""
        super().set_description_str(desc, refresh)
        self._step = _text(desc)
        self._report()

    def close(self) -> None:
        """End the bar, as tqdm does."""
        if self._job is not None:
            self._job.leave(self._level)
            self._job = None
        super().close()

    def _report(self) -> None:
        if self._job is None or self._job.has_ended:
            return
        self._reported = self._done, self.total
        total, done = _number(self.total), _number(self._done)
        if total is not None and total < 0:
            total = None
        self._job.note(max(0, done or 0), total, self._of, self._step, self._level)


def trange(*args: Any, **kwargs: Any) -> tqdm:  # noqa: ANN401 - as tqdm's
    """Return a bar over ``range(*args)``, as ``tqdm.trange`` does."""
    return tqdm(range(*args), **kwargs)


def _number(given: Any) -> float | None:  # noqa: ANN401 - tqdm takes anything
    """Return a number as a job takes it, also one of numpy's; None if it is no finite number."""
    if is_number(given):
        return given
    try:
        number = operator.index(given) if hasattr(given, "__index__") else given.__float__()
    except Exception:  # noqa: BLE001 - not our class
        return None
    return number if is_number(number) else None


def _text(given: object) -> str | None:
    """Return what tqdm was given as text that a job can carry; None if it is empty."""
    return str(given).encode(errors="replace").decode() if given else None
