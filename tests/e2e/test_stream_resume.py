import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

import jobcast
from tests.support.service import SESSION, Service
from tests.support.sse import watch
from tests.support.stored import cancel, log_of, retry
from tests.support.waiting import until


async def history(jobs: jobcast.Jobs, job_id: str, redis: Redis) -> jobcast.Run:
    """Give a job a log with every kind of entry that leaves it running."""
    run = jobs.run(job_id)
    await run.start()
    await run.progress(10, "One", eta=9)
    await run.emit("note", {"n": 1})
    await cancel(redis, job_id)
    for report in (run.progress(20), run.step("Two", 5), run.emit("note", {"n": 2})):
        with pytest.raises(jobcast.JobCancelled):
            await report
    return run


async def sent_after(redis: Redis, job_id: str, cursor: str) -> list[str]:
    """Return the ids of what is sent of a log, after one of its entries."""
    log = await log_of(redis, job_id)
    later = log[[entry_id for entry_id, _ in log].index(cursor) + 1 :]
    return [entry_id for entry_id, entry in later if not entry["event"].startswith("_")]


async def test_from_each_entry_of_a_running_job_exactly_what_followed_it_comes(
    writer: Service, jobs: jobcast.Jobs, job_id: str, redis_client: Redis
) -> None:
    run = await history(jobs, job_id, redis_client)
    cursors = [entry_id for entry_id, _ in await log_of(redis_client, job_id)]
    assert len(cursors) == 8
    streams = [watch(writer.url, job_id, last_event_id=cursor) for cursor in cursors]
    opened = [await stream.__aenter__() for stream in streams]
    for stream in opened:
        await stream.next()
    with pytest.raises(jobcast.JobCancelled):
        await run.progress(30)
    await run.complete()
    for cursor, stream in zip(cursors, opened, strict=True):
        seen = [event.id for event in await stream.rest()]
        assert seen == await sent_after(redis_client, job_id, cursor)
    for open_stream in streams:
        await open_stream.__aexit__(None, None, None)


async def test_from_each_entry_of_a_finished_job_exactly_what_followed_it_comes(
    writer: Service, jobs: jobcast.Jobs, job_id: str, redis_client: Redis
) -> None:
    run = await history(jobs, job_id, redis_client)
    await run.complete({"ok": True})
    cursors = [entry_id for entry_id, _ in await log_of(redis_client, job_id)]
    for cursor in cursors[:-1]:
        async with watch(writer.url, job_id, last_event_id=cursor) as stream:
            connected, *events = await stream.rest()
        assert (connected.name, stream.cut) == ("connected", False)
        assert [event.id for event in events] == await sent_after(redis_client, job_id, cursor)
    async with watch(writer.url, job_id, last_event_id=cursors[-1]) as stream:
        assert stream.status == 204


async def test_what_was_missed_is_byte_for_byte_what_was_live(
    writer: Service, jobs: jobcast.Jobs, job_id: str
) -> None:
    async with watch(writer.url, job_id) as live:
        first = (await live.until("progress-update"))[-1].id
        async with jobs.run(job_id) as run:
            await run.progress(10, "Ü\n", eta=1.0, more={"a": 1e5, "u": "C:\\users"})
            await run.emit("note", {"n": 10**20, "f": 1.0, "u": "\x01\u2028"})
        await live.rest()
    async with watch(writer.url, job_id, last_event_id=first) as late:
        await late.rest()
    assert late.blocks[2:] == live.blocks[3:]


