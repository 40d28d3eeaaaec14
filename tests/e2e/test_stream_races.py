import asyncio

from redis.asyncio import Redis

import jobcast
from tests.support.service import SESSION, Service
from tests.support.sse import Event, watch
from tests.support.stored import log_of, retry
from tests.support.waiting import after, eventually, sometime_within

RACES = 300  # with each way of writing
AT_ONCE = 4
WINDOW_S = 0.006
WIDER = 8
MAX_AGE_S = 1.5
MOST_AT_ONCE = 4000
"""Deliveries of one read past which progress is conflated (docs/decisions/0011)."""
TERMINAL = {"complete", "failed"}


async def test_an_end_near_a_connect_is_told_exactly_once(
    writer: Service, jobs: jobcast.Jobs
) -> None:
    async def end(run: jobcast.Run, number: int, window_s: float) -> str:
        await sometime_within(window_s)
        return await (run.complete({"n": number}) if number % 2 else run.fail("No disk"))

    async def connect(job_id: str, window_s: float) -> list[Event]:
        await sometime_within(window_s)
        async with watch(writer.url, job_id) as stream:
            events = await stream.rest()
        assert not stream.cut
        assert stream.parser.retries == []
        return events

    async def race(number: int, end_s: float = 2 * WINDOW_S, connect_s: float = 0) -> None:
        async with places:
            job_id = await jobs.create("anything", session_id=SESSION)
            run = jobs.run(job_id)
            await run.start()
            last, events = await asyncio.gather(end(run, number, end_s), connect(job_id, connect_s))
            assert [event.id for event in events if event.name in TERMINAL] == [last]
            assert events[-1].id == last
            assert events[0].name == "connected"
            live.append(len(events))
            async with watch(writer.url, job_id, last_event_id=last) as again:
                assert again.status == 204

    places = asyncio.Semaphore(AT_ONCE)
    live: list[int] = []
    async with asyncio.TaskGroup() as group:
        for number in range(RACES):
            group.create_task(race(number))
    assert len(live) == RACES
    for doubled in range(WIDER):
        if not {2, 3} <= set(live):  # a slow machine was on one side of all these races
            wide_s = WINDOW_S * 2**doubled
            await asyncio.gather(race(0, wide_s, 0), race(0, 0, wide_s))
    assert {2, 3} <= set(live)  # both sides of the race were seen


def assert_in_order(events: list[Event], log: list[str]) -> None:
    """Check that nothing is missing or twice from the first event on, nor goes backwards."""
    connected, *events = events
    assert connected.name == "connected"
    ids = [event.id for event in events]
    assert ids == log[log.index(ids[0]) :]
    progress = [event.data["progress"] for event in events if event.name == "progress-update"]
    assert progress == sorted(progress)


