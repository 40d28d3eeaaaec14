import asyncio
import contextlib
import gc
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from app.garbage import Garbage
from tests.waiting import until


@pytest.fixture
def looks() -> Iterator[list[int]]:
    """Return the generations that were looked at since."""
    seen: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "stop":
            seen.append(info["generation"])

    gc.callbacks.append(note)
    yield seen
    gc.callbacks.remove(note)


def after_looks(number: int) -> Garbage:
    """Return one that knows of so many looks at the young, long ago."""
    garbage = Garbage(lambda: 0)
    for _ in range(number):
        garbage._note("stop", {"generation": 0})
    garbage._lately = 0
    return garbage


async def test_only_the_young_are_looked_at_by_themselves(looks: list[int]) -> None:
    before = gc.get_threshold()
    task = asyncio.create_task(Garbage(lambda: 0).run())
    await until(lambda: gc.get_threshold() != before)
    looks.clear()
    kept: list[list[int]] = [[] for _ in range(500_000)]
    assert len(kept) == 500_000
    assert set(looks) == {0}
    assert len(looks) >= 20
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0


def test_all_is_looked_at_when_much_has_stayed(looks: list[int]) -> None:
    after_looks(9).look_if_due(time.monotonic())
    assert looks == []
    after_looks(10).look_if_due(time.monotonic())
    assert looks == [2]


def test_a_rush_is_waited_for_unless_it_takes_too_long(looks: list[int]) -> None:
    for number, expected in ((100, []), (300, [2])):
        garbage = after_looks(number)
        garbage._lately = number
        garbage.look_if_due(time.monotonic())
        assert looks == expected
    garbage = after_looks(100)
    garbage._lately = 100
    for _ in range(2):  # the second time it is over
        looks.clear()
        garbage.look_if_due(time.monotonic())
    assert looks == [2]


def test_looking_at_all_takes_a_thousandth_of_the_time(
    looks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    garbage = after_looks(10)
    monkeypatch.setattr("app.garbage.time", SimpleNamespace(monotonic=lambda: 1000.25))
    garbage.look_if_due(1000)  # a quarter of a second, by that clock
    assert looks == [2]
    for now, expected in ((1249, []), (1251, [2])):
        looks.clear()
        garbage._stayed = 10
        garbage.look_if_due(now)
        assert looks == expected


async def test_what_a_rush_of_viewers_brings_is_not_looked_at_until_all_is() -> None:
    came, kept = 0, list[list[int]]()
    garbage = Garbage(lambda: came)
    task = asyncio.create_task(garbage.run())
    await until(lambda: gc.get_freeze_count() > 0)
    try:
        for viewers, spared in ((49, False), (50, True), (0, False), (500, True)):
            frozen = gc.get_freeze_count()
            came += viewers
            kept.append([])
            gc.collect(0)
            assert (gc.get_freeze_count() > frozen) is spared
        garbage._stayed = 300
        garbage.look_if_due(time.monotonic())
        assert gc.get_freeze_count() == 0
    finally:
        task.cancel()
        await asyncio.wait({task})
