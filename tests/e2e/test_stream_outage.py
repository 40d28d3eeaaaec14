import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

import jobcast
from tests.support.proxy import Proxy
from tests.support.service import SESSION, Service
from tests.support.sse import Stream, watch
from tests.support.stored import log_of
from tests.support.valkey import HOST, Valkey
from tests.support.waiting import SLACK_SECONDS, after, eventually

RETURN_S = 5.0
ANSWER_S = 2.0  # exactly: tests/unit/test_deadline.py
KEEPALIVE = b": keepalive\n\n"
OK = 200


@pytest.fixture(scope="module")
def own_valkey() -> Iterator[Valkey]:
    """Return a server that these tests take away."""
    with Valkey() as server:
        yield server


@pytest.fixture(scope="module")
def own_service(own_valkey: Valkey) -> Iterator[Service]:
    """Return a service on it that is seldom silent."""
    with Service(own_valkey.url, JOBCAST_KEEPALIVE_S="1") as running:
        yield running


@pytest.fixture
async def service(own_service: Service) -> Service:
    """Return it once it follows its Redis."""

    async def ready() -> bool:
        return (await own_service.metrics())["jobcast_subscribed"] == 1

    await eventually(ready)
    return own_service


@pytest.fixture
async def jobs(own_valkey: Valkey) -> AsyncIterator[jobcast.Jobs]:
    """Return the worker library, connected to it."""
    async with jobcast.connect(own_valkey.url, progress_per_s=None) as connected:
        yield connected


@asynccontextmanager
async def followed_run(
    service: Service, jobs: jobcast.Jobs
) -> AsyncIterator[tuple[jobcast.Run, Stream]]:
    """Start a run, and watch it from its first entry on."""
    job_id = await jobs.create("anything", session_id=SESSION)
    run = jobs.run(job_id)
    first = await run.start()
    async with watch(service.url, job_id, last_event_id=first) as stream:
        await stream.next()
        yield run, stream


async def kept_alive(stream: Stream, times: int = 1) -> None:
    """Wait for this many keepalives and nothing else."""
    await stream.received(KEEPALIVE * times)


async def restarted(valkey: Valkey) -> None:
    await asyncio.to_thread(valkey.start)


@pytest.mark.parametrize("ending", ["killed", "stopped"])
async def test_streams_stay_open_while_redis_is_away_and_go_on_when_it_is_back(
    service: Service, jobs: jobcast.Jobs, own_valkey: Valkey, ending: str
) -> None:
    async with followed_run(service, jobs) as (run, stream):
        own_valkey.kill() if ending == "killed" else own_valkey.stop()
        await kept_alive(stream, 2)
        await restarted(own_valkey)
        back = time.monotonic()
        async with jobcast.connect(own_valkey.url, progress_per_s=None) as again:
            late = again.run(run.job_id)
            ids = [await late.start(), await late.progress(40), await late.emit("note", {})]
            ids.append(await late.complete())
        assert [event.id for event in await stream.rest()] == ids
        assert time.monotonic() - back < RETURN_S + SLACK_SECONDS
    assert not stream.cut
    assert stream.parser.retries == []


async def test_what_was_appended_while_the_service_could_not_follow_arrives_after_the_freeze(
    service: Service, jobs: jobcast.Jobs, own_valkey: Valkey
) -> None:
    ended, running = [await jobs.create("anything", session_id=SESSION) for _ in range(2)]
    runs = [jobs.run(job_id) for job_id in (ended, running)]
    firsts = [await run.start() for run in runs]
    async with (
        watch(service.url, ended, last_event_id=firsts[0]) as one,
        watch(service.url, running, last_event_id=firsts[1]) as other,
    ):
        await one.next()
        await other.next()
        own_valkey.pause()
        try:
            async with asyncio.TaskGroup() as group:
                appended = group.create_task(runs[0].complete({"ok": True}))
                reported = group.create_task(runs[1].progress(40))
                await kept_alive(one)
                own_valkey.resume()
        finally:
            own_valkey.resume()
        back = time.monotonic()
        assert [event.id for event in await one.rest()] == [appended.result()]
        assert (await other.next()).id == reported.result()
        assert time.monotonic() - back < RETURN_S + SLACK_SECONDS
        last = await runs[1].complete()
        assert [event.id for event in await other.rest()] == [last]