async def test_viewers_that_come_while_a_worker_reports_miss_nothing_and_see_no_way_back(
    writer: Service, jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    async def work(job_id: str) -> None:
        await watched[job_id].wait()
        async with jobs.run(job_id) as run:
            for number in range(400):
                await (
                    run.emit("note", {"n": number})
                    if number % 4 == 3
                    else run.progress(number // 4)
                )

    async def is_reporting(job_id: str) -> bool:
        return len(await log_of(redis_client, job_id)) > 100

    async def view(job_id: str, number: int) -> list[Event]:
        if number == 1:
            await eventually(lambda: is_reporting(job_id))
        elif number > 1:
            await sometime_within(40 * WINDOW_S)
        async with watch(writer.url, job_id) as stream:
            connected = await stream.next()
            watched[job_id].set()
            return [connected, *await stream.rest()]

    # So few of one job that a process which was kept from running has no reason to conflate.
    job_ids = [await jobs.create("anything", session_id=SESSION) for _ in range(7)]
    watched = {job_id: asyncio.Event() for job_id in job_ids}
    async with asyncio.TaskGroup() as group:
        viewers = {
            job_id: [group.create_task(view(job_id, n)) for n in range(MOST_AT_ONCE // 402)]
            for job_id in job_ids
        }
        for job_id in job_ids:
            group.create_task(work(job_id))
    for job_id in job_ids:
        log = [entry_id for entry_id, _ in await log_of(redis_client, job_id)]
        for viewer in viewers[job_id]:
            assert_in_order(viewer.result(), log)
        # One came before the first report, another in the middle.
        assert len({viewer.result()[1].id for viewer in viewers[job_id]}) > 1


async def test_viewers_that_come_around_a_retry_see_the_end_of_one_attempt_once(
    service: Service, jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    async def work(job_id: str) -> dict[str, str]:
        first = jobs.run(job_id)
        await first.start()
        failed = await first.fail("No disk")
        await retry(redis_client, job_id)
        retried.add(job_id)
        second = jobs.run(job_id)
        await second.start()
        await second.progress(10)
        return {"failed": failed, "complete": await second.complete()}

    async def view(job_id: str) -> None:
        await sometime_within(2 * WINDOW_S)
        cursor: str | None = None
        terminals: list[tuple[str, str]] = []
        seen: list[str] = []
        while True:
            was_retried = job_id in retried
            async with watch(service.url, job_id, last_event_id=cursor) as stream:
                if stream.status == 204:
                    assert not was_retried
                    break
                events = (await stream.rest())[1:]
                assert not stream.cut
            # Who is shown nothing is to come again, and comes as before.
            assert events or cursor or stream.parser.retries
            seen += [event.id for event in events]
            terminals += [(e.name, e.id) for e in events if e.name in TERMINAL]
            cursor = seen[-1] if seen else None
            if terminals and terminals[-1][0] == "complete":
                break
        ends = await works[job_id]
        assert len(seen) == len(set(seen))
        assert terminals in (
            [("failed", ends["failed"])],  # it came again before the retry, and was told 204
            [("complete", ends["complete"])],
            [("failed", ends["failed"]), ("complete", ends["complete"])],
        )

    retried: set[str] = set()
    works: dict[str, asyncio.Task[dict[str, str]]] = {}
    places = asyncio.Semaphore(AT_ONCE)

    async def race() -> None:
        async with places:
            job_id = await jobs.create("anything", session_id=SESSION)
            works[job_id] = asyncio.create_task(work(job_id))
            await asyncio.gather(*(view(job_id) for _ in range(3)))

    async with asyncio.TaskGroup() as group:
        for _ in range(60):
            group.create_task(race())


async def test_viewers_that_come_and_go_at_once_around_one_that_stays_do_it_no_harm(
    writer: Service, jobs: jobcast.Jobs, job_id: str, redis_client: Redis
) -> None:
    async def flicker(number: int) -> None:
        await sometime_within(20 * WINDOW_S)
        async with watch(writer.url, job_id) as stream:
            if number % 3 == 0:
                stream.abort()
            elif number % 3 == 1:
                await stream.next()

    async with watch(writer.url, job_id) as staying:
        begun = await staying.until("progress-update")
        async with asyncio.TaskGroup() as group:
            for number in range(MOST_AT_ONCE // 102 - 1):
                group.create_task(flicker(number))
            async with jobs.run(job_id) as run:
                for number in range(100):
                    await run.progress(number)
        events = await staying.rest()
    log = [entry_id for entry_id, _ in await log_of(redis_client, job_id)]
    assert_in_order([*begun, *events], log)


async def test_an_end_at_the_moment_of_a_max_age_is_told_once_now_or_after_the_return(
    redis_url: str, jobs: jobcast.Jobs
) -> None:
    async def race(least: float, most: float) -> bool:
        """End a job between two parts of the max age; say whether its viewer still saw it."""
        job_id = await jobs.create("anything", session_id=SESSION)
        run = jobs.run(job_id)
        first = await run.start()
        async with watch(service.url, job_id, last_event_id=first) as stream:
            await stream.next()
            await after(least * MAX_AGE_S)
            await sometime_within((most - least) * MAX_AGE_S)
            last = await run.complete()
            seen = [event.id for event in await stream.rest()]
            assert not stream.cut
            assert len(seen) + len(stream.parser.retries) == 1
        async with watch(service.url, job_id, last_event_id=[first, *seen][-1]) as again:
            if seen:
                assert again.status == 204
            else:
                assert [event.id for event in await again.rest()][1:] == [last]
        return bool(seen)

    with Service(redis_url, JOBCAST_STREAM_MAX_AGE_S=str(MAX_AGE_S)) as service:
        async with asyncio.TaskGroup() as group:
            races = [group.create_task(race(0.6, 1)) for _ in range(80)]
        sides = {race.result() for race in races}
        for _ in range(WIDER):
            if sides != {True, False}:  # a slow machine was on one side of all these races
                sides |= set(await asyncio.gather(race(0, 0), race(1, 1.1)))
    assert sides == {True, False}  # both sides of the race were seen
