"""A drop-in for ``tqdm.tqdm`` that also reports to the job which is running.

    from jobcast.tqdm import tqdm

    for file in tqdm(files, "Hashing", unit="file"):
        ...

In the terminal it is tqdm's own bar. Viewers see how much is done of how much, and the bar's
description as the step, in runs of both forms of the library; without a running job it is a bar and
no more. A bar that tqdm disables (``disable=True``) still reports. Raises `JobCancelled` when the
job was asked to stop. Needs the extra ``jobcast[tqdm]``.
"""

from collections.abc import Iterator
from typing import Any, Final

from tqdm import tqdm as _tqdm

from jobcast._run_state import current

_ITEMS: Final = "it"
"""tqdm's unit where none is given."""


class tqdm(_tqdm):  # type: ignore[misc] # noqa: N801 - tqdm's name, and it ships no types
    """A bar of tqdm, with all of its arguments."""

    def __init__(
        self,
        iterable: Any = None,  # noqa: ANN401 - as tqdm's
        desc: str | None = None,
        *args: Any,  # noqa: ANN401 - as tqdm's
        **kwargs: Any,  # noqa: ANN401 - as tqdm's
    ) -> None:
        super().__init__(iterable, desc, *args, **kwargs)
        self._job = current()
        self._done = self.n
        self._is_iterated = False
        self._step = desc
        unit = kwargs.get("unit", _ITEMS)
        self._of = None if unit == _ITEMS else unit
        self._report()

    def __iter__(self) -> Iterator[Any]:
        self._is_iterated = True
        for item in super().__iter__():
            yield item
            self._done += 1
            self._report()

    def update(self, n: float | None = 1) -> bool | None:
        """Advance, as tqdm does."""
        shown: bool | None = super().update(n)
        if not self._is_iterated:  # else tqdm itself calls this now and then, to draw the bar
            self._done += 1 if n is None else n
            self._report()
        return shown

    def _report(self) -> None:
        if self._job is not None:
            self._job.note(self._done, self.total, self._of, self._step)
