"""Progress by counting, lines of a log, and the run that is going on, in both forms."""

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

import pytest

import jobcast
import jobcast.sync
from jobcast import InvalidEvent, JobCancelled
from jobcast._run_state import MAX_LINES
from tests.support.stores import Store
from tests.support.waiting import eventually

MANY = 100_000


@pytest.fixture
async def jobs(store: Store) -> AsyncIterator[jobcast.Jobs]:
    """Return the worker library as it is by default."""
    async with store.connect() as connected:
        yield connected


@pytest.fixture
async def run(jobs: jobcast.Jobs) -> jobcast.Run:
    """Return a run of the job ``j1``, which is running."""
    run = jobs.run(await jobs.create("report", user_id="u1", job_id="j1"))
    await run.start()
    return run


@pytest.fixture
def blocking(store: Store) -> Iterator[jobcast.sync.Run]:
    """Return the same without asyncio."""
    with store.connect_sync() as jobs:
        run = jobs.run(jobs.create("report", user_id="u1", job_id="j1"))
        run.start()
        yield run


async def events_of(store: Store) -> list[tuple[str, dict[str, Any]]]:
    """Return what the run has sent since its start."""
    log = await store.log()
    return [(fields["event"], json.loads(fields["data"])) for _, fields in log[2:]]


async def last_count(store: Store) -> object:
    return json.loads((await store.state()).get("extra", "{}")).get("current")


async def test_a_tight_loop_sends_few_events_and_the_last_value(
    run: jobcast.Run, store: Store
) -> None:
    for n in range(MANY):
        await run.progress(current=n + 1, total=MANY, unit="row")
    await run.complete()
    *counts, (end, _) = await events_of(store)
    assert end == "complete"
    assert counts[-1][1]["current"] == MANY
    assert counts[-1][1]["progress"] == 100
    assert len(counts) < MANY / 100


async def test_a_tight_loop_without_asyncio_does_the_same(
    blocking: jobcast.sync.Run, store: Store
) -> None:
    for _ in blocking.track(range(MANY), "Hashing", unit="row"):
        pass
    blocking.complete()
    (step, _), *counts, (end, _) = await events_of(store)
    assert (step, end) == ("step-change", "complete")
    last = counts[-1][1]
    assert (last["current"], last["total"], last["unit"]) == (MANY, MANY, "row")
    assert len(counts) < MANY / 100


async def test_the_last_count_is_sent_when_nothing_follows(run: jobcast.Run, store: Store) -> None:
    ids = [await run.progress(current=n, total=9) for n in (1, 2, 3)]
    assert ids[0]
    assert ids[1:] == ["", ""]

    async def is_there() -> bool:
        return await last_count(store) == 3

    await eventually(is_there)


async def test_the_last_count_is_sent_when_nothing_follows_without_asyncio(
    blocking: jobcast.sync.Run, store: Store
) -> None:
    for n in (1, 2, 3):
        blocking.progress(current=n, total=9)

    async def is_there() -> bool:
        return await last_count(store) == 3

    await eventually(is_there)


async def test_a_count_that_waits_comes_before_any_other_event(
    run: jobcast.Run, store: Store
) -> None:
    calls: list[Callable[[], Awaitable[str]]] = [
        *(lambda: run.emit("note", {}), lambda: run.step("Next")),
    ]
    for n, call in enumerate(calls):
        await run.progress(current=n, total=9)
        await run.progress(current=n + 0.5, total=9)
        await call()
    data = [data.get("current") for name, data in await events_of(store)]
    assert data[data.index(0.5) + 1] is None
    assert data[data.index(1.5) + 1] is None


async def test_without_a_pace_each_progress_is_written_and_returns_its_entry(
    store: Store,
) -> None:
    async with store.connect(progress_per_s=None) as jobs:
        run = jobs.run(await jobs.create("report", user_id="u1", job_id="j1"))
        await run.start()
        ids = [await run.progress(n, current=n, total=99) for n in range(20)]
        ids += [await run.progress(current=n, total=99) for n in range(20, 40)]
        log = await store.log()
        assert [entry_id for entry_id, _ in log[2:]] == ids
        assert json.loads(log[-1][1]["data"])["current"] == 39
        with pytest.raises(InvalidEvent, match="percentage"):
            await run.progress()


