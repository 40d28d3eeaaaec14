"""A case: what is measured, of whom, and what it has to come to."""

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final

HEADROOM: Final = "headroom"
"""How many times more the load generator could do: what it leaves of its core, by what it takes."""

_LEAST_HEADROOM: Final = 3.0


@dataclass(frozen=True)
class Sample:
    """One measurement.

    Attributes:
        value: the case's figure, in its unit.
        more: further figures by name, the unit in the name.
        failure: why the measurement does not count.
    """

    value: float = 0.0
    more: Mapping[str, float] = field(default_factory=dict)
    failure: str | None = None


@dataclass(frozen=True)
class Bar:
    """What a figure may be at the most.

    Attributes:
        at_most: the bound.
        of: name of a further figure; the case's own if empty.
        ratio: whether the figure is the first subject's divided by this one's.
    """

    at_most: float
    of: str = ""
    ratio: bool = True


@dataclass(frozen=True)
class Subject:
    """One that is measured.

    Attributes:
        name: what the table calls it.
        measure: takes one measurement that lasts about as many seconds as it is told.
        bars: what has to hold.
        missing: says why it can't be measured here, or None.
    """

    name: str
    measure: Callable[[float], Awaitable[Sample]]
    bars: Sequence[Bar] = ()
    missing: Callable[[], str | None] = lambda: None


@dataclass(frozen=True)
class Case:
    """What is measured, the same way for each subject; the first is what the case is about."""

    name: str
    title: str
    unit: str
    subjects: Sequence[Subject]


@dataclass
class Result:
    """The samples of a subject, a run each, and those of the case's first subject."""

    subject: Subject
    first: Sequence[Sample]
    samples: list[Sample] = field(default_factory=list)

    @property
    def failure(self) -> str | None:
        """Why the result does not count, if it does not."""
        return next((sample.failure for sample in self.samples if sample.failure), None)

    def median(self, of: str = "") -> float:
        """Return the median of a figure over the runs."""
        return median(_figure(sample, of) for sample in self.samples)

    def ratio(self, of: str = "") -> float:
        """Return the median, over the runs, of the first subject's figure by this one's."""
        pairs = zip(self.first, self.samples, strict=False)
        counting = [(a, b) for a, b in pairs if a.failure is None and _figure(b, of)]
        ratios = [_figure(a, of) / _figure(b, of) for a, b in counting]
        return median(ratios) if ratios else math.nan

    def verdicts(self) -> list[str]:
        """Return what is to be said of each bar, in capitals where it was missed."""
        return [self._verdict(bar) for bar in self.subject.bars]

    @property
    def missed(self) -> bool:
        """Whether a bar was missed."""
        return any(not self._figure(bar) <= bar.at_most for bar in self.subject.bars)

    @property
    def drowned(self) -> bool:
        """Whether the load generator was too slow for the figures to be of the server alone."""
        known = [sample for sample in self.samples if HEADROOM in sample.more]
        return bool(known) and self.median(HEADROOM) < _LEAST_HEADROOM

    def _figure(self, bar: Bar) -> float:
        return self.ratio(bar.of) if bar.ratio else self.median(bar.of)

    def _verdict(self, bar: Bar) -> str:
        figure = self._figure(bar)
        name = f"{bar.of or ''} {'ratio' if bar.ratio else ''}".strip() or "figure"
        said = "ok" if figure <= bar.at_most else "MISSED"
        return f"{name} {figure:.2f} ≤ {bar.at_most:g} {said}"


def _figure(sample: Sample, of: str) -> float:
    return sample.more.get(of, 0.0) if of else sample.value