async def test_a_viewer_that_comes_and_goes_gets_every_event_once(
    writer: Service, jobs: jobcast.Jobs, job_id: str, redis_client: Redis
) -> None:
    async def follow(number: int) -> list[str]:
        seen: list[str] = []
        while True:
            cursor = seen[-1] if seen else None
            async with watch(writer.url, job_id, last_event_id=cursor) as stream:
                if stream.status == 204:
                    return seen
                await stream.next()
                for _ in range(1 + (number + len(seen)) * 7 % 30):
                    try:
                        seen.append((await stream.next()).id)
                    except EOFError:
                        break
                    watching.add(number)

    watching: set[int] = set()
    async with asyncio.TaskGroup() as group:
        viewers = [group.create_task(follow(number)) for number in range(8)]
        await until(lambda: len(watching) == len(viewers))
        async with jobs.run(job_id) as run:
            for number in range(300):
                await (run.progress(number // 3) if number % 2 else run.emit("note", {"n": number}))
    log = [entry_id for entry_id, _ in await log_of(redis_client, job_id)]
    for viewer in viewers:
        seen = viewer.result()
        assert seen == log[log.index(seen[0]) :]
        assert seen[0] in log[:2]


@pytest.fixture
async def few(redis_url: str) -> AsyncIterator[jobcast.Jobs]:
    """Return the worker library, set to keep short logs."""
    async with jobcast.connect(redis_url, max_entries=10, progress_per_s=None) as connected:
        yield connected


async def assert_a_reset_comes(
    service: Service, job_id: str, cursor: str, last: str, reset: dict[str, object]
) -> None:
    """Check that a viewer is told that what it has seen is void, and is shown the state."""
    async with watch(service.url, job_id, last_event_id=cursor) as stream:
        assert stream.status == 200
        assert (await stream.next()).name == "connected"
        told, shown = await stream.next(), await stream.next()
    assert (told.name, told.data, told.id) == ("reset", reset, ""), cursor
    assert stream.blocks[2].startswith(b"event: reset\ndata: {")
    assert (shown.name, shown.id, shown.data["progress"]) == ("progress-update", last, 50)


MALFORMED = (
    *(
        "x",
        "5",
        "-",
        "1-",
        "-1",
        "1-2-3",
        "1 -1",
        "1_0-0",
        "+1-0",
        "0x1-0",
        "\u0661-\u0660",
        "null",
    ),
    *("9" * 21 + "-0", "0-" + "9" * 21, "9" * 5000 + "-0", "1.5-0", "(1-0", "$", "*"),
)


@pytest.mark.parametrize("watched", [False, True], ids=["unwatched", "watched"])
async def test_with_an_id_that_is_not_in_the_log_a_reset_and_the_snapshot_come(
    service: Service, jobs: jobcast.Jobs, job_id: str, *, watched: bool
) -> None:
    run = jobs.run(job_id)
    first = await run.start()
    last = await run.progress(50)
    milliseconds = int(first.partition("-")[0])
    foreign = (
        *("0-0", "0-1", f"{milliseconds}-77", f"{milliseconds - 1}-77", "99999999999999-0"),
        *(f"{2**64 - 1}-{2**64 - 1}", f"{last}7", f"{2**64}-0"),
    )
    async with watch(service.url, job_id if watched else job_id.upper()) as other:
        if watched:
            await other.until("progress-update")
        unknown: dict[str, object] = {"attempt": 1, "reason": "unknown"}
        for cursor in (*MALFORMED, *foreign):
            await assert_a_reset_comes(service, job_id, cursor, last, unknown)


@pytest.mark.parametrize("cursor", ["", " ", "\t"])
async def test_an_empty_id_is_as_good_as_none(service: Service, job_id: str, cursor: str) -> None:
    async with watch(service.url, job_id, last_event_id=cursor) as stream:
        names = [(await stream.next()).name for _ in range(2)]
    assert names == ["connected", "progress-update"]


async def test_with_an_id_that_is_not_in_a_finished_log_its_end_comes(
    service: Service, jobs: jobcast.Jobs, job_id: str
) -> None:
    run = jobs.run(job_id)
    await run.start()
    last = await run.complete()
    for cursor in ("0-0", "99999999999999-0", *MALFORMED):
        async with watch(service.url, job_id, last_event_id=cursor) as stream:
            connected, reset, end = await stream.rest()
        assert (connected.name, reset.name, end.name) == ("connected", "reset", "complete")
        assert reset.data == {"attempt": 1, "reason": "unknown"}
        assert (reset.id, end.id) == ("", last)


async def test_with_the_id_of_an_earlier_attempt_a_reset_and_the_snapshot_of_this_one_come(
    service: Service, jobs: jobcast.Jobs, job_id: str, redis_client: Redis
) -> None:
    run = jobs.run(job_id)
    await run.start()
    await run.progress(90, "Nearly")
    await run.fail("No disk")
    earlier = [entry_id for entry_id, _ in await log_of(redis_client, job_id)]
    await retry(redis_client, job_id)
    second = jobs.run(job_id)
    await second.start()
    last = await second.progress(50)
    for cursor in earlier:
        reset: dict[str, object] = {"attempt": 2, "reason": "attempt"}
        await assert_a_reset_comes(service, job_id, cursor, last, reset)


async def test_with_the_id_of_an_earlier_attempt_of_a_finished_job_a_reset_and_its_end_come(
    writer: Service, jobs: jobcast.Jobs, job_id: str, redis_client: Redis
) -> None:
    run = jobs.run(job_id)
    await run.start()
    failed = await run.fail("No disk")
    await retry(redis_client, job_id)
    second = jobs.run(job_id)
    await second.start()
    last = await second.complete({"n": 1})
    async with watch(writer.url, job_id, last_event_id=failed) as stream:
        connected, reset, end = await stream.rest()
    assert (connected.name, reset.name) == ("connected", "reset")
    assert reset.data == {"attempt": 2, "reason": "attempt"}
    assert (end.name, end.id, end.data) == ("complete", last, {"result": {"n": 1}})


async def test_the_entry_that_began_an_attempt_is_a_cursor_of_it(
    service: Service, jobs: jobcast.Jobs, job_id: str, redis_client: Redis
) -> None:
    run = jobs.run(job_id)
    await run.start()
    await run.fail("No disk")
    await retry(redis_client, job_id)
    begun = (await log_of(redis_client, job_id))[-1][0]
    second = jobs.run(job_id)
    ids = [await second.start(), await second.progress(50)]
    async with watch(service.url, job_id, last_event_id=begun) as stream:
        await stream.next()
        assert [(await stream.next()).id for _ in ids] == ids


async def test_with_a_trimmed_id_a_reset_comes_and_with_each_other_what_followed(
    service: Service, few: jobcast.Jobs, redis_client: Redis
) -> None:
    job_id = await few.create("anything", session_id=SESSION)
    run = few.run(job_id)
    ids = [await run.start()]
    for number in range(1, 51):
        ids.append(await run.progress(number))
        kept = [entry_id for entry_id, _ in await log_of(redis_client, job_id)]
        assert len(kept) <= 11
    trimmed = [entry_id for entry_id in ids if entry_id not in kept]
    assert len(trimmed) > 30
    for cursor in trimmed[::6]:
        reset: dict[str, object] = {"attempt": 1, "reason": "trimmed"}
        await assert_a_reset_comes(service, job_id, cursor, ids[-1], reset)
    for cursor in kept[:-1]:
        expected = await sent_after(redis_client, job_id, cursor)
        async with watch(service.url, job_id, last_event_id=cursor) as stream:
            await stream.next()
            assert [(await stream.next()).id for _ in expected] == expected


async def test_a_resumed_viewer_of_a_short_log_misses_nothing_that_is_still_there(
    service: Service, few: jobcast.Jobs, redis_client: Redis
) -> None:
    job_id = await few.create("anything", session_id=SESSION)
    run = few.run(job_id)
    await run.start()
    async with watch(service.url, job_id) as stream:
        await stream.until("progress-update")
        ids = [await run.emit("note", {"n": number}) for number in range(100)]
        await run.complete()
        assert [event.id for event in await stream.rest()][:-1] == ids


async def test_a_long_history_is_resumed_page_by_page(
    writer: Service, jobs: jobcast.Jobs, job_id: str
) -> None:
    run = jobs.run(job_id)
    first = await run.start()
    ids = [await run.emit("note", {"n": number}) for number in range(1100)]
    async with watch(writer.url, job_id, last_event_id=first) as stream:
        await stream.next()
        ids += [await run.emit("note", {"n": number}) for number in range(20)]
        ids.append(await run.complete())
        assert [event.id for event in await stream.rest()] == ids
    async with watch(writer.url, job_id, last_event_id=first) as stream:
        assert [event.id for event in await stream.rest()][1:] == ids
