"""Counting: percent, pace, estimate and plan, on a clock that the test moves."""

import json
import sys
import threading
from typing import Any

import pytest

from jobcast import InvalidEvent
from jobcast._count import Count
from jobcast._pace import Pace
from jobcast._run_state import RunState
from jobcast.protocol.append import Append

OFTEN = 5000
WRONG_WEIGHTS: list[Any] = [
    {},
    None,
    ["a"],
    {"a": 0},
    {"a": -1},
    {"a": float("nan")},
    {"a": "1"},
    {"a": 10**400, "b": 1},
    {"a": 1.7e308, "b": 1.7e308, "c": 1},
]


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in ("_level", "_pace"):
        monkeypatch.setattr(f"jobcast.{module}.monotonic", clock)
    return clock


def told(count: Count, **given: Any) -> dict[str, Any]:  # noqa: ANN401 - of `progress`
    """Return what viewers are told after a call of `progress` with these arguments."""
    whole: dict[str, Any] = {
        "current": None,
        "total": None,
        "unit": None,
        "step": None,
        "eta": None,
        "more": {},
    }
    count.set(**{**whole, **given})
    return data_of(count.event())


def told_later(count: Count, **given: Any) -> None:  # noqa: ANN401 - of `progress`
    nothing = dict.fromkeys(("current", "total", "unit", "step", "eta"))
    whole: dict[str, Any] = {**nothing, "more": {}}
    count.set(**{**whole, **given})


class Counting(RunState):
    """Counts, and sends nothing."""

    has_ended = False

    def note(self, *given: object) -> None:
        """Do nothing."""

    def advance_often(self) -> None:
        for _ in range(OFTEN):
            self._counting().advance(1)

    def last(self) -> Append:
        return self._counting().event()


def data_of(event: Append) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(f'{{"progress":{event.number or "null"}{event.data}')
    return data


def test_the_percentage_follows_from_the_count(clock: Clock) -> None:
    count = Count()
    assert told(count, current=3, total=12, unit="page") == {
        "progress": 25,
        "currentStep": None,
        "estimatedTimeRemaining": None,
        "current": 3,
        "total": 12,
        "unit": "page",
    }
    count.advance(3)
    assert data_of(count.event())["progress"] == 50
    assert told(count, current=13)["progress"] == 100
    assert told(count, current=1.5)["current"] == 1.5


def test_a_count_without_a_total_is_indeterminate_and_says_nothing_of_the_percentage(
    clock: Clock,
) -> None:
    data = told(Count(), current=7)
    assert (data["progress"], data["current"], data["indeterminate"]) == (None, 7, True)
    assert "total" not in data


def test_a_total_of_nothing_is_no_percentage_above_0(clock: Clock) -> None:
    assert told(Count(), current=0, total=0)["progress"] in {None, 0}


def test_progress_is_due_when_the_last_one_is_old_enough(clock: Clock) -> None:
    pace = Pace(0.05)
    assert pace.due_in_s <= 0
    pace.record_sent()
    assert pace.due_in_s == pytest.approx(0.05)
    clock.now_s += 0.05
    assert pace.due_in_s <= 1e-9


def test_without_a_pace_progress_is_always_due(clock: Clock) -> None:
    pace = Pace(0)
    pace.record_sent()
    assert pace.due_in_s == 0


def test_an_estimate_is_given_once_it_is_worth_showing(clock: Clock) -> None:
    count = Count()
    assert told(count, current=0, total=100)["estimatedTimeRemaining"] is None
    estimates = []
    for _ in range(50):
        clock.now_s += 0.1
        count.advance(1)
        estimates.append(data_of(count.event())["estimatedTimeRemaining"])
    assert estimates[:28] == [None] * 28
    assert estimates[-1] == pytest.approx(5, abs=0.2)


def test_an_estimate_forgets_how_fast_it_went_long_ago(clock: Clock) -> None:
    count = Count()
    told(count, current=0, total=1000)
    for _ in range(100):
        clock.now_s += 0.1
        count.advance(5)
        count.event()
    for _ in range(60):
        clock.now_s += 1
        count.advance(1)
        data = data_of(count.event())
    # 440 are left. On the average of all it would be 55 s, at the speed of now 440 s.
    assert 200 < data["estimatedTimeRemaining"] < 440


def test_an_estimate_of_the_workers_own_wins(clock: Clock) -> None:
    assert told(Count(), current=1, total=9, eta=7)["estimatedTimeRemaining"] == 7


def test_a_plan_weighs_its_steps(clock: Clock) -> None:
    count = Count()
    count.plan({"download": 1, "analyse": 4})
    more: dict[str, object] = {}
    assert count.step("download", None, more) == 0
    assert more == {"stepIndex": 1, "stepCount": 2}
    assert told(count, current=1, total=2)["progress"] == 10
    assert count.step("analyse", None, {"total": 4, "unit": "page"}) == 20
    count.advance(2)
    data = data_of(count.event())
    assert (data["progress"], data["unit"], data["currentStep"]) == (60, "page", "analyse")
    assert count.step("by the way", 70, {}) == 70
    assert count.step("by the way", None, {}) is None


@pytest.mark.parametrize("weights", WRONG_WEIGHTS)
def test_a_plan_needs_weights(weights: Any) -> None:  # noqa: ANN401
    with pytest.raises(InvalidEvent, match="weight"):
        Count().plan(weights)


@pytest.mark.parametrize("value", [-1, "1", True, float("inf"), float("nan"), 10**400])
def test_a_count_is_a_number(value: object) -> None:
    with pytest.raises(InvalidEvent, match="current"):
        told(Count(), current=value)
    with pytest.raises(InvalidEvent, match="total"):
        told(Count(), total=value)
    with pytest.raises(InvalidEvent, match="unit"):
        told(Count(), current=1, unit=5)


