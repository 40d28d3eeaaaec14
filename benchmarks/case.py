"""A case: what is measured, of whom, and what it has to come to."""

import math
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import ClassVar, Final

LOAD: Final = "load %"
"""What the load generator takes of its core: below a third, it could do three times as much."""

OTHERS: Final = "others %"
"""What anything else took of the server's core."""

_MOST_LOAD: Final = 100 / 3
_MOST_OTHERS: Final = 10


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
class Bar(ABC):
    """What a figure has to come to.

    Attributes:
        bound: how much.
        of: name of a further figure; the case's own if empty.
        ratio: whether the figure is the first subject's divided by this one's.
    """

    bound: float
    of: str = ""
    ratio: bool = True

    sign: ClassVar[str]

    @abstractmethod
    def holds(self, figure: float) -> bool:
        """Say whether a figure is within the bound; one that is not a number never is."""

    def verdict(self, figure: float) -> str:
        """Return what is to be said of a figure, in capitals where it missed the bar."""
        name = f"{self.of} {'ratio' if self.ratio else ''}".strip() or "figure"
        said = "ok" if self.holds(figure) else "MISSED"
        return f"{name} {figure:.2f} {self.sign} {self.bound:g} {said}"


class AtMost(Bar):
    """A figure that may not be larger."""

    sign = "≤"

    def holds(self, figure: float) -> bool:
        """Say whether it is not larger."""
        return figure <= self.bound


class AtLeast(Bar):
    """A figure that may not be smaller."""

    sign = "≥"

    def holds(self, figure: float) -> bool:
        """Say whether it is not smaller."""
        return figure >= self.bound


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
    """What is measured, the same way for each subject; the first is what the case is about.

    Attributes:
        name: what it is called on the command line.
        title: one line about it.
        unit: unit of its figure.
        subjects: what is measured.
        repeats: measurements of each subject in a run: more of short ones, which scatter.
    """

    name: str
    title: str
    unit: str
    subjects: Sequence[Subject]
    repeats: int = 1


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
        return [bar.verdict(self._figure(bar)) for bar in self.subject.bars]

    @property
    def missed(self) -> bool:
        """Whether a bar was missed."""
        return any(not bar.holds(self._figure(bar)) for bar in self.subject.bars)

    @property
    def is_load_heavy(self) -> bool:
        """Whether the load generator took more than a third of its core."""
        return bool(self.samples) and self.median(LOAD) > _MOST_LOAD

    @property
    def is_disturbed(self) -> bool:
        """Whether others took so much of the server's core that the figures are in doubt."""
        return bool(self.samples) and self.median(OTHERS) > _MOST_OTHERS

    def _figure(self, bar: Bar) -> float:
        return self.ratio(bar.of) if bar.ratio else self.median(bar.of)


def _figure(sample: Sample, of: str) -> float:
    return sample.more.get(of, 0.0) if of else sample.value
