"""A stream of many jobs through what befalls its jobs, Redis, the service and its viewer."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis

import jobcast
from tests.support.certificate import Certificate
from tests.support.expiring import expiring
from tests.support.http2 import http2
from tests.support.service import SESSION, Service
from tests.support.sse import Parser, of_jobs, request, states_of, watch, watch_many
from tests.support.valkey import HOST, Valkey
from tests.support.waiting import eventually

OTHER = "session-of-another"
KEEPALIVE = b": keepalive\n\n"
MAILBOX_BYTES = 64 * 1024


@pytest.fixture(scope="module")
def own_valkey() -> Iterator[Valkey]:
    """Return a server that these tests take away."""
    with Valkey() as server:
        yield server


@pytest.fixture(scope="module")
def own_service(own_valkey: Valkey) -> Iterator[Service]:
    """Return a service on it that is seldom silent, and takes two streams of a job."""
    with Service(
        own_valkey.url,
        JOBCAST_KEEPALIVE_S="1",
        JOBCAST_STREAMS_PER_JOB="2",
        JOBCAST_STREAMS_PER_OWNER="3",
        JOBCAST_MAILBOX_BYTES=str(MAILBOX_BYTES),
    ) as running:
        yield running


@pytest.fixture(scope="module")
def tls_service(own_valkey: Valkey, certificate: Certificate) -> Iterator[Service]:
    """Return a service on it that speaks HTTP/2."""
    own_valkey.flush()
    with Service(own_valkey.url, certificate=certificate) as running:
        yield running


@pytest.fixture
async def service(own_service: Service, own_valkey: Valkey) -> Service:
    """Return it with an empty Redis that it follows, without streams and actors."""
    own_valkey.flush()

    async def ready() -> bool:
        metrics = await own_service.metrics()
        gauges = ("jobcast_subscribed", "jobcast_actors", "jobcast_streams", "jobcast_channels")
        return [metrics[name] for name in gauges] == [1, 0, 0, 0]

    await eventually(ready)
    return own_service


@pytest.fixture
async def jobs(own_valkey: Valkey) -> AsyncIterator[jobcast.Jobs]:
    """Return the worker library, connected to it."""
    async with jobcast.connect(own_valkey.url) as connected:
        yield connected


@pytest.fixture
async def redis(own_valkey: Valkey) -> AsyncIterator[Redis]:
    """Return a plain client of it."""
    async with Redis.from_url(own_valkey.url, decode_responses=True) as client:
        yield client


async def created(jobs: jobcast.Jobs, *job_ids: str, session: str = SESSION) -> None:
    for job_id in job_ids:
        await jobs.create("report", session_id=session, job_id=job_id)


async def vanish(redis: Redis, job_id: str) -> None:
    await redis.delete(f"jobs:{{{job_id}}}:log", f"jobs:{{{job_id}}}:state")


async def test_a_job_that_vanishes_leaves_and_the_others_go_on(
    service: Service, jobs: jobcast.Jobs, redis: Redis
) -> None:
    await created(jobs, "a", "b")
    async with watch_many(service.url, of_jobs("a", "b")) as stream:
        await states_of(stream, ["a", "b"])
        await vanish(redis, "a")
        assert (await stream.until("left"))[-1].data == {"jobId": "a", "reason": "gone"}
        async with jobs.run("b"):
            pass
        assert [event.data["jobId"] for event in await stream.rest()] == ["b", "b", "b"]


@pytest.mark.parametrize("owner", [SESSION, OTHER])
@pytest.mark.parametrize("query", [of_jobs("a", "b"), "mine=active"])
async def test_nothing_is_seen_of_another_job_under_the_id_unless_it_joins_as_ones_own(
    service: Service, jobs: jobcast.Jobs, redis: Redis, owner: str, query: str
) -> None:
    await created(jobs, "a", "b")
    async with watch_many(service.url, query) as stream:
        await states_of(stream, ["a", "b"])
        await vanish(redis, "a")
        await created(jobs, "a", session=owner)
        async with jobs.run("a") as run:
            await run.progress(99, "secret")
            assert (await stream.next()).data == {"jobId": "a", "reason": "gone"}
            if owner == SESSION and query == "mine=active":
                joined = await stream.next()
                assert joined.data["jobId"] == "a"
                assert joined.id == ""
        async with jobs.run("b"):
            pass
        events = await stream.until("left")
        while events[-1].data["jobId"] != "b":
            events += await stream.until("left")
        if owner != SESSION or query != "mine=active":
            assert {event.data["jobId"] for event in events} == {"b"}
            assert b"secret" not in stream.body


async def test_a_forged_announcement_brings_no_job_of_another(
    service: Service, jobs: jobcast.Jobs, redis: Redis
) -> None:
    await created(jobs, "foreign", session=OTHER)
    async with watch_many(service.url, "mine=active") as stream:
        await stream.next()
        channel = f"jobs:by-session:{SESSION}"

        async def is_followed() -> bool:
            return [channel] == await redis.pubsub_channels(channel)

        await eventually(is_followed)
        for payload in ("foreign", "none", "a b", "{}", "\udcff".encode(errors="replace"), ""):
            await redis.publish(channel, payload)
        await created(jobs, "own")
        assert (await stream.next()).data["jobId"] == "own"
    assert b"foreign" not in stream.body


async def test_streams_stay_open_while_redis_is_away_and_lose_nothing(
    service: Service, jobs: jobcast.Jobs, own_valkey: Valkey
) -> None:
    await created(jobs, "a", "b")
    async with (
        watch_many(service.url, of_jobs("a", "b")) as listed,
        watch_many(service.url, "mine=active") as mine,
    ):
        for stream in (listed, mine):
            await states_of(stream, ["a", "b"])
        own_valkey.kill()
        await listed.received(KEEPALIVE * 2)
        await asyncio.to_thread(own_valkey.start)
        async with jobcast.connect(own_valkey.url) as again:
            await created(again, "c")
            async with again.run("a") as run:
                await run.emit("note", {"n": 1})
            async with again.run("b"):
                pass
        own = [event.name for event in await listed.rest() if event.data["jobId"] == "a"]
        assert own == ["step-change", "note", "complete", "left"]
        await states_of(mine, ["c"])


async def test_who_comes_while_redis_is_away_is_refused_and_a_reconnect_is_put_off(
    own_valkey: Valkey, service: Service
) -> None:
    own_valkey.pause()
    try:
        for query in (of_jobs("a"), "mine=active"):
            async with watch_many(service.url, query) as stream:
                await stream.rest()
                assert stream.status == 503
            async with watch_many(service.url, query, last_event_id="1-0") as stream:
                await stream.rest()
                assert stream.status == 200
                assert stream.body.startswith(b": unavailable\nretry: ")
    finally:
        own_valkey.resume()


async def test_a_reconnect_gets_all_states_again(service: Service, jobs: jobcast.Jobs) -> None:
    await created(jobs, "a")
    run = jobs.run("a")
    await run.start()
    last = await run.progress(40)
    async with watch_many(service.url, of_jobs("a"), last_event_id=last) as stream:
        events = await stream.until("progress-update")
        assert [event.name for event in events] == ["connected", "progress-update"]
        assert events[-1].data["progress"] == 40


async def test_a_stream_of_many_counts_once_for_its_owner_and_once_for_each_job(
    service: Service, jobs: jobcast.Jobs
) -> None:
    await created(jobs, "a", "b")
    async with (
        watch_many(service.url, of_jobs("a", "b")) as first,
        watch(service.url, "a") as second,
        watch_many(service.url, of_jobs("a", "b")) as third,
    ):
        await states_of(first, ["a", "b"])
        assert second.status == 200
        assert {"jobId": "a", "reason": "too-many-streams"} in [
            event.data for event in await states_of(third, ["b"])
        ]
        for query in (of_jobs("c"), "mine=active"):
            async with watch_many(service.url, query) as fourth:
                assert fourth.status == 429
        async with watch(service.url, "a", session=OTHER) as foreign:
            assert foreign.status == 404
    async with watch(service.url, "a") as again:
        assert again.status in {200, 429}

    async def is_free() -> bool:
        return (await service.metrics())["jobcast_streams"] == 0

    await eventually(is_free)
    async with watch(service.url, "a") as one, watch(service.url, "a") as other:
        assert (one.status, other.status) == (200, 200)


async def test_other_ways_of_http_get_what_they_get_of_one_job(
    service: Service, jobs: jobcast.Jobs
) -> None:
    await created(jobs, "a")
    async with watch_many(service.url, of_jobs("a"), method="HEAD") as head:
        assert head.status == 200
    async with watch_many(service.url, of_jobs("a") + "&ping=1", version="1.0") as old:
        await states_of(old, ["a"])
        assert "transfer-encoding" not in old.headers
        await old.received(b"event: ping\ndata: {}\n\n")
        async with jobs.run("a"):
            pass
        assert (await old.rest())[-1].name == "left"
    async with request(service.url, f"/api/v1/stream/?{of_jobs('a')}&sessionId={SESSION}") as end:
        assert [event.name for event in await end.rest()] == ["connected", "complete", "left"]
    async with service.client() as client:
        assert (await client.post("/api/v1/stream?mine=active")).status_code == 405


async def test_over_http_2_it_is_the_same(
    tls_service: Service, jobs: jobcast.Jobs, certificate: Certificate
) -> None:
    await created(jobs, "a", "b")
    async with http2(tls_service.url, certificate.client_context("h2")) as connection:
        stream = await connection.get(f"/api/v1/stream?{of_jobs('a', 'b')}")
        names = [(await stream.next()).name for _ in range(3)]
        assert names == ["connected", "progress-update", "progress-update"]


async def test_a_stream_ends_with_its_token_and_at_a_drain(
    own_valkey: Valkey, service: Service, jobs: jobcast.Jobs
) -> None:
    assert service.runs
    await jobs.create("report", user_id="u1", session_id=SESSION, job_id="a")
    with Service(own_valkey.url) as own:
        async with expiring(own.url, "/api/v1/stream?mine=active", "u1") as (short, _, _):
            await states_of(short, ["a"])
            await short.rest()
            assert 1000 <= short.parser.retries[0] <= 5000
        async with watch_many(own.url, of_jobs("a")) as drained:
            await states_of(drained, ["a"])
            own.send(signal.SIGTERM)
            assert await drained.rest() == []
            assert drained.parser.retries
            assert not drained.cut
            assert own.wait() == 0


async def test_a_slow_viewer_gets_the_newest_of_each_job(
    service: Service, jobs: jobcast.Jobs
) -> None:
    await created(jobs, "a", "b")
    runs = [jobs.run(job_id) for job_id in ("a", "b")]
    for run in runs:
        await run.start()
    loop = asyncio.get_running_loop()
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.setblocking(False)  # noqa: FBT003 - the standard library's
        await loop.sock_connect(connection, (HOST, service.port))
        target = f"/api/v1/stream?{of_jobs('a', 'b')}&sessionId={SESSION}"
        await loop.sock_sendall(connection, f"GET {target} HTTP/1.0\r\n\r\n".encode())
        got = await loop.sock_recv(connection, 1)
        for number in range(1, 91):
            for run in runs:
                await run.progress(number, "x" * 30_000)
        await runs[0].complete({"of": "a"})
        await runs[1].progress(95)
        await runs[1].complete({"of": "b"})
        async with asyncio.timeout(60):
            while part := await loop.sock_recv(connection, 1 << 20):
                got += part
    events = Parser().feed(got.partition(b"\r\n\r\n")[2])
    for job_id in ("a", "b"):
        own = [event for event in events if event.data.get("jobId") == job_id]
        steps = [event.data["progress"] for event in own if event.name == "progress-update"]
        assert steps == sorted(steps)
        assert len(steps) < 91
        assert steps[-1] == {"a": 90, "b": 95}[job_id]
        assert [event.name for event in own][-2:] == ["complete", "left"]
        assert own[-2].data["result"] == {"of": job_id}
    assert events[-1].name == "left"
