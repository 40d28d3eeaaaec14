"""Progress by counting, lines of a log, and the run that is going on, in both forms."""

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from redis.asyncio import Redis

import jobcast
import jobcast.sync
from jobcast import InvalidEvent, JobCancelled
from jobcast._run_state import MAX_LINES
from tests.support.stored import cancel, log_of, state_of
from tests.support.waiting import eventually

MANY = 100_000


@pytest.fixture
async def run(jobs: jobcast.Jobs) -> jobcast.Run:
    """Return a run of the job ``j1``, which is running."""
    run = jobs.run(await jobs.create("report", user_id="u1", job_id="j1"))
    await run.start()
    return run


@pytest.fixture
def blocking(redis_url: str) -> Iterator[jobcast.sync.Run]:
    """Return the same without asyncio."""
    with jobcast.sync.connect(redis_url) as jobs:
        run = jobs.run(jobs.create("report", user_id="u1", job_id="j1"))
        run.start()
        yield run


async def events_of(redis: Redis) -> list[tuple[str, dict[str, Any]]]:
    """Return what the run has sent since its start."""
    log = await log_of(redis, "j1")
    return [(fields["event"], json.loads(fields["data"])) for _, fields in log[2:]]


async def last_count(redis: Redis) -> object:
    return json.loads((await state_of(redis, "j1")).get("extra", "{}")).get("current")


async def test_a_tight_loop_sends_few_events_and_the_last_value(
    run: jobcast.Run, redis_client: Redis
) -> None:
    for n in range(MANY):
        await run.progress(current=n + 1, total=MANY, unit="row")
    await run.complete()
    *counts, (end, _) = await events_of(redis_client)
    assert end == "complete"
    assert counts[-1][1]["current"] == MANY
    assert counts[-1][1]["progress"] == 100
    assert len(counts) < MANY / 100


def test_a_tight_loop_without_asyncio_does_the_same(
    blocking: jobcast.sync.Run, redis_url: str
) -> None:
    for _ in blocking.track(range(MANY), "Hashing", unit="row"):
        pass
    blocking.complete()

    async def check() -> None:
        async with Redis.from_url(redis_url, decode_responses=True) as redis:
            (step, _), *counts, (end, _) = await events_of(redis)
            assert (step, end) == ("step-change", "complete")
            last = counts[-1][1]
            assert (last["current"], last["total"], last["unit"]) == (MANY, MANY, "row")
            assert len(counts) < MANY / 100

    asyncio.run(check())


async def test_the_last_count_is_sent_when_nothing_follows(
    run: jobcast.Run, redis_client: Redis
) -> None:
    ids = [await run.progress(current=n, total=9) for n in (1, 2, 3)]
    assert ids[0]
    assert ids[1:] == ["", ""]

    async def is_there() -> bool:
        return await last_count(redis_client) == 3

    await eventually(is_there)


async def test_the_last_count_is_sent_when_nothing_follows_without_asyncio(
    blocking: jobcast.sync.Run, redis_client: Redis
) -> None:
    for n in (1, 2, 3):
        blocking.progress(current=n, total=9)

    async def is_there() -> bool:
        return await last_count(redis_client) == 3

    await eventually(is_there)


async def test_a_count_that_waits_comes_before_any_other_event(
    run: jobcast.Run, redis_client: Redis
) -> None:
    calls: list[Callable[[], Awaitable[str]]] = [
        *(lambda: run.emit("note", {}), lambda: run.step("Next"), lambda: run.progress(90)),
    ]
    for n, call in enumerate(calls):
        await run.progress(current=n, total=9)
        await run.progress(current=n + 0.5, total=9)
        await call()
    names = [name for name, _ in await events_of(redis_client)]
    assert names[-1] == "progress-update"
    data = [data.get("current") for name, data in await events_of(redis_client)]
    assert data[data.index(0.5) + 1] is None
    assert 1.5 in data
    assert 2.5 in data


async def test_a_percentage_is_always_written_and_returns_its_entry(
    run: jobcast.Run, redis_client: Redis
) -> None:
    ids = [await run.progress(n, current=n, total=99) for n in range(20)]
    log = await log_of(redis_client, "j1")
    assert [entry_id for entry_id, _ in log[2:]] == ids
    assert json.loads(log[-1][1]["data"])["current"] == 19
    with pytest.raises(InvalidEvent, match="percentage"):
        await run.progress()


async def numbers() -> AsyncIterator[int]:
    for n in range(5):
        yield n


async def test_track_goes_through_what_is_given_and_counts(
    run: jobcast.Run, redis_client: Redis
) -> None:
    assert [n async for n in run.track(range(5), "Hashing", unit="file")] == list(range(5))
    events = await events_of(redis_client)
    assert (events[0][0], events[0][1]["currentStep"]) == ("step-change", "Hashing")
    last = events[-1][1]
    assert (last["current"], last["total"], last["progress"]) == (5, 5, 100)
    assert [n async for n in run.track(numbers())] == list(range(5))
    last = (await events_of(redis_client))[-1][1]
    assert (last["current"], last["indeterminate"]) == (5, True)
    assert [n async for n in run.track(numbers(), total=10)] == list(range(5))
    assert (await events_of(redis_client))[-1][1]["total"] == 10


