"""The oracle finds what is broken: each lie of a proxy between the viewers and the service."""

import asyncio
from collections.abc import Callable

import pytest
from redis.asyncio import Redis

from tests.faults.event_source import Page
from tests.faults.history import PROGRESS, STEP, TERMINAL, read_truth
from tests.faults.oracle import truth_violations, violations
from tests.faults.relay import Lie, Relay, honest, name_of
from tests.faults.workload import Plan, Work, Worker
from tests.service import Service
from tests.waiting import until

HASTE = 0.01
PLAN = Plan("oracle", attempts=2, events=25, pause_s=0.005)
Watched = Callable[..., "asyncio.Future[list[str]]"]


@pytest.fixture
def watched(service: Service, redis_url: str, redis_client: Redis) -> Watched:
    """Return what has a job watched through a relay, and returns what the oracle says."""

    async def watch(
        lie: Lie = honest, *, within_s: float = 10, cut_after: int = 1000, refuses: bool = False
    ) -> list[str]:
        work = Work(PLAN)
        worker = Worker(redis_url, redis_client, work)
        await worker.create()
        async with Relay(service.url, lie, cut_after=cut_after, refuses=refuses).open() as between:
            pages = [
                Page(f"page {number}", between.url, work.job_id, lambda: work.end, haste=HASTE)
                for number in range(2)
            ]
            for page in pages:
                page.open()
            running = asyncio.ensure_future(worker.run())
            await until(lambda: len(work.confirmed) >= 60)
            worker.finish()
            await running
            await asyncio.gather(*(page.closed(within_s) for page in pages))
        truth = await read_truth(redis_client, work.job_id, list(work.confirmed))
        assert truth_violations(truth) == []
        return [text for page in pages for text in violations(page.history, truth)]

    return lambda *args, **options: asyncio.ensure_future(watch(*args, **options))


def once(is_it: Callable[[bytes], bool], lie: Lie) -> Lie:
    """Lie about the third block of a kind only."""
    count = iter(range(1000))

    def tell(block: bytes) -> list[bytes]:
        return lie(block) if is_it(block) and next(count) == 3 else [block]

    return tell


def late(name: str) -> Lie:
    """Send each event of that name after the one that follows it."""
    held: list[bytes] = []

    def tell(block: bytes) -> list[bytes]:
        if name_of(block) == name and not held:
            held.append(block)
            return []
        sent, held[:] = [block, *held], []
        return sent

    return tell


def is_note(block: bytes) -> bool:
    return name_of(block) == "note"


def without_id(block: bytes) -> list[bytes]:
    return [b"".join(line for line in block.splitlines(keepends=True) if line[:3] != b"id:")]


@pytest.mark.parametrize("cut_after", [1000, 5])
async def test_an_honest_relay_breaks_no_promise(watched: Watched, cut_after: int) -> None:
    assert await watched(cut_after=cut_after) == []


async def test_a_lost_terminal_is_found(watched: Watched) -> None:
    found = await watched(lambda b: [] if name_of(b) in TERMINAL else [b], within_s=1)
    assert any("as the end of the job" in text for text in found)


async def test_a_duplicate_is_found(watched: Watched) -> None:
    found = await watched(once(is_note, lambda block: [block, block]))
    assert len(found) == 1
    assert "was shown note" in found[0]


async def test_a_swallowed_event_is_found(watched: Watched) -> None:
    found = await watched(once(is_note, lambda _block: []))
    assert len(found) == 1
    assert "was never shown note" in found[0]


async def test_a_swallowed_id_is_found(watched: Watched) -> None:
    assert any("was shown note" in text for text in await watched(once(is_note, without_id)))


async def test_a_503_to_a_viewer_that_comes_back_is_found(watched: Watched) -> None:
    found = await watched(refuses=True, cut_after=20, within_s=1)
    assert any("was refused for good with 503" in text for text in found)


async def test_a_reordered_step_is_found(watched: Watched) -> None:
    assert any("was shown step-change" in text for text in await watched(late(STEP)))


async def test_a_progress_that_was_not_the_newest_before_the_end_is_found(watched: Watched) -> None:
    found = await watched(lambda block: [] if name_of(block) == PROGRESS else [block])
    assert any("without the newest progress" in text for text in found)


async def test_an_event_that_is_not_what_the_log_says_is_found(watched: Watched) -> None:
    found = await watched(once(is_note, lambda block: [block.replace(b'"n":', b'"n":9')]))
    assert any("which the log does not say" in text for text in found)
