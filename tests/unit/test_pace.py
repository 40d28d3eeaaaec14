import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog.pace import Arrivals, Deliveries, Pace
from tests.support.clock import in_virtual_time
from tests.support.loop_turns import LoopTurns
from tests.support.waiting import until


class Ten(Pace):
    most = 10


@pytest.fixture(autouse=True)
def _no_turn_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventlog.pace.perf_counter", lambda: 0.0)


async def test_so_much_is_done_in_a_turn_and_the_rest_in_the_next_ones() -> None:
    rounds, pace = LoopTurns(), Ten.here()
    for _ in range(1000):
        pace.do(rounds.note)
    assert rounds.total == 10
    await until(lambda: rounds.total == 1000)
    assert rounds.most == 10


async def test_it_is_done_at_once_when_nothing_waits() -> None:
    pace = Ten.here()
    done: list[int] = []
    for turn in range(1, 51):
        for number in range(10):
            pace.do(done.append, number)
        assert len(done) == 10 * turn
        assert pace.left == 0
        for _ in range(2):
            await asyncio.sleep(0)


@given(st.lists(st.integers(0, 40), max_size=20))
def test_it_is_done_in_the_order_in_which_it_came(sizes: list[int]) -> None:
    async def scenario() -> None:
        pace = Ten.here()
        done: list[tuple[int, int]] = []
        expected = []
        for turn, size in enumerate(sizes):
            for number in range(size):
                expected.append((turn, number))
                pace.do(done.append, (turn, number))
            await asyncio.sleep(0)
        await until(lambda: len(done) == len(expected))
        assert done == expected

    in_virtual_time(scenario())


async def test_what_fails_keeps_nothing_else_from_being_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failures: list[Any] = []
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "call_exception_handler", failures.append)
    rounds, pace = LoopTurns(), Ten.here()

    def fail() -> None:
        raise LookupError

    for number in range(200):
        pace.do(fail if number in {15, 100} else rounds.note)
    await until(lambda: rounds.total == 198)
    assert rounds.most <= 10
    assert len(failures) == 2


async def test_an_idle_pace_leaves_the_loop_alone() -> None:
    rounds, pace = LoopTurns(), Ten.here()
    pace.do(rounds.note)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not pace._counting
    assert pace.left == 10


async def test_what_is_of_another_kind_does_not_wait() -> None:
    done: list[int] = []
    for number in range(100):
        Arrivals.here().do(done.append, number)
    Deliveries.here().do(done.append, -1)
    assert done[-1] == -1
    await until(lambda: len(done) == 101)


def test_a_loop_has_its_own() -> None:
    async def here() -> Pace:
        return Ten.here()

    assert asyncio.run(here()) is not asyncio.run(here())


@pytest.mark.parametrize(("turn_s", "least", "most"), [(0.02, 2, 2), (0.006, 10, 10), (0, 10, 10)])
async def test_less_is_done_in_a_turn_while_turns_take_long(
    monkeypatch: pytest.MonkeyPatch, turn_s: float, least: int, most: int
) -> None:
    now = 0.0

    def work() -> None:
        nonlocal now
        now += turn_s / pace._share
        rounds.note()

    monkeypatch.setattr("eventlog.pace.perf_counter", lambda: now)
    pace = Ten.here()
    for _ in range(100):
        pace.do(lambda: None)
    await until(lambda: pace.left == 10)
    rounds = LoopTurns()
    for _ in range(500):
        pace.do(work)
    await until(lambda: rounds.total == 500)
    assert least <= pace._share <= most
    slow = turn_s
    turn_s = 0
    for _ in range(500):
        pace.do(work)
    await until(lambda: rounds.total == 1000)
    assert pace._share == 10, slow


def test_a_turn_is_waited_for_in_order_and_not_taken_by_who_was_cancelled() -> None:
    async def scenario() -> None:
        pace, done = Ten.here(), list[int]()

        async def act(number: int) -> None:
            await pace.turn()
            done.append(number)

        tasks = [asyncio.create_task(act(number)) for number in range(30)]
        await asyncio.sleep(0)
        tasks[-1].cancel()
        await asyncio.sleep(0)
        assert len(done) <= 2 * Ten.most
        await asyncio.gather(*tasks, return_exceptions=True)
        assert done == list(range(29))

    in_virtual_time(scenario())
