import math

import pytest

from benchmarks.case import LOAD, OTHERS, AtLeast, AtMost, Bar, Case, Result, Sample, Subject
from benchmarks.report import table


async def unmeasured(seconds: float) -> Sample:
    raise AssertionError("nothing is measured here")


def result(first: list[float], mine: list[float], *bars: Bar) -> Result:
    subject = Subject("subject", unmeasured, bars)
    return Result(subject, [Sample(value) for value in first], [Sample(value) for value in mine])


def test_the_ratio_is_taken_run_by_run() -> None:
    assert result([1, 10, 100], [2, 10, 400]).ratio() == 0.5


def test_a_run_that_failed_is_in_no_ratio() -> None:
    of_one = result([1, 10], [2, 10])
    of_one.first = [Sample(failure="lost"), Sample(10)]
    assert of_one.ratio() == 1


@pytest.mark.parametrize(
    ("bar", "is_missed"),
    [(AtMost(0.5), False), (AtMost(0.4), True), (AtLeast(0.5), False), (AtLeast(0.6), True)],
)
def test_a_bar_is_missed_on_its_own_side_only(bar: Bar, is_missed: bool) -> None:  # noqa: FBT001
    assert result([1], [2], bar).missed is is_missed


@pytest.mark.parametrize("bar", [AtMost(1), AtLeast(1)])
def test_nothing_to_compare_with_misses_every_bar(bar: Bar) -> None:
    compared = result([1], [0], bar)
    assert math.isnan(compared.ratio())
    assert compared.missed


def test_a_bar_may_be_on_a_further_figure() -> None:
    late = Result(Subject("subject", unmeasured, [AtMost(20, "p99 ms", ratio=False)]), [])
    late.samples = [Sample(1, {"p99 ms": 21})]
    assert late.missed
    assert late.verdicts() == ["p99 ms 21.00 ≤ 20 MISSED"]


def test_the_table_says_when_the_load_took_more_than_a_third_of_its_core() -> None:
    case = Case("case", "title", "unit", [])
    for share, is_said in ((33.0, False), (34.0, True)):
        heavy = Result(Subject("subject", unmeasured), [], [Sample(1, {LOAD: share})])
        assert ("LOAD ABOVE A THIRD" in table(case, [heavy])) is is_said


def test_the_table_says_when_others_were_on_the_core_of_the_server() -> None:
    disturbed = Result(Subject("subject", unmeasured), [], [Sample(1, {OTHERS: 11.0})])
    assert "OTHERS ON THE CORE" in table(Case("case", "title", "unit", []), [disturbed])


def test_the_table_says_why_a_result_does_not_count() -> None:
    failed = Result(Subject("subject", unmeasured), [], [Sample(failure="3 of 4 deliveries")])
    assert "FAILED: 3 of 4 deliveries" in table(Case("case", "title", "unit", []), [failed])


def test_a_table_says_how_often_a_short_measurement_is_taken_in_a_run() -> None:
    for repeats, is_said in ((1, False), (5, True)):
        case = Case("case", "title", "unit", [], repeats)
        assert ("case: title, 5 times a run\n" in table(case, [])) is is_said