async def test_many_jobs_recover_together(
    service: Service, jobs: jobcast.Jobs, own_valkey: Valkey
) -> None:
    async def follow(job_id: str, cursor: str) -> list[str]:
        async with watch(service.url, job_id, last_event_id=cursor) as stream:
            await stream.next()
            opened.release()
            return [event.id for event in await stream.rest()]

    opened = asyncio.Semaphore(0)
    runs = {}
    for _ in range(40):
        job_id = await jobs.create("anything", session_id=SESSION)
        runs[job_id] = jobs.run(job_id)
    firsts = {job_id: await run.start() for job_id, run in runs.items()}
    async with asyncio.TaskGroup() as group:
        viewers = {
            job_id: group.create_task(follow(job_id, first)) for job_id, first in firsts.items()
        }
        for _ in viewers:
            await opened.acquire()
        own_valkey.kill()
        await restarted(own_valkey)
        back = time.monotonic()
        expected = {}
        async with jobcast.connect(own_valkey.url, progress_per_s=None) as again:
            for job_id in runs:
                late = again.run(job_id)
                ids = [await late.start(), await late.emit("note", {}), await late.complete()]
                expected[job_id] = ids
    assert {job_id: viewer.result() for job_id, viewer in viewers.items()} == expected
    assert time.monotonic() - back < RETURN_S + SLACK_SECONDS


async def test_a_job_that_redis_lost_sends_its_viewers_back_to_a_404(
    service: Service, jobs: jobcast.Jobs, own_valkey: Valkey
) -> None:
    job_id = await jobs.create("anything", session_id=SESSION)
    run = jobs.run(job_id)
    first = await run.start()
    async with watch(service.url, job_id, last_event_id=first) as stream:
        await stream.next()
        own_valkey.flush()
        own_valkey.kill()
        await restarted(own_valkey)
        assert await stream.rest() == []
    assert not stream.cut
    assert len(stream.parser.retries) == 1
    assert stream.blocks[-1].startswith(b"retry: ")
    async with watch(service.url, job_id, last_event_id=first) as stream:
        assert stream.status == 404


async def test_a_log_that_ends_before_the_cursor_wins(
    service: Service, jobs: jobcast.Jobs, own_valkey: Valkey
) -> None:
    job_id = await jobs.create("anything", session_id=SESSION)
    run = jobs.run(job_id)
    first = await run.start()
    kept = await run.progress(40)
    async with (
        Redis.from_url(own_valkey.url) as raw,
        Redis.from_url(own_valkey.url, decode_responses=True) as client,
        watch(service.url, job_id, last_event_id=first) as stream,
    ):
        log, state = f"jobs:{{{job_id}}}:log", f"jobs:{{{job_id}}}:state"
        saved = {key: await raw.dump(key) for key in (log, state)}
        lost = [await run.progress(60), await run.emit("note", {}), await run.progress(80)]
        await stream.next()
        assert [(await stream.next()).id for _ in range(4)] == [kept, *lost]
        for key, value in saved.items():
            assert value is not None
            await raw.restore(key, 0, value, replace=True)
        await client.client_kill_filter(_type="pubsub")
        reset, shown = await stream.next(), await stream.next()
        assert (reset.name, reset.id) == ("reset", lost[-1])
        assert reset.data == {"attempt": 1, "reason": "unknown"}
        assert (shown.name, shown.id, shown.data["progress"]) == ("progress-update", kept, 40)
        ids = [await run.progress(50), await run.emit("note", {}), await run.complete()]
        assert [event.id for event in await stream.rest()] == ids
        assert [entry_id for entry_id, _ in await log_of(client, job_id)][-4:] == [kept, *ids]