@pytest.mark.parametrize("connect", [jobcast.connect, jobcast.sync.connect])
@pytest.mark.parametrize("pace", [0, -1, 1001, True, "20", float("nan"), float("inf")])
def test_a_pace_that_none_can_be_is_refused(connect: Callable[..., object], pace: object) -> None:
    with pytest.raises(InvalidEvent, match="progress_per_s"):
        connect("redis://127.0.0.1:1", progress_per_s=pace)


SLOW = 0.01
"""Events a second: the next one is due after any test."""


@pytest.fixture
async def slow(store: Store) -> AsyncIterator[jobcast.Run]:
    """Return a run of the job ``j1`` whose next progress is due after any test."""
    async with store.connect(progress_per_s=SLOW) as jobs:
        run = jobs.run(await jobs.create("report", user_id="u1", job_id="j1"))
        await run.start()
        yield run


async def test_a_percentage_that_waits_is_sent_before_any_other_event_and_the_newest_of_them(
    slow: jobcast.Run, store: Store
) -> None:
    assert await slow.progress(10, "One")
    assert [await slow.progress(n, f"Page {n}", eta=n) for n in (20, 40, 30)] == ["", "", ""]
    await slow.emit("note", {})
    await slow.progress(50, phase="draft")
    await slow.step("Next")
    await slow.progress(60)
    await slow.progress(current=1, total=10)
    await slow.complete()
    events = await events_of(store)
    assert [(name, data.get("progress"), data.get("currentStep")) for name, data in events] == [
        ("progress-update", 10, "One"),
        ("progress-update", 40, "Page 30"),  # the highest, as the script would have made it
        ("note", None, None),
        ("progress-update", 50, None),
        ("step-change", 50, "Next"),
        ("progress-update", 60, "Next"),
        ("complete", None, None),
    ]
    assert events[3][1]["phase"] == "draft"
    assert events[5][1]["current"] == 1


async def test_a_percentage_that_waits_is_sent_as_the_jobs_are_closed_without_asyncio(
    store: Store,
) -> None:
    with store.connect_sync(progress_per_s=SLOW) as jobs:
        run = jobs.run(jobs.create("report", user_id="u1", job_id="j1"))
        run.start()
        for n in (10, 20, 30):
            run.progress(n)
    assert (await store.state())["progress"] == "30"


async def test_a_percentage_that_waits_is_sent_as_the_jobs_are_closed(store: Store) -> None:
    async with store.connect(progress_per_s=SLOW) as jobs:
        run = jobs.run(await jobs.create("report", user_id="u1", job_id="j1"))
        await run.start()
        for n in (10, 20, 30):
            await run.progress(n)
    assert (await store.state())["progress"] == "30"


