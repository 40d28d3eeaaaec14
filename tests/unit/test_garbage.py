import asyncio
import gc
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from app.upkeep.garbage import YOUNG, GarbagePolicy
from tests.support.clock import in_virtual_time
from tests.support.waiting import after


@pytest.fixture
def looks() -> Iterator[list[int]]:
    """Return the generations that were collected since."""
    seen: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "stop":
            seen.append(info["generation"])

    gc.callbacks.append(note)
    yield seen
    gc.callbacks.remove(note)


@pytest.fixture
def garbage() -> Iterator[GarbagePolicy]:
    """Return one whose policy is set, and is set back at the end."""
    policy = GarbagePolicy()
    policy.begin()
    yield policy
    policy.end()


def for_some_time(policy: GarbagePolicy, seconds: float) -> None:
    """Have the policy be followed for a while."""

    async def scenario() -> None:
        task = asyncio.create_task(policy.run())
        await after(seconds)
        task.cancel()
        await asyncio.wait({task})

    in_virtual_time(scenario())


def in_use(monkeypatch: pytest.MonkeyPatch, blocks: int) -> None:
    """Let so many blocks of memory be in use."""
    monkeypatch.setattr(
        "app.upkeep.garbage.sys", SimpleNamespace(getallocatedblocks=lambda: blocks)
    )


@pytest.mark.usefixtures("garbage")
def test_only_the_young_generation_is_collected_by_itself(looks: list[int]) -> None:
    looks.clear()
    kept: list[list[int]] = [[] for _ in range(50 * YOUNG)]
    assert len(kept) == 50 * YOUNG
    assert set(looks) == {0}
    assert 45 <= len(looks) <= 55


def test_a_collection_looks_at_nothing_that_the_start_has_loaded(garbage: GarbagePolicy) -> None:
    frozen = gc.get_freeze_count()
    assert frozen > 0
    for_some_time(garbage, 70)
    gc.collect()
    assert gc.get_freeze_count() > frozen * 0.99  # some of it has gone


def test_the_young_generation_stays_small_while_as_much_goes_as_comes(
    garbage: GarbagePolicy,
) -> None:
    async def scenario() -> None:
        task = asyncio.create_task(garbage.run())
        old: list[list[int]] = [[] for _ in range(100 * YOUNG)]
        for _ in range(100):
            young: list[list[int]] = []
            for _ in range(YOUNG // 2):
                old.pop()
                young.append([])
            kept.append(young)
            await after(0.05)
            assert len(gc.get_objects(0)) < YOUNG
        task.cancel()
        await asyncio.wait({task})

    kept: list[list[list[int]]] = []
    in_virtual_time(scenario())


def test_everything_is_collected_once_a_minute_where_that_is_little(
    garbage: GarbagePolicy, looks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    in_use(monkeypatch, garbage._loaded + 50_000)
    for seconds, times in ((59, 0), (61, 1), (121, 2)):
        looks.clear()
        for_some_time(garbage, seconds)
        assert looks.count(2) == times
        assert looks.count(0) > 19 * seconds


def test_and_never_where_that_would_take_longer(
    garbage: GarbagePolicy, looks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    in_use(monkeypatch, garbage._loaded + 50_001)
    for_some_time(garbage, 600)
    assert set(looks) == {0}


def test_nothing_is_collected_where_somebody_has_switched_that_off(
    garbage: GarbagePolicy, looks: list[int]
) -> None:
    gc.disable()
    try:
        for_some_time(garbage, 61)
        assert looks == []
    finally:
        gc.enable()


def test_the_process_is_left_as_it_was() -> None:
    before = gc.get_threshold()
    policy = GarbagePolicy()
    policy.begin()
    assert gc.get_threshold() != before
    policy.end()
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0