async def test_a_lost_subscription_alone_is_noticed_and_made_good(
    service: Service, jobs: jobcast.Jobs, own_valkey: Valkey
) -> None:
    async with (
        Redis.from_url(own_valkey.url) as client,
        followed_run(service, jobs) as (run, stream),
    ):
        ids = []
        for number in range(30):
            if number % 5 == 0:
                await client.client_kill_filter(_type="pubsub")
            ids.append(await run.emit("note", {"n": number}))
        ids.append(await run.complete())
        assert [event.id for event in await stream.rest()] == ids


async def test_a_service_that_slept_while_redis_gave_it_up_loses_nothing(
    service: Service, jobs: jobcast.Jobs, own_valkey: Valkey
) -> None:
    async with (
        Redis.from_url(own_valkey.url) as client,
        followed_run(service, jobs) as (run, stream),
    ):
        service.send(signal.SIGSTOP)
        try:
            ids = [await run.emit("note", {"n": number}) for number in range(300)]
            await client.client_kill_filter(_type="pubsub")
            ids += [await run.emit("note", {"n": number}) for number in range(600)]
        finally:
            service.send(signal.SIGCONT)
        ids.append(await run.complete())
        assert [event.id for event in await stream.rest()] == ids


async def test_what_happens_before_a_slow_subscription_is_in_force_is_not_lost(
    own_valkey: Valkey, jobs: jobcast.Jobs
) -> None:
    ended, running, resumed = [await jobs.create("anything", session_id=SESSION) for _ in range(3)]
    runs = {job_id: jobs.run(job_id) for job_id in (ended, running, resumed)}
    firsts = {job_id: await run.start() for job_id, run in runs.items()}
    async with Proxy(own_valkey.port) as way:
        with Service(f"redis://{HOST}:{way.port}/0") as behind:
            way.hold(b"SUBSCRIBE")
            async with (
                watch(behind.url, ended) as one,
                watch(behind.url, running) as other,
                watch(behind.url, resumed, last_event_id=firsts[resumed]) as returning,
            ):
                for stream in (one, other, returning):
                    assert (await stream.next()).name == "connected"
                end = await runs[ended].complete()
                missed = [await runs[running].progress(40), await runs[resumed].progress(40)]
                way.release()
                # Before or after its subscription is in force: who has a cursor gets each of them.
                more = [await runs[resumed].emit("note", {}), await runs[resumed].complete()]
                assert [event.id for event in await one.rest()] == [end]
                assert [event.id for event in await returning.rest()] == [missed[1], *more]
                # Who has none gets each from its snapshot on, which proves the subscription.
                assert (await other.next()).id == missed[0]
                more = [await runs[running].emit("note", {}), await runs[running].complete()]
                assert [event.id for event in await other.rest()] == more


async def test_a_subscription_that_falls_silent_without_an_end_is_noticed(
    own_valkey: Valkey, jobs: jobcast.Jobs
) -> None:
    job_id = await jobs.create("anything", session_id=SESSION)
    run = jobs.run(job_id)
    first = await run.start()
    async with Proxy(own_valkey.port) as way:
        with Service(f"redis://{HOST}:{way.port}/0") as behind:
            async with watch(behind.url, job_id, last_event_id=first) as stream:
                await stream.next()
                ids = [await run.emit("note", {})]
                assert (await stream.next()).id == ids[0]
                way.mute(later=False)
                muted = time.monotonic()
                ids += [await run.emit("note", {}), await run.complete()]
                assert [event.id for event in await stream.rest()] == ids[1:]
                assert time.monotonic() - muted < RETURN_S + SLACK_SECONDS


