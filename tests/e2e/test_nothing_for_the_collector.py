"""Viewers come and go and leave no cyclic garbage, however they go.

The collector of the service is off. What it would find is asked for: a few objects a viewer would
be a leak, or full collections for ever, each a pause for all who watch.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import jobcast
from tests.support.certificate import Certificate
from tests.support.garbage import ADDRESS
from tests.support.http2 import http2
from tests.support.service import SESSION, Service
from tests.support.sse import Stream, of_jobs, request, states_of, watch, watch_many
from tests.support.valkey import HOST, Valkey
from tests.support.waiting import eventually

VIEWERS = 1000
OTHERS = 100
AT_ONCE = 100
JOBS = 20
STREAMS = 10
"""On one connection of HTTP/2."""

MOST_EACH = 0.05
"""Objects for each that came and went."""

OF_THE_SERVICE = 150
"""What it leaves meanwhile of its own: redis-py does when it asks Redis how it is."""

MOST_OF_REDIS = 25
"""The same where Redis refuses connections: redis-py leaves as much at each attempt."""

APPLICATION = "tests.support.garbage:create_app"
Visit = Callable[["World", int], Awaitable[None]]


class World:
    """A service whose collector is off, and jobs that run."""

    def __init__(self, service: Service, jobs: jobcast.Jobs) -> None:
        self.service = service
        self.jobs = jobs
        self.job_ids: list[str] = []
        self._runs: list[jobcast.Run] = []

    async def begin(self, count: int = JOBS) -> None:
        """Have that many jobs run."""
        self.job_ids = [await self.jobs.create("any", session_id=SESSION) for _ in range(count)]
        self._runs = [self.jobs.run(job_id) for job_id in self.job_ids]
        for run in self._runs:
            await run.start()

    async def finish(self) -> None:
        """Have all of them end."""
        for run in self._runs:
            await run.progress(50)
            await run.complete({"done": True})

    def job(self, number: int) -> str:
        """Return one of them."""
        return self.job_ids[number % len(self.job_ids)]

    @asynccontextmanager
    async def watching(self, number: int, **options: Any) -> AsyncIterator[Stream]:  # noqa: ANN401 - of watch
        """Open a stream and wait for the state of its job."""
        async with watch(self.service.url, self.job(number), **options) as stream:
            await stream.until("progress-update")
            yield stream

    async def come_and_go(self, visit: Visit, count: int, at_once: int = AT_ONCE) -> None:
        """Have that many come, a few at a time, and wait until they are gone."""

        async def one(number: int) -> None:
            async with places:
                await visit(self, number)

        places = asyncio.Semaphore(at_once)
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(one(number))
        await self.gone()

    async def gone(self) -> None:
        """Wait until no stream is open, and no connection but the one that asks."""

        async def is_gone() -> bool:
            streams = (await self.service.metrics())["jobcast_streams"]
            return streams == 0 and self.service.connections() == 0

        await eventually(is_gone)

    async def garbage(self) -> dict[str, int]:
        """Return what there is for the collector since it was asked for before."""
        async with self.service.client() as client:
            found: dict[str, int] = (await client.get(ADDRESS)).json()
        return dict(sorted(found.items(), key=lambda pair: -pair[1]))

    async def assert_nothing_is_left(
        self, visit: Visit, count: int, at_once: int = AT_ONCE
    ) -> None:
        """Have viewers come and go, and see that they leave next to nothing."""
        await self.begin()
        await self.come_and_go(visit, 2 * JOBS, at_once)  # what is made once is no garbage
        await self.garbage()
        await self.come_and_go(visit, count, at_once)
        await self.assert_no_garbage(MOST_EACH * count)

    async def assert_no_garbage(self, most: float) -> None:
        """See that next to nothing was left since this was seen before."""
        garbage = await self.garbage()
        kinds = ", ".join(f"{count} {kind}" for kind, count in list(garbage.items())[:40])
        assert sum(garbage.values()) <= most + OF_THE_SERVICE, kinds


@pytest.fixture(scope="module")
def own_valkey() -> Iterator[Valkey]:
    """Return a server for the services of this module."""
    with Valkey() as server:
        yield server


@pytest.fixture(scope="module")
def own_service(own_valkey: Valkey) -> Iterator[Service]:
    """Return a service whose collector is off."""
    with Service(own_valkey.url, application=APPLICATION) as running:
        yield running


@pytest.fixture
async def own_jobs(own_valkey: Valkey) -> AsyncIterator[jobcast.Jobs]:
    """Return the worker library, connected to it."""
    async with jobcast.connect(own_valkey.url, progress_per_s=None) as connected:
        yield connected


@pytest.fixture
def world(own_service: Service, own_jobs: jobcast.Jobs) -> World:
    """Return them together."""
    return World(own_service, own_jobs)


async def closes(world: World, number: int) -> None:
    async with world.watching(number):
        pass


async def breaks_off(world: World, number: int) -> None:
    async with world.watching(number) as stream:
        stream.abort()


async def breaks_off_at_once(world: World, number: int) -> None:
    async with watch(world.service.url, world.job(number)) as stream:
        stream.abort()


async def is_sent_back(world: World, number: int) -> None:
    async with world.watching(number) as stream:
        await stream.rest()
        assert stream.parser.retries


async def resumes(world: World, number: int) -> None:
    async with world.watching(number) as stream:
        seen = stream.parser.last_event_id
        first = f"{int(seen.partition('-')[0]) - 1}-0"
    for cursor in (seen, first):
        async with watch(world.service.url, world.job(number), last_event_id=cursor) as stream:
            await stream.next()


async def connects_and_goes(world: World, _number: int) -> None:
    _, writer = await asyncio.open_connection(HOST, world.service.port)
    writer.close()


async def connects_and_breaks_off(world: World, _number: int) -> None:
    reader, writer = await asyncio.open_connection(HOST, world.service.port)
    Stream(reader, writer).abort()


async def talks_nonsense(world: World, number: int) -> None:
    said = (b"\x16\x03\x01\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET \xff HTTP/9\r\n\r\n")
    reader, writer = await asyncio.open_connection(HOST, world.service.port)
    writer.write(said[number % len(said)])
    await reader.read()
    writer.close()


async def asks_for_a_head(world: World, number: int) -> None:
    async with watch(world.service.url, world.job(number), method="HEAD") as stream:
        assert stream.status == 200


async def speaks_http_1_0(world: World, number: int) -> None:
    async with watch(world.service.url, world.job(number), version="1.0") as stream:
        await stream.until("progress-update")


def answered(
    target: str,
    *,
    status: int,
    method: str = "GET",
    session: str | None = SESSION,
    **options: Any,  # noqa: ANN401 - of request
) -> Visit:
    """Return a visit that asks three times over one connection."""

    async def visit(world: World, number: int) -> None:
        headers = {} if session is None else {"x-session-id": session}
        address = target.format(world.job(number))
        given: dict[str, Any] = {"method": method, "headers": headers, **options}
        async with request(world.service.url, address, **given) as stream:
            await stream.rest()
            assert stream.status == status
            for _ in range(0 if options else 2):
                await stream.send_on(method, address, headers)
                await stream.rest()
                assert stream.status == status

    return visit


STREAM, STATUS = "/api/v1/jobs/{}/stream", "/api/v1/jobs/{}/status"
CREATE = b'{"type": "any"}'


@pytest.mark.parametrize("visit", [closes, breaks_off])
async def test_a_thousand_viewers_leave_nothing_for_the_collector(
    world: World, visit: Visit
) -> None:
    await world.assert_nothing_is_left(visit, VIEWERS)


@pytest.mark.parametrize(
    "visit",
    [
        breaks_off_at_once,
        resumes,
        connects_and_goes,
        connects_and_breaks_off,
        talks_nonsense,
        asks_for_a_head,
        speaks_http_1_0,
    ],
)
async def test_nor_do_those_who_come_or_go_in_another_way(world: World, visit: Visit) -> None:
    await world.assert_nothing_is_left(visit, OTHERS)


QUESTIONS: dict[str, Visit] = {
    "status": answered(STATUS, status=200),
    "list": answered("/api/v1/jobs", status=200),
    "create": answered("/api/v1/jobs", status=201, method="POST", body=CREATE),
    "health": answered("/healthz", status=200),
    "page": answered("/", status=200),
    "a stream of nobody": answered(STREAM, status=401, session=None),
    "another's stream": answered(STREAM, status=404, session="another"),
    "a stream of no job": answered(STREAM.format("no-such-job"), status=404),
    "a status of nobody": answered(STATUS, status=401, session=None),
    "another's status": answered(STATUS, status=404, session="another"),
    "a retry too early": answered("/api/v1/jobs/{}/retry", status=400, method="POST"),
    "a broken body": answered("/api/v1/jobs", status=400, method="POST", body=b"{"),
    "another method": answered(STATUS, status=405, method="DELETE"),
    "another address": answered("/no/where", status=404),
}


@pytest.mark.parametrize("visit", QUESTIONS.values(), ids=QUESTIONS)
async def test_nor_do_those_who_only_ask(world: World, visit: Visit) -> None:
    await world.assert_nothing_is_left(visit, OTHERS)


async def test_nor_do_those_who_see_the_end_of_their_job(world: World) -> None:
    async def sees_the_end(world: World, number: int) -> None:
        async with world.watching(number) as stream:
            watching.append(number)
            if len(watching) == AT_ONCE:
                await world.finish()
            assert (await stream.rest())[-1].name == "complete"

    for crowds in (1, VIEWERS // AT_ONCE):
        await world.garbage()
        for _ in range(crowds):
            watching: list[int] = []
            await world.begin()
            await world.come_and_go(sees_the_end, AT_ONCE)
    await world.assert_no_garbage(MOST_EACH * VIEWERS)


async def test_nor_do_those_who_come_after_it(world: World) -> None:
    async def comes_late(world: World, number: int) -> None:
        async with watch(world.service.url, world.job(number)) as stream:
            assert (await stream.rest())[-1].name == "complete"
            seen = stream.parser.last_event_id
        async with watch(world.service.url, world.job(number), last_event_id=seen) as stream:
            assert stream.status == 204

    await world.begin()
    await world.finish()
    for count in (JOBS, OTHERS):
        await world.garbage()
        await world.come_and_go(comes_late, count)
    await world.assert_no_garbage(MOST_EACH * OTHERS)


async def test_nor_do_those_who_are_sent_back(own_valkey: Valkey, own_jobs: jobcast.Jobs) -> None:
    with Service(
        own_valkey.url, application=APPLICATION, JOBCAST_STREAM_MAX_AGE_S="0.5"
    ) as service:
        await World(service, own_jobs).assert_nothing_is_left(is_sent_back, OTHERS)


@pytest.mark.parametrize("visit", [closes, breaks_off])
async def test_nor_do_those_who_are_written_to_by_the_server(
    own_valkey: Valkey, own_jobs: jobcast.Jobs, visit: Visit
) -> None:
    with Service(own_valkey.url, way="asgi", application=APPLICATION) as service:
        await World(service, own_jobs).assert_nothing_is_left(visit, OTHERS)


async def test_nor_do_those_whom_redis_keeps_waiting(own_jobs: jobcast.Jobs) -> None:
    async def is_told_to_come_later(world: World, number: int) -> None:
        for target in (STREAM, STATUS):
            async with request(
                world.service.url,
                target.format(f"{number}"),
                headers={"x-session-id": SESSION},
            ) as stream:
                assert stream.status == 503

    with Valkey() as valkey, Service(valkey.url, application=APPLICATION) as service:
        world = World(service, own_jobs)
        await world.begin()
        valkey.kill()
        for count in (JOBS, OTHERS):
            await world.garbage()
            await world.come_and_go(is_told_to_come_later, count)
        await world.assert_no_garbage(MOST_OF_REDIS * OTHERS)


async def watches_all(world: World, number: int) -> None:
    query = "mine=active" if number % 2 else of_jobs(*world.job_ids)
    async with watch_many(world.service.url, query) as stream:
        await states_of(stream, world.job_ids)
        if number % 4 < 2:
            stream.abort()


async def watches_all_and_goes_at_once(world: World, number: int) -> None:
    query = "mine=active" if number % 2 else of_jobs("none", *world.job_ids)
    async with watch_many(world.service.url, query) as stream:
        stream.abort()


@pytest.mark.parametrize("visit", [watches_all, watches_all_and_goes_at_once])
async def test_nor_do_those_who_watch_many_jobs(
    own_valkey: Valkey, world: World, visit: Visit
) -> None:
    own_valkey.flush()
    await world.assert_nothing_is_left(visit, OTHERS)


async def test_nor_do_those_who_watch_many_jobs_to_their_end(world: World) -> None:
    async def sees_all_ends(world: World, _number: int) -> None:
        async with watch_many(world.service.url, of_jobs(*world.job_ids)) as stream:
            await states_of(stream, world.job_ids)
            watching.append(stream)
            if len(watching) == AT_ONCE:
                await world.finish()
            assert (await stream.rest())[-1].name == "left"

    for crowds in (1, 2):
        await world.garbage()
        for _ in range(crowds):
            watching: list[Stream] = []
            await world.begin()
            await world.come_and_go(sees_all_ends, AT_ONCE)
    await world.assert_no_garbage(MOST_EACH * 2 * AT_ONCE)


async def over_http2(world: World, leave: str) -> None:
    """Open streams on one connection, and leave them in one of three ways."""
    async with http2(world.service.url) as connection:
        streams = [await connection.watch(world.job(number)) for number in range(STREAMS)]
        for stream in streams:
            await stream.until("progress-update")
        if leave == "one by one":
            for stream in streams:
                stream.close()
        answer = await connection.get(f"/api/v1/jobs/{world.job(0)}/status")
        await answer.rest()


@pytest.mark.parametrize("leave", ["together", "one by one"])
async def test_nor_do_those_who_share_a_connection(world: World, leave: str) -> None:
    async def visit(world: World, _number: int) -> None:
        await over_http2(world, leave)

    await world.assert_nothing_is_left(visit, VIEWERS // STREAMS, AT_ONCE // STREAMS)


async def test_nor_do_those_who_come_over_tls(
    own_valkey: Valkey, own_jobs: jobcast.Jobs, certificate: Certificate
) -> None:
    async def visit(world: World, number: int) -> None:
        context = certificate.client_context("h2")
        async with http2(world.service.url, context) as connection:
            await (await connection.watch(world.job(number))).until("progress-update")

    with Service(own_valkey.url, certificate=certificate, application=APPLICATION) as service:
        await World(service, own_jobs).assert_nothing_is_left(visit, OTHERS)


async def test_an_actor_leaves_nothing_either(world: World) -> None:
    async def is_let_go() -> bool:
        return (await world.service.metrics())["jobcast_actors"] == 0

    for count in (JOBS, OTHERS):
        await world.garbage()
        await world.begin(count)
        await world.come_and_go(closes, count)
        await eventually(is_let_go)
    await world.assert_no_garbage(MOST_EACH * OTHERS)
