import asyncio
import signal
from collections.abc import AsyncIterator, Iterator

import pytest
import redis
from redis.asyncio import Redis

import jobcast
from tests.support.channel import Channel
from tests.support.service import SESSION, Service
from tests.support.sse import Stream, watch
from tests.support.stored import ending_of, log_of, retry, state_of
from tests.support.valkey import HOST, Valkey
from tests.support.waiting import eventually

USER = "second"
ALLOWED = ("on", "nopass", "~*", "+@all", "allchannels")


@pytest.fixture(scope="module")
def second_service(valkey: Valkey) -> Iterator[Service]:
    """Return another service process, which comes to the same Redis as a user of its own."""
    with redis.Redis(host=HOST, port=valkey.port) as client:
        client.execute_command("ACL", "SETUSER", USER, *ALLOWED)
    with Service(f"redis://{USER}:any@{HOST}:{valkey.port}/0") as running:
        yield running


async def set_user(client: Redis, *rules: str) -> None:
    await client.execute_command("ACL", "SETUSER", USER, *rules)  # type: ignore[no-untyped-call]


@pytest.fixture
async def second(second_service: Service, redis_client: Redis) -> AsyncIterator[Service]:
    """Return it; what a test forbids it is allowed again afterwards."""
    yield second_service
    await set_user(redis_client, *ALLOWED)


async def begun(stream: Stream) -> None:
    await stream.until("progress-update")


async def test_one_append_reaches_the_viewers_of_both_with_the_same_bytes(
    service: Service, second: Service, jobs: jobcast.Jobs, job_id: str
) -> None:
    async with watch(service.url, job_id) as one, watch(second.url, job_id) as other:
        await begun(one)
        await begun(other)
        async with jobs.run(job_id) as run:
            await run.progress(40, "Über", eta=3, phase="x")
            await run.emit("note", {"n": 1})
        await one.rest()
        await other.rest()
    assert one.blocks[2:] == other.blocks[2:]
    assert len(one.blocks) == 7