async def test_a_tight_loop_of_percentages_sends_few_and_the_last_one(
    run: jobcast.Run, store: Store
) -> None:
    for n in range(MANY):
        await run.progress(100 * (n + 1) // MANY, "Writing", row=n)

    async def is_there() -> bool:
        extra = (await store.state()).get("extra", "{}")
        return bool(json.loads(extra).get("row") == MANY - 1)

    await eventually(is_there)
    assert len(await events_of(store)) < MANY / 100


async def test_a_tight_loop_of_percentages_without_asyncio_does_the_same(
    blocking: jobcast.sync.Run, store: Store
) -> None:
    for n in range(MANY):
        blocking.progress(100 * (n + 1) // MANY, "Writing", row=n)

    async def is_there() -> bool:
        extra = (await store.state()).get("extra", "{}")
        return bool(json.loads(extra).get("row") == MANY - 1)

    await eventually(is_there)
    assert len(await events_of(store)) < MANY / 100


async def test_a_tight_loop_at_a_slow_pace_keeps_no_other_task_from_running(
    store: Store,
) -> None:
    async with store.connect(progress_per_s=0.01) as jobs:
        run = jobs.run(await jobs.create("report", user_id="u1"))
        await run.start()
        await run.progress(0)
        other = asyncio.create_task(turns(3))
        for _ in range(MANY * 10):
            await run.progress(1)
            if other.done():
                break
        assert other.done(), "neither would the lease be renewed"


async def turns(count: int) -> None:
    """Take so many turns of the event loop."""
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize("form", ["asyncio", "blocking"])
async def test_a_cancel_request_ends_a_tight_loop_of_percentages(store: Store, form: str) -> None:
    def block() -> None:
        with store.connect_sync() as jobs, jobs.run("j1") as run:
            while True:
                run.progress(50)

    async with store.connect() as jobs:
        await jobs.create("report", user_id="u1", job_id="j1")
        await cancel_when_running(store, block if form == "blocking" else jobs)
    assert (await store.state())["error"] == "Cancelled"


async def cancel_when_running(store: Store, work: Callable[[], None] | jobcast.Jobs) -> None:
    async def report() -> None:
        assert isinstance(work, jobcast.Jobs)
        async with work.run("j1") as run:
            while True:
                await run.progress(50)

    async def is_running() -> bool:
        return (await store.state())["status"] == "running"

    working = report() if isinstance(work, jobcast.Jobs) else asyncio.to_thread(work)
    task = asyncio.create_task(working)
    await eventually(is_running)
    await store.cancel()
    await task


async def test_progress_that_the_job_has_no_room_for_is_refused_to_nobody_else(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    async with store.connect(max_event_bytes=1024) as jobs:
        await jobs.create("report", user_id="u1", job_id="j1")
    async with store.connect(progress_per_s=SLOW) as jobs, jobs.run("j1") as run:
        with pytest.raises(InvalidEvent, match="bytes"):
            await run.progress(10, "x" * 2000)
        await run.progress(20, "x" * 2000)
        await run.emit("note", {})
    assert [name for name, _ in await events_of(store)] == ["note", "complete"]
    assert "progress was left out" in caplog.text


async def numbers() -> AsyncIterator[int]:
    for n in range(5):
        yield n


async def test_track_goes_through_what_is_given_and_counts(run: jobcast.Run, store: Store) -> None:
    assert [n async for n in run.track(range(5), "Hashing", unit="file")] == list(range(5))
    events = await events_of(store)
    assert (events[0][0], events[0][1]["currentStep"]) == ("step-change", "Hashing")
    last = events[-1][1]
    assert (last["current"], last["total"], last["progress"]) == (5, 5, 100)
    assert [n async for n in run.track(numbers())] == list(range(5))
    last = (await events_of(store))[-1][1]
    assert (last["current"], last["indeterminate"]) == (5, True)
    assert [n async for n in run.track(numbers(), total=10)] == list(range(5))
    assert (await events_of(store))[-1][1]["total"] == 10


async def progress_of(store: Store) -> list[tuple[int, object]]:
    """Return percentage and step of each event that was sent."""
    events = await events_of(store)
    return [(data["progress"], data["currentStep"]) for _, data in events if "progress" in data]


NESTED = [
    *((0, "Files"), (0, "Files")),
    *((0, "Pages"), (0, "Pages"), (25, "Pages"), (50, "Pages"), (50, "Files")),
    *((50, "Pages"), (50, "Pages"), (75, "Pages"), (100, "Pages"), (100, "Files")),
]


async def test_a_loop_within_a_loop_moves_the_outer_one_on(store: Store) -> None:
    async with store.connect(progress_per_s=None) as jobs:
        await jobs.create("report", user_id="u1", job_id="j1")
        async with jobs.run("j1") as run:
            async for _ in run.track(range(2), "Files"):
                async for _ in run.track(range(2), "Pages"):
                    pass
    assert await progress_of(store) == NESTED


async def test_a_loop_within_a_loop_moves_the_outer_one_on_without_asyncio(
    store: Store,
) -> None:
    with store.connect_sync(progress_per_s=None) as jobs:
        jobs.create("report", user_id="u1", job_id="j1")
        with jobs.run("j1") as run:
            for _ in run.track(range(2), "Files"):
                for _ in run.track(range(2), "Pages"):
                    pass
    assert await progress_of(store) == NESTED


async def test_a_step_within_a_loop_moves_the_outer_one_on(store: Store) -> None:
    async with store.connect(progress_per_s=None) as jobs:
        await jobs.create("report", user_id="u1", job_id="j1")
        async with jobs.run("j1") as run:
            async for _ in run.track(range(2), "Files"):
                await run.step("Opening", total=4)
                await run.advance(2)
    assert await progress_of(store) == [
        *((0, "Files"), (0, "Files")),
        *((0, "Opening"), (25, "Opening"), (50, "Files")),
        *((50, "Opening"), (75, "Opening"), (100, "Files")),
    ]


async def test_a_loop_that_is_left_is_not_around_the_next(store: Store) -> None:
    async with store.connect(progress_per_s=None) as jobs:
        await jobs.create("report", user_id="u1", job_id="j1")
        async with jobs.run("j1") as run:
            async for n in run.track(range(10), "Looking"):
                if n == 1:
                    break
            with suppress(ValueError):
                async for _ in run.track(range(10), "Looking again"):
                    raise ValueError
            async for n in run.track(range(2), "Working"):
                assert (await progress_of(store))[-1] == ([10, 50][n], "Working")
    assert (await progress_of(store))[-1] == (100, "Working")


async def test_a_plan_is_followed(run: jobcast.Run, store: Store) -> None:
    run.plan({"download": 1, "analyse": 4})
    await run.step("download")
    await run.step("analyse", total=4, unit="page")
    await run.advance(2)
    *_, (_, step), (_, count) = await events_of(store)
    assert (step["progress"], step["stepIndex"], step["stepCount"]) == (20, 2, 2)
    assert (count["progress"], count["current"], count["unit"]) == (60, 2, "page")


async def test_a_cancel_request_ends_a_tight_loop(run: jobcast.Run, store: Store) -> None:
    await store.cancel()
    with pytest.raises(JobCancelled):
        async for _ in run.track(range(MANY)):
            pass
    await run.fail("Cancelled")


async def test_lines_are_sent_in_order(run: jobcast.Run, store: Store) -> None:
    await run.log("one")
    await run.log("two", "error", where="here")
    assert await events_of(store) == [
        ("log", {"text": "one", "level": "info"}),
        ("log", {"text": "two", "level": "error", "where": "here"}),
    ]
    with pytest.raises(InvalidEvent, match="level"):
        await run.log("three", "loud")


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("of.a.test")
    logger.setLevel(logging.DEBUG)
    yield logger
    logger.handlers.clear()


async def test_a_handler_sends_what_is_logged_from_any_thread_before_the_end(
    run: jobcast.Run, store: Store, logger: logging.Logger
) -> None:
    logger.addHandler(run.log_handler())
    logger.warning("one %s", 1)
    await asyncio.to_thread(logger.critical, "two")
    logging.getLogger("jobcast").warning("not this")
    logger.debug("three")
    await run.complete()
    *lines, _ = await events_of(store)
    assert [(line["text"], line["level"]) for _, line in lines] == [
        *(("one 1", "warning"), ("two", "error"), ("three", "debug")),
    ]
    assert lines[0][1]["logger"] == "of.a.test"
    assert lines[0][1]["time"].endswith("Z")


async def test_a_line_is_sent_when_nothing_follows(
    run: jobcast.Run, store: Store, logger: logging.Logger
) -> None:
    async def is_there() -> bool:
        return bool(await events_of(store))

    logger.addHandler(run.log_handler(logging.INFO))
    logger.debug("too little")
    thread = threading.Thread(target=logger.info, args=["from a thread"])
    thread.start()
    await eventually(is_there)
    thread.join()
    assert (await events_of(store))[0][1]["text"] == "from a thread"


async def test_a_handler_without_asyncio_sends_too(
    blocking: jobcast.sync.Run, store: Store, logger: logging.Logger
) -> None:
    logger.addHandler(blocking.log_handler())
    logger.info("one")
    blocking.complete()
    *lines, (end, _) = await events_of(store)
    assert [line["text"] for _, line in lines] == ["one"]
    assert end == "complete"


async def test_the_end_waits_for_lines_that_are_being_sent(
    run: jobcast.Run, store: Store, logger: logging.Logger
) -> None:
    async def is_there() -> bool:
        return bool(await events_of(store))

    logger.addHandler(run.log_handler())
    for n in range(MAX_LINES):
        logger.info("%d", n)
    await eventually(is_there)
    await run.complete()
    *lines, (end, _) = await events_of(store)
    assert end == "complete"
    assert [line["text"] for _, line in lines] == [str(n) for n in range(MAX_LINES)]


async def test_the_end_without_asyncio_waits_for_lines_that_are_being_sent(
    blocking: jobcast.sync.Run, store: Store, logger: logging.Logger
) -> None:
    async def is_there() -> bool:
        return bool(await events_of(store))

    logger.addHandler(blocking.log_handler())
    for n in range(MAX_LINES):
        logger.info("%d", n)
    await eventually(is_there)
    blocking.complete()
    *lines, (end, _) = await events_of(store)
    assert end == "complete"
    assert [line["text"] for _, line in lines] == [str(n) for n in range(MAX_LINES)]


async def test_a_line_that_the_job_has_no_room_for_is_left_out(
    store: Store, logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    async with store.connect(max_event_bytes=1024) as jobs:
        run = jobs.run(await jobs.create("report", user_id="u1", job_id="j1"))
        async with run:
            logger.addHandler(run.log_handler())
            logger.info("x" * 2000)
            logger.info("short")
            await run.progress(50)
    assert [name for name, _ in await events_of(store)] == [
        *("log", "progress-update", "complete"),
    ]
    assert "log was left out" in caplog.text


def test_a_line_that_the_job_has_no_room_for_is_left_out_without_asyncio(
    store: Store, logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        store.connect_sync(max_event_bytes=1024) as jobs,
        jobs.run(jobs.create("report", user_id="u1", job_id="j1")) as run,
    ):
        logger.addHandler(run.log_handler())
        for _ in range(50):
            logger.info("x" * 2000)
            run.progress(50)
    assert "log was left out" in caplog.text


async def test_the_run_that_goes_on_is_known(jobs: jobcast.Jobs, run: jobcast.Run) -> None:
    assert jobcast.sync.current_run() is None

    async def work() -> None:
        other = jobs.run(await jobs.create("report", user_id="u1"))
        async with other:
            assert jobcast.current_run() is other
        assert jobcast.current_run() is None

    await asyncio.create_task(work())


def test_the_blocking_run_that_goes_on_is_known(blocking: jobcast.sync.Run) -> None:
    thread = threading.Thread(target=blocking.start)
    thread.start()
    thread.join()
    blocking.start()
    assert jobcast.sync.current_run() is blocking
    of_either_form: object = jobcast.current_run()
    assert of_either_form is blocking
    blocking.complete()
    assert jobcast.sync.current_run() is None


class Unsized:
    """Items with a length that can't be told, as those of an array without dimensions."""

    def __len__(self) -> int:
        raise TypeError("len() of unsized object")

    def __iter__(self) -> Iterator[int]:
        return iter([1, 2])


@pytest.mark.parametrize("items", [Unsized(), range(10**20)], ids=["unsized", "too long"])
async def test_items_whose_length_can_t_be_told_are_counted(
    store: Store, items: Iterable[int]
) -> None:
    async with store.connect(progress_per_s=None) as jobs:
        await jobs.create("report", user_id="u1", job_id="j1")
        async with jobs.run("j1") as run:
            async for item in run.track(items):
                if item == 2:
                    break
    assert (await store.events())[-2][1]["indeterminate"]


@pytest.mark.parametrize("items", [Unsized(), range(10**20)], ids=["unsized", "too long"])
async def test_items_whose_length_can_t_be_told_are_counted_without_asyncio(
    store: Store, items: Iterable[int]
) -> None:
    with store.connect_sync(progress_per_s=None) as jobs:
        jobs.create("report", user_id="u1", job_id="j1")
        with jobs.run("j1") as run:
            assert next(item for item in run.track(items) if item) == 1
    assert (await store.events())[-2][1]["indeterminate"]