async def test_who_comes_while_redis_is_away_is_put_off_within_two_seconds(
    service: Service, own_valkey: Valkey
) -> None:
    async def served() -> bool:
        async with watch(service.url, job_id) as stream:
            return stream.status == 200

    for take_away, give_back in (
        (own_valkey.pause, own_valkey.resume),
        (own_valkey.kill, own_valkey.start),
    ):
        async with jobcast.connect(own_valkey.url, progress_per_s=None) as connected:
            job_id = await connected.create("anything", session_id=SESSION)
        take_away()
        try:
            begun = time.monotonic()
            async with watch(service.url, job_id) as stream:
                assert stream.status == 503
                assert int(stream.headers["retry-after"]) > 0
                await stream.rest()
                assert b'"code":"SERVICE_UNAVAILABLE"' in stream.body
            assert time.monotonic() - begun < ANSWER_S + SLACK_SECONDS
            begun = time.monotonic()
            async with watch(service.url, job_id, last_event_id="1-1") as stream:
                await stream.rest()
                assert (stream.status, stream.cut) == (200, False)
                assert stream.blocks == [stream.body]
                assert stream.body.startswith(b": unavailable\nretry: ")
                assert 1000 <= stream.parser.retries[0] <= 5000
            assert time.monotonic() - begun < ANSWER_S + SLACK_SECONDS
        finally:
            await asyncio.to_thread(give_back)
        await eventually(served)


async def test_who_comes_to_a_watched_job_while_redis_is_away_has_to_come_again(
    service: Service, jobs: jobcast.Jobs, own_valkey: Valkey
) -> None:
    job_id = await jobs.create("anything", session_id=SESSION)
    run = jobs.run(job_id)
    ids = [await run.start(), await run.emit("note", {}), await run.progress(40)]
    async with watch(service.url, job_id) as watching:
        await watching.until("progress-update")
        own_valkey.pause()
        try:
            async with (
                watch(service.url, job_id) as late,
                watch(service.url, job_id, last_event_id=ids[0]) as returning,
            ):
                assert (late.status, "retry-after" in late.headers) == (503, True)
                assert await returning.rest() == []
                assert returning.body.startswith(b": unavailable\nretry: ")
            await kept_alive(watching)
        finally:
            own_valkey.resume()

        async def is_served() -> bool:
            async with watch(service.url, job_id) as late:
                return late.status == OK

        await eventually(is_served)
        async with watch(service.url, job_id, last_event_id=ids[0]) as returning:
            assert (await returning.next()).name == "connected"
            assert [(await returning.next()).id for _ in ids[1:]] == ids[1:]
            last = await run.complete()
            for stream in (watching, returning):
                assert [event.id for event in await stream.rest()] == [last]


async def test_a_published_end_is_appended_when_redis_is_back(
    service: Service, jobs: jobcast.Jobs, own_valkey: Valkey
) -> None:
    job_id = await jobs.create("anything", session_id=SESSION)
    async with Redis.from_url(own_valkey.url) as client, watch(service.url, job_id) as stream:
        await stream.until("progress-update")
        # What goes out with the next command arrives at once, while writes have to wait.
        await client.client_pause(3000, all=False)
        await client.publish(f"jobs:{job_id}:events", '{"event":"complete","data":{"result":1}}')
        assert [event.name for event in await stream.rest()] == ["complete"]


async def test_outages_one_after_the_other_lose_nothing(
    service: Service, jobs: jobcast.Jobs, own_valkey: Valkey
) -> None:
    job_id = await jobs.create("anything", session_id=SESSION)
    ids: list[str] = []

    async def work() -> None:
        number = 0
        while True:
            async with jobcast.connect(own_valkey.url, progress_per_s=None) as own:
                try:
                    run = own.run(job_id)
                    await run.start()
                    while not done.is_set():
                        number += 1
                        await run.emit("note", {"n": number})
                        await after(0.01)
                    await run.complete()
                except jobcast.JobFinished:
                    return
                except (RedisError, jobcast.JobcastError):
                    await after(0.05)
                else:
                    return

    done = asyncio.Event()
    async with watch(service.url, job_id) as stream, asyncio.TaskGroup() as group:
        await stream.until("progress-update")
        group.create_task(work())
        for _ in range(3):
            await stream.until("note")
            own_valkey.kill()
            await restarted(own_valkey)
            await stream.until("note")
        done.set()
        await stream.rest()
        async with Redis.from_url(own_valkey.url, decode_responses=True) as client:
            ids = [entry_id for entry_id, _ in await log_of(client, job_id)]
    shown = [line[4:].decode() for line in stream.body.split(b"\n") if line.startswith(b"id: ")]
    assert shown == ids