async def test_a_plan_is_followed(run: jobcast.Run, redis_client: Redis) -> None:
    run.plan({"download": 1, "analyse": 4})
    await run.step("download")
    await run.step("analyse", total=4, unit="page")
    await run.advance(2)
    *_, (_, step), (_, count) = await events_of(redis_client)
    assert (step["progress"], step["stepIndex"], step["stepCount"]) == (20, 2, 2)
    assert (count["progress"], count["current"], count["unit"]) == (60, 2, "page")


async def test_a_cancel_request_ends_a_tight_loop(run: jobcast.Run, redis_client: Redis) -> None:
    await cancel(redis_client, "j1")
    with pytest.raises(JobCancelled):
        async for _ in run.track(range(MANY)):
            pass
    await run.fail("Cancelled")


async def test_lines_are_sent_in_order(run: jobcast.Run, redis_client: Redis) -> None:
    await run.log("one")
    await run.log("two", "error", where="here")
    assert await events_of(redis_client) == [
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
    run: jobcast.Run, redis_client: Redis, logger: logging.Logger
) -> None:
    logger.addHandler(run.log_handler())
    logger.warning("one %s", 1)
    await asyncio.to_thread(logger.critical, "two")
    logging.getLogger("jobcast").warning("not this")
    logger.debug("three")
    await run.complete()
    *lines, _ = await events_of(redis_client)
    assert [(line["text"], line["level"]) for _, line in lines] == [
        *(("one 1", "warning"), ("two", "error"), ("three", "debug")),
    ]
    assert lines[0][1]["logger"] == "of.a.test"
    assert lines[0][1]["time"].endswith("Z")


async def test_a_line_is_sent_when_nothing_follows(
    run: jobcast.Run, redis_client: Redis, logger: logging.Logger
) -> None:
    async def is_there() -> bool:
        return bool(await events_of(redis_client))

    logger.addHandler(run.log_handler(logging.INFO))
    logger.debug("too little")
    thread = threading.Thread(target=logger.info, args=["from a thread"])
    thread.start()
    await eventually(is_there)
    thread.join()
    assert (await events_of(redis_client))[0][1]["text"] == "from a thread"


async def test_a_handler_without_asyncio_sends_too(
    blocking: jobcast.sync.Run, redis_client: Redis, logger: logging.Logger
) -> None:
    logger.addHandler(blocking.log_handler())
    logger.info("one")
    blocking.complete()
    *lines, (end, _) = await events_of(redis_client)
    assert [line["text"] for _, line in lines] == ["one"]
    assert end == "complete"


async def test_the_end_waits_for_lines_that_are_being_sent(
    run: jobcast.Run, redis_client: Redis, logger: logging.Logger
) -> None:
    async def is_there() -> bool:
        return bool(await events_of(redis_client))

    logger.addHandler(run.log_handler())
    for n in range(MAX_LINES):
        logger.info("%d", n)
    await eventually(is_there)
    await run.complete()
    *lines, (end, _) = await events_of(redis_client)
    assert end == "complete"
    assert [line["text"] for _, line in lines] == [str(n) for n in range(MAX_LINES)]


async def test_the_end_without_asyncio_waits_for_lines_that_are_being_sent(
    blocking: jobcast.sync.Run, redis_client: Redis, logger: logging.Logger
) -> None:
    async def is_there() -> bool:
        return bool(await events_of(redis_client))

    logger.addHandler(blocking.log_handler())
    for n in range(MAX_LINES):
        logger.info("%d", n)
    await eventually(is_there)
    blocking.complete()
    *lines, (end, _) = await events_of(redis_client)
    assert end == "complete"
    assert [line["text"] for _, line in lines] == [str(n) for n in range(MAX_LINES)]


async def test_a_line_that_the_job_has_no_room_for_is_left_out(
    redis_url: str, redis_client: Redis, logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    async with jobcast.connect(redis_url, max_event_bytes=1024) as jobs:
        run = jobs.run(await jobs.create("report", user_id="u1", job_id="j1"))
        async with run:
            logger.addHandler(run.log_handler())
            logger.info("x" * 2000)
            logger.info("short")
            await run.progress(50)
    assert [name for name, _ in await events_of(redis_client)] == [
        *("log", "progress-update", "complete"),
    ]
    assert "a line was left out" in caplog.text


def test_a_line_that_the_job_has_no_room_for_is_left_out_without_asyncio(
    redis_url: str, logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        jobcast.sync.connect(redis_url, max_event_bytes=1024) as jobs,
        jobs.run(jobs.create("report", user_id="u1", job_id="j1")) as run,
    ):
        logger.addHandler(run.log_handler())
        for _ in range(50):
            logger.info("x" * 2000)
            run.progress(50)
    assert "a line was left out" in caplog.text


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
