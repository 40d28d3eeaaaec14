import asyncio
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from actors.reminders import Reminders
from tests.support.clock import in_virtual_time
from tests.support.loop_turns import LoopTurns
from tests.support.waiting import after, until


@given(st.lists(st.tuples(st.floats(0, 3), st.sampled_from([1.0, 5.0])), max_size=30))
def test_each_is_called_when_it_is_due(given: list[tuple[float, float]]) -> None:
    async def scenario() -> None:
        now = asyncio.get_running_loop().time
        reminders = Reminders()
        called: list[tuple[int, float]] = []
        due = {}
        for number, (pause, delay) in enumerate(given):
            await after(pause)
            due[number] = now() + delay
            reminders.add(delay, lambda number: called.append((number, now())), number)
        await after(6)
        assert len(reminders) == 0
        assert Counter(number for number, _ in called) == Counter(due.keys())
        assert all(due[number] <= at < due[number] + 0.01 for number, at in called)

    in_virtual_time(scenario())


def test_those_of_a_crowd_are_called_a_few_at_a_time() -> None:
    async def scenario() -> None:
        rounds, reminders = LoopTurns(), Reminders()
        for _ in range(20_000):
            reminders.add(5.0, rounds.note)
        await until(lambda: rounds.total == 20_000)
        assert rounds.most <= 50

    in_virtual_time(scenario())


def test_no_timer_is_kept_for_each() -> None:
    async def scenario() -> None:
        reminders, loop = Reminders(), asyncio.get_running_loop()
        for _ in range(1000):
            reminders.add(5.0, print)
        assert len(loop._scheduled) == 1  # type: ignore[attr-defined]  # asyncio's own

    in_virtual_time(scenario())
