import asyncio
from collections.abc import Iterator

import pytest
from redis.asyncio import Redis

import jobcast
from tests.support.service import SESSION, WAYS, Service, Way
from tests.support.sse import request, watch
from tests.support.valkey import Valkey
from tests.support.waiting import after, eventually, sometime_within

VIEWERS = 2000
AT_ONCE = 200
JOBS = 50
SPARE_FILES = 5  # connections to Redis that come and go by themselves
UNSUBSCRIBED_WITHIN_S = 10.0
GAUGES = ("jobcast_streams", "jobcast_actors", "jobcast_channels")


@pytest.fixture(scope="module")
def own_valkey() -> Iterator[Valkey]:
    """Return a server whose subscriptions nobody else changes."""
    with Valkey() as server:
        yield server


@pytest.fixture(scope="module")
def own_service(own_valkey: Valkey) -> Iterator[Service]:
    """Return a service on it."""
    with Service(own_valkey.url, JOBCAST_KEEPALIVE_S="1") as running:
        yield running


async def gauges(service: Service) -> list[float]:
    metrics = await service.metrics()
    return [metrics[name] for name in GAUGES]


async def assert_nothing_is_left(service: Service, client: Redis, files: int) -> None:
    async def let_go() -> bool:
        return (
            await gauges(service) == [0, 0, 0]
            and await client.pubsub_channels("jobs:*") == []
            and service.open_files() <= files + SPARE_FILES
        )

    await eventually(let_go, UNSUBSCRIBED_WITHIN_S)


@pytest.mark.parametrize("way", WAYS)
async def test_of_two_thousand_viewers_that_come_and_go_nothing_is_left(
    own_valkey: Valkey, way: Way
) -> None:
    async def view(job_id: str, number: int) -> None:
        async with places, watch(service.url, job_id) as stream:
            assert stream.status == 200
            if number % 4 == 0:
                stream.abort()
            elif number % 4 == 1:
                await stream.next()
                stream.abort()
            elif number % 4 == 2:
                await stream.until("progress-update")
            else:
                await stream.until("progress-update")
                await sometime_within(0.05)

    places = asyncio.Semaphore(AT_ONCE)
    with Service(own_valkey.url, way=way) as service:
        async with (
            Redis.from_url(own_valkey.url, decode_responses=True) as client,
            jobcast.connect(own_valkey.url) as jobs,
        ):
            job_ids = [await jobs.create("anything", session_id=SESSION) for _ in range(JOBS)]
            async with watch(service.url, job_ids[0]) as stream:
                await stream.until("progress-update")
            files = service.open_files()
            async with asyncio.TaskGroup() as group:
                for number in range(VIEWERS):
                    group.create_task(view(job_ids[number % JOBS], number))
            await assert_nothing_is_left(service, client, files)
            assert (await service.metrics())["jobcast_streams_opened_total"] > VIEWERS / 2
            async with watch(service.url, job_ids[0]) as stream, jobs.run(job_ids[0]):
                await stream.until("progress-update")
        assert "Traceback" not in service.log


async def test_of_jobs_that_end_under_their_viewers_nothing_is_left(
    own_service: Service, own_valkey: Valkey
) -> None:
    async def live() -> None:
        job_id = await jobs.create("anything", session_id=SESSION)
        async with places, watch(own_service.url, job_id) as one:
            await one.until("progress-update")
            async with watch(own_service.url, job_id) as other, jobs.run(job_id):
                other.close()
            await one.rest()

    places = asyncio.Semaphore(50)
    async with (
        Redis.from_url(own_valkey.url, decode_responses=True) as client,
        jobcast.connect(own_valkey.url) as jobs,
    ):
        files = own_service.open_files()
        async with asyncio.TaskGroup() as group:
            for _ in range(200):
                group.create_task(live())
        await assert_nothing_is_left(own_service, client, files)


