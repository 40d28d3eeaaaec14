"""`just faults` says in time and in one line each what is not known of the promises."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.faults import __main__ as command
from tests.faults import scenario
from tests.faults.catalogue import FAULTS
from tests.faults.clock import LIBRARY
from tests.faults.scenario import OF_ALL_FORMS, Outcome, Scenario
from tests.support.needs import NODE

Capture = pytest.CaptureFixture[str]
PLAYED = [name for name, fault in FAULTS.items() if LIBRARY is not None or not fault.needs_clock]
PLAYED += OF_ALL_FORMS


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Return how many seconds a scenario takes, and by how many the clock was moved on."""
    time = SimpleNamespace(each_s=1.0, now_s=0.0)
    time.monotonic = lambda: time.now_s

    async def play(scenario: Scenario) -> Outcome:
        time.now_s += time.each_s
        return Outcome(scenario, [], [], 0, time.each_s)

    monkeypatch.setattr(command, "time", time)
    monkeypatch.setattr(command, "play", play)
    return time


def last_line(capsys: Capture) -> str:
    return capsys.readouterr().out.splitlines()[-1]


def test_all_faults_alone_and_some_mixed_are_played(
    passed: SimpleNamespace, capsys: Capture
) -> None:
    assert passed.each_s
    assert command.main([]) == 0
    assert last_line(capsys).startswith(
        f"{len(PLAYED) + command._MIXED} scenarios, 0 with a broken promise, 0 not played"
    )


def test_when_time_gets_short_mixed_ones_are_left_out_and_named(
    passed: SimpleNamespace, capsys: Capture
) -> None:
    passed.each_s = command._BUDGET_S / (len(PLAYED) - 1)
    assert command.main([]) == 0
    said = capsys.readouterr().out
    assert said.count("left out  seed ") == command._MIXED
    assert f"\n{len(PLAYED)} scenarios, 0 with a broken promise, 0 not played" in said


def test_a_machine_too_busy_for_each_fault_is_not_told_that_all_is_well(
    passed: SimpleNamespace, capsys: Capture
) -> None:
    passed.each_s = command._LIMIT_S / 4
    assert command.main([]) == 1
    said = capsys.readouterr().out
    assert f"NOT PLAYED: this machine needed {command._LIMIT_S} s" in said
    assert said.count("\n  just faults --seed 1 --fault ") == len(PLAYED) - 5


def test_one_that_broke_off_says_what_it_waited_for_and_how_to_play_it_again(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    async def play(_scenario: Scenario) -> Any:  # noqa: ANN401 - nothing
        raise TimeoutError("not so after 30 s: each viewer has seen 5 events")

    monkeypatch.setattr(command, "play", play)
    assert command.main(["--fault", "redis-killed"]) == 1
    said = capsys.readouterr().out
    assert "Replay: just faults --seed 1 --fault redis-killed\n" in said
    assert "broke off, TimeoutError('not so after 30 s: each viewer has seen 5 events')" in said


def test_what_all_forms_of_the_library_play_can_be_played_again(
    passed: SimpleNamespace, capsys: Capture
) -> None:
    assert passed.each_s
    assert command.main(["--forms"]) == 0
    said = capsys.readouterr().out
    for name in OF_ALL_FORMS:
        assert f"just faults --seed 1 --fault {name} --forms  (" in said
    assert f"\n{len(OF_ALL_FORMS)} scenarios, 0 with a broken promise" in said


def test_without_node_the_others_are_played_and_it_is_said(
    passed: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    assert passed.each_s
    monkeypatch.setattr(command, "HAS_NODE", False)
    monkeypatch.setattr(scenario, "HAS_NODE", False)
    assert command.main(["--forms", "--fault", "workers-cut-off"]) == 0
    said = capsys.readouterr().out
    assert f"left out  the workers in Node: {NODE}" in said
    assert "2 jobs (asynchronous + blocking) x" in said