async def test_a_viewer_that_changes_process_with_each_reconnect_misses_nothing(
    service: Service, second: Service, jobs: jobcast.Jobs, job_id: str, redis_client: Redis
) -> None:
    async def follow() -> list[str]:
        seen: list[str] = []
        urls = [service.url, second.url]
        while True:
            urls.reverse()
            cursor = seen[-1] if seen else None
            async with watch(urls[0], job_id, last_event_id=cursor) as stream:
                if stream.status == 204:
                    return seen
                await stream.next()
                for _ in range(7):
                    try:
                        seen.append((await stream.next()).id)
                    except EOFError:
                        break
                    ready.set()

    ready = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        viewers = [group.create_task(follow()) for _ in range(6)]
        await ready.wait()
        async with jobs.run(job_id) as run:
            for number in range(200):
                await (run.emit("note", {"n": number}) if number % 2 else run.progress(number // 2))
    log = [entry_id for entry_id, _ in await log_of(redis_client, job_id)]
    for viewer in viewers:
        seen = viewer.result()
        assert seen == log[log.index(seen[0]) :]


async def deafen(client: Redis, service: Service) -> None:
    """Have Redis refuse every subscription of the second process, and nothing else."""

    async def losses() -> float:
        return (await service.metrics())["jobcast_redis_reconnects_total"]

    async def deaf() -> bool:
        return await losses() > before + 2

    before = await losses()
    await set_user(client, "resetchannels")
    await eventually(deaf)


async def test_a_viewer_ahead_of_a_process_that_lags_gets_nothing_twice(
    service: Service, second: Service, jobs: jobcast.Jobs, job_id: str, redis_client: Redis
) -> None:
    run = jobs.run(job_id)
    await run.start()
    async with watch(second.url, job_id) as lagging, watch(service.url, job_id) as one:
        await begun(lagging)
        await begun(one)
        await deafen(redis_client, second)
        ids = [await run.emit("note", {"n": number}) for number in range(6)]
        seen = [(await one.next()).id for _ in range(3)]
        async with watch(second.url, job_id, last_event_id=seen[-1]) as resumed:
            await resumed.next()
            await set_user(redis_client, *ALLOWED)
            assert [event.id for event in await lagging.until("note")] == ids[:1]
            ids += [await run.emit("note", {"n": 7}), await run.complete()]
            assert [event.id for event in await resumed.rest()] == ids[3:]
        assert [event.id for event in await lagging.rest()] == ids[1:]


async def test_a_viewer_of_an_earlier_attempt_gets_its_end_from_a_process_that_lags_only_once(
    service: Service, second: Service, jobs: jobcast.Jobs, job_id: str, redis_client: Redis
) -> None:
    run = jobs.run(job_id)
    await run.start()
    async with watch(second.url, job_id) as lagging, watch(service.url, job_id) as one:
        await begun(lagging)
        await begun(one)
        await deafen(redis_client, second)
        failed = await run.fail("No disk")
        assert [event.id for event in await one.rest()] == [failed]
        await retry(redis_client, job_id)
        again = jobs.run(job_id)
        await again.start()
        last = await again.progress(30)
        async with watch(second.url, job_id, last_event_id=failed) as resumed:
            _, reset, shown = [await resumed.next() for _ in range(3)]
            assert (reset.name, reset.data) == ("reset", {"attempt": 2, "reason": "attempt"})
            assert (shown.name, shown.id, shown.data["progress"]) == ("progress-update", last, 30)
            await set_user(redis_client, *ALLOWED)
            end = await again.complete()
            assert [event.id for event in await resumed.rest()] == [end]


async def test_what_was_trimmed_before_a_process_could_read_it_is_a_reset_and_a_snapshot(
    second: Service, redis_url: str, redis_client: Redis
) -> None:
    async with jobcast.connect(redis_url, max_entries=10, progress_per_s=None) as few:
        job_id = await few.create("anything", session_id=SESSION)
        run = few.run(job_id)
        first = await run.start()
        async with watch(second.url, job_id, last_event_id=first) as lagging:
            await lagging.next()
            await deafen(redis_client, second)
            for number in range(50):
                last = await run.progress(number)
            await set_user(redis_client, *ALLOWED)
            reset, shown = await lagging.next(), await lagging.next()
            assert (reset.name, reset.data) == ("reset", {"attempt": 1, "reason": "trimmed"})
            assert (shown.name, shown.id, shown.data["progress"]) == ("progress-update", last, 49)
            ids = [await run.emit("note", {}), await run.complete()]
            assert [event.id for event in await lagging.rest()] == ids


async def test_the_end_that_a_publish_only_worker_publishes_is_appended_once_by_both(
    service: Service, second: Service, job_id: str, redis_client: Redis
) -> None:
    async with (
        Channel(redis_client, f"jobs:{job_id}:events") as channel,
        watch(service.url, job_id) as one,
        watch(second.url, job_id) as other,
    ):
        await begun(one)
        await begun(other)
        await redis_client.publish(
            f"jobs:{job_id}:events", '{"event":"complete","data":{"result":1}}'
        )
        ends = [await stream.rest() for stream in (one, other)]
        published = await channel.rest()
    log = await log_of(redis_client, job_id)
    assert [entry["event"] for _, entry in log] == ["_created", "complete"]
    assert [[event.id for event in end] for end in ends] == [[log[-1][0]]] * 2
    assert [message.get("id") for message in published] == [None, log[-1][0]]


async def test_a_process_that_wakes_late_does_not_end_the_next_attempt_for_the_one_before(
    service: Service, second: Service, job_id: str, jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    async with watch(service.url, job_id) as one, watch(second.url, job_id) as other:
        await begun(one)
        await begun(other)
        second.send(signal.SIGSTOP)
        try:
            await redis_client.publish(
                f"jobs:{job_id}:events", '{"event":"failed","data":{"error":"No disk"}}'
            )
            failed = (await one.rest())[-1]
            await retry(redis_client, job_id)
        finally:
            second.send(signal.SIGCONT)
        assert [event.id for event in await other.rest()] == [failed.id]
        async with watch(second.url, job_id, last_event_id=failed.id) as again:
            assert (await again.until("progress-update"))[-1].data["progress"] == 0
            run = jobs.run(job_id)
            await run.start()
            await run.complete()
            names = [event.name for event in await again.rest()]
            assert names == ["step-change", "complete"]
    assert (await ending_of(redis_client, job_id))[0] == "succeeded"
    assert (await state_of(redis_client, job_id))["attempt"] == "2"


async def test_one_process_ends_and_its_viewers_go_on_with_the_other(
    service: Service, redis_url: str, jobs: jobcast.Jobs, job_id: str
) -> None:
    run = jobs.run(job_id)
    first = await run.start()
    with Service(redis_url) as ending:
        async with watch(ending.url, job_id, last_event_id=first) as stream:
            await stream.next()
            ids = [await run.progress(10)]
            assert (await stream.next()).id == ids[0]
            assert await asyncio.to_thread(ending.stop) == 0
            await stream.rest()
    ids += [await run.emit("note", {}), await run.complete()]
    async with watch(service.url, job_id, last_event_id=ids[0]) as stream:
        assert [event.id for event in await stream.rest()][1:] == ids[1:]