async def test_an_unwatched_job_is_unsubscribed_and_a_watched_one_is_not(
    own_service: Service, own_valkey: Valkey
) -> None:
    async with (
        Redis.from_url(own_valkey.url, decode_responses=True) as client,
        jobcast.connect(own_valkey.url) as jobs,
    ):
        left, kept = [await jobs.create("anything", session_id=SESSION) for _ in range(2)]

        async def subscribed() -> dict[str, int]:
            channels = [f"jobs:{job_id}:events" for job_id in (left, kept)]
            counts = await client.pubsub_numsub(*channels)
            return dict(zip(("left", "kept"), (count for _, count in counts), strict=True))

        async def only_kept() -> bool:
            return await subscribed() == {"left": 0, "kept": 1}

        async with watch(own_service.url, kept) as staying:
            await staying.until("progress-update")
            async with watch(own_service.url, left) as stream:
                await stream.until("progress-update")
                assert await subscribed() == {"left": 1, "kept": 1}
            await eventually(only_kept, UNSUBSCRIBED_WITHIN_S)
            async with jobs.run(left), jobs.run(kept):
                pass
            assert [event.name for event in await staying.rest()] == ["step-change", "complete"]


async def test_a_viewer_that_returns_while_its_job_lingers_goes_on_without_a_gap(
    own_service: Service, own_valkey: Valkey
) -> None:
    async with jobcast.connect(own_valkey.url) as jobs:
        job_id = await jobs.create("anything", session_id=SESSION)
        run = jobs.run(job_id)
        seen = [await run.start()]
        ids = list(seen)
        for pause_s in (0, 0.1, 0.5):
            async with watch(own_service.url, job_id, last_event_id=seen[-1]) as stream:
                await stream.next()
                ids += [await run.emit("note", {}), await run.emit("note", {})]
                seen.append((await stream.next()).id)
            await after(pause_s)
        await run.complete()
        async with watch(own_service.url, job_id, last_event_id=seen[-1]) as stream:
            *more, _complete = [event.id for event in await stream.rest()][1:]
    expected = ids[1:]
    assert [*seen[1:], *more][-len(set(ids[1:])) :] == expected


@pytest.mark.parametrize("leave", ["close", "abort"])
async def test_a_viewer_that_leaves_while_its_next_request_waits_is_missed(
    own_valkey: Valkey, own_service: Service, leave: str
) -> None:
    async def missed() -> bool:
        return (await own_service.metrics())["jobcast_streams"] == 0

    async with jobcast.connect(own_valkey.url) as jobs:
        job_id = await jobs.create("anything", session_id=SESSION)
    async with watch(own_service.url, job_id) as stream:
        await stream.until("progress-update")
        stream.ask("GET", "/healthz")
        stream.close() if leave == "close" else stream.abort()
        await eventually(missed)


async def test_a_request_that_waits_behind_a_stream_is_answered_after_it(
    own_valkey: Valkey, own_service: Service
) -> None:
    async with jobcast.connect(own_valkey.url) as jobs:
        job_id = await jobs.create("anything", session_id=SESSION)
        async with watch(own_service.url, job_id) as stream:
            await stream.until("progress-update")
            stream.ask("GET", "/healthz")
            async with jobs.run(job_id) as run:
                await run.emit("note", {"text": "x" * 100_000})
            assert [event.name for event in await stream.rest()][-1] == "complete"
            assert not stream.cut
            await stream.answer()
            assert (stream.status, stream.headers["content-type"]) == (200, "application/json")


async def test_a_client_that_leaves_after_its_answer_leaves_no_connection_behind(
    own_service: Service, own_valkey: Valkey
) -> None:
    files = own_service.open_files()
    for _ in range(3 * SPARE_FILES):
        async with request(own_service.url, "/healthz") as answer:
            await answer.rest()

    async def closed() -> bool:
        return own_service.open_files() <= files + SPARE_FILES

    await eventually(closed)