@pytest.mark.parametrize(
    "given",
    [
        {"step": 5},
        {"step": "\ud800"},
        {"unit": "\ud800"},
        {"eta": -1},
        {"more": {"at": float("nan")}},
        {"more": {"progress": 5}},
    ],
)
def test_what_is_wrong_is_refused_at_the_call_and_not_when_it_is_sent(
    clock: Clock, given: dict[str, Any]
) -> None:
    count = Count()
    told(count, current=1, total=5)
    with pytest.raises(InvalidEvent):
        told_later(count, current=2, **given)
    assert data_of(count.event())["current"] == 1


def test_what_stands_still_gets_no_estimate_in_the_end(clock: Clock) -> None:
    count = Count()
    told(count, current=50, total=100)
    for _ in range(6):
        clock.now_s += 1
        told(count, current=50, total=100)
    assert told(count)["estimatedTimeRemaining"] is not None
    for _ in range(12_000):
        clock.now_s += 1
        last = told(count, current=50, total=100)
    assert last["estimatedTimeRemaining"] is None


def test_no_thread_takes_from_what_another_has_advanced_by() -> None:
    run = Counting("j1", None)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=run.advance_often) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert data_of(run.last())["current"] == 4 * OFTEN


def test_a_loop_within_a_loop_is_a_share_of_its_item(clock: Clock) -> None:
    count = Count()
    outer = count.enter("Files", 4, "file")
    seen = []
    for _ in range(4):
        inner = count.enter("Pages", 2, "page")
        seen.append(data_of(count.event()))
        for _ in range(2):
            count.advance(1, inner)
            seen.append(data_of(count.event()))
        count.leave(inner)
        count.advance(1, outer)
        seen.append(data_of(count.event()))
    count.leave(outer)
    assert [each["progress"] for each in seen] == [
        *(0, 12, 25, 25),
        *(25, 37, 50, 50),
        *(50, 62, 75, 75),
        *(75, 87, 100, 100),
    ]
    assert [each["currentStep"] for each in seen] == [*["Pages"] * 3, "Files"] * 4
    assert [(each["current"], each["total"], each["unit"]) for each in seen[-2:]] == [
        *((2, 2, "page"), (4, 4, "file")),
    ]


def test_a_loop_of_unknown_length_says_nothing_of_the_percentage_whatever_is_within(
    clock: Clock,
) -> None:
    count = Count()
    count.enter("Files")
    inner = count.enter("Pages", 2)
    count.advance(1, inner)
    data = data_of(count.event())
    assert (data["progress"], data["current"], data["total"]) == (None, 1, 2)
    assert data["indeterminate"] is True


def test_a_loop_of_unknown_length_within_another_adds_nothing(clock: Clock) -> None:
    count = Count()
    outer = count.enter("Files", 2)
    count.advance(1, outer)
    inner = count.enter("Pages")
    count.advance(7, inner)
    data = data_of(count.event())
    assert (data["progress"], data["current"], data["indeterminate"]) == (50, 7, True)


def test_a_step_within_a_loop_ends_with_its_item(clock: Clock) -> None:
    count = Count()
    outer = count.enter("Files", 2, "file")
    count.step("Opening", None, {"total": 10})
    count.advance(5)
    assert data_of(count.event())["progress"] == 25
    told_later(count, current=1, total=4, step="Closing")
    assert data_of(count.event())["progress"] == 12
    count.advance(1, outer)
    data = data_of(count.event())
    assert (data["progress"], data["current"], data["total"]) == (50, 1, 2)
    assert (data["currentStep"], data["unit"]) == ("Files", "file")


def test_a_loop_that_was_left_in_the_middle_is_forgotten(clock: Clock) -> None:
    count = Count()
    first = count.enter("One", 10)
    count.advance(5, first)
    count.leave(first)
    second = count.enter("Two", 10)
    count.advance(1, second)
    assert data_of(count.event())["progress"] == 10
    count.leave(first)
    assert not Count().is_nested
    assert data_of(count.event())["current"] == 1


def test_loops_in_threads_each_go_on_from_where_they_were(clock: Clock) -> None:
    count = Count()
    one, other = count.enter("One", 10), count.enter("Other", 10)
    for _ in range(4):
        count.advance(1, one)
        count.advance(1, other)
    assert data_of(count.event())["current"] == 4
    count.leave(one)
    count.advance(1, other)
    data = data_of(count.event())
    assert (data["current"], data["progress"]) == (5, 50)


def test_a_planned_step_has_its_share_within_a_loop_too(clock: Clock) -> None:
    count = Count()
    count.plan({"download": 1, "analyse": 4})
    count.enter(None, 2)
    count.enter("analyse", 4)
    count.advance(2)
    assert data_of(count.event())["progress"] == 60


def test_the_estimate_is_that_of_the_outermost_loop(clock: Clock) -> None:
    count = Count()
    outer = count.enter("Files", 10)
    estimates = []
    for _ in range(5):
        inner = count.enter("Pages", 10)
        for _ in range(10):
            clock.now_s += 0.2
            count.advance(1, inner)
            estimates.append(data_of(count.event())["estimatedTimeRemaining"])
        count.leave(inner)
        count.advance(1, outer)
    assert estimates[13] is None
    assert estimates[-1] == pytest.approx(10, abs=0.5)


@pytest.mark.parametrize("given", [{"total": -1}, {"total": "4"}, {"unit": 5}])
def test_a_loop_that_is_refused_is_not_begun(clock: Clock, given: dict[str, Any]) -> None:
    count = Count()
    with pytest.raises(InvalidEvent):
        count.enter("Files", **given)
    with pytest.raises(InvalidEvent):
        count.enter(5)  # type: ignore[arg-type]
    assert not count.is_nested
