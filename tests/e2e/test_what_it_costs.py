"""What events and viewers cost, in numbers that no clock can upset: system calls, bytes, commands.

Where a number is exact, one more is a mistake; where it is a bound, the reason is beside it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

import jobcast
from tests.support.service import SESSION, Service
from tests.support.sse import Stream, watch
from tests.support.starting import until_it_says
from tests.support.valkey import Valkey
from tests.support.waiting import PATIENCE_SECONDS, eventually

VIEWERS = 20
EVENTS = 50
COMING = 60

NAME = "service"
"""The name of the service's connections in Redis."""

IN_THE_SCRIPT = ("evalsha", "hmget", "xadd", "hset", "publish")
"""What an append is, each once. The two keys' expiry comes to it once in 100 s of entry ids, the
length of the log at every sixteenth number of a run."""

A_LENGTH = 16

TOTALS = ("tot-cmds", "tot-net-in")
"""The commands and the bytes that Valkey has got from a client."""

OF_CONNECTIONS = {"ping", "hello", "auth", "client|setinfo", "select"}
"""What a connection asks for its own sake, whenever it begins or is idle."""

OF_THE_COUNTING = {"config|resetstat", "info", "pubsub|channels", "client|list"}

OF_THE_SWEEPER = {"eval", "time", "zrange"}
"""Two looks at the unconfirmed jobs every 5 to 15 s, each by a script that asks what time it is,
whatever else goes on. None of what is counted here does any of that."""

OF_THE_BRIDGE = {"get", "pttl"}
"""A look twice a second, by a script, whether a bridge appends for publish-only workers."""

OF_A_START = {"publish", "zrange", "time"}
"""The probe, the sweeper's first look, and the one for lost workers."""

RESIDENT_BYTES = 30 * 1024
"""For each viewer of a job of its own, actor included: 19 to 24 KiB are usual. It is the machine's
memory that is measured, in pages, with what the allocators keep."""


@pytest.fixture(scope="module")
def own_valkey() -> Iterator[Valkey]:
    """Return a server whose commands are this module's alone."""
    with Valkey() as server:
        yield server


@pytest.fixture(scope="module")
def own_service(own_valkey: Valkey) -> Iterator[Service]:
    """Return a service whose writes are this module's alone."""
    # Looks for lost workers, and for silent jobs that vanished, would be counted as well: none
    # come while the tests run.
    with (
        Service(
            f"{own_valkey.url}?client_name={NAME}",
            JOBCAST_STALL_GRACE_S="3600",
            JOBCAST_KEEPALIVE_S="3600",
        ) as running,
        own_valkey.client() as ask,
    ):

        def has_begun() -> bool:
            return set(calls_in(ask.info("commandstats"))) >= OF_A_START

        until_it_says(has_begun, PATIENCE_SECONDS)
        yield running


@pytest.fixture
async def own_jobs(own_valkey: Valkey) -> AsyncIterator[jobcast.Jobs]:
    """Return what a worker calls; it renews no lease while a test lasts."""
    async with jobcast.connect(own_valkey.url, lease_s=3600, progress_per_s=None) as connected:
        yield connected


@pytest.fixture
async def commands(own_valkey: Valkey, own_jobs: jobcast.Jobs) -> AsyncIterator["Commands"]:
    """Return how often each command was called, once nobody follows a job of an earlier test."""

    async def nothing_is_followed() -> bool:
        return not await client.pubsub_channels("jobs:*")

    async with Redis.from_url(own_valkey.url, decode_responses=True) as client:
        for channel in await client.pubsub_channels("jobs:*"):
            async with own_jobs.run(str(channel).split(":")[1]):
                pass  # its end is the end of following it
        await eventually(nothing_is_followed)
        yield Commands(client)


def calls_in(stats: Any) -> dict[str, int]:  # noqa: ANN401 - what Redis answers
    """Return the calls of each command by ``INFO commandstats``."""
    return {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in stats.items()}


class Commands:
    """The calls that Redis has counted, those of scripts included."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    async def forget(self) -> None:
        """Begin to count."""
        await self._client.config_resetstat()

    async def counts(self) -> dict[str, int]:
        """Return the calls of each command that has to do with jobs."""
        calls = calls_in(await self._client.info("commandstats"))
        unrelated = OF_CONNECTIONS | OF_THE_COUNTING | OF_THE_SWEEPER | OF_THE_BRIDGE
        return {name: count for name, count in calls.items() if name not in unrelated}

    async def of_the_service(self) -> tuple[int, int]:
        """Return how many commands the service has sent, and their bytes, pings and looks too."""
        await self._client.ping()  # by its answer Redis has read all that was written before
        clients = [each for each in await self._client.client_list() if each["name"] == NAME]
        assert clients
        count, size = (sum(int(each[total]) for each in clients) for total in TOTALS)
        return count, size


def written(service: Service) -> tuple[int, int]:
    """Return how often and how many bytes the process has written."""
    lines = Path(f"/proc/{service.pid}/io").read_text().splitlines()
    fields = dict(line.split(": ") for line in lines)
    return int(fields["syscw"]), int(fields["wchar"])


async def shown(streams: list[Stream], name: str) -> None:
    """Wait until each viewer has been sent an event of that name."""
    await asyncio.gather(*(stream.until(name) for stream in streams))


async def test_a_delivery_is_one_write_of_the_frame_and_nothing_else(
    own_service: Service, own_jobs: jobcast.Jobs, commands: Commands
) -> None:
    job_id = await own_jobs.create("anything", session_id=SESSION)
    async with AsyncExitStack() as stack:
        streams = [
            await stack.enter_async_context(watch(own_service.url, job_id)) for _ in range(VIEWERS)
        ]
        await shown(streams, "progress-update")
        run = own_jobs.run(job_id)
        await run.start()
        await shown(streams, "step-change")
        sizes = [len(stream.body) for stream in streams]
        before = *(await commands.of_the_service()), *written(own_service)
        for percent in range(EVENTS):
            await run.progress(percent)
            await shown(streams, "progress-update")
        after = written(own_service)
        totals = *(await commands.of_the_service()), *after
        sent, sent_bytes, calls, size = (
            now - earlier for now, earlier in zip(totals, before, strict=True)
        )
        frames = sum(
            len(stream.body) - before for stream, before in zip(streams, sizes, strict=True)
        )
    deliveries = VIEWERS * EVENTS
    chunking = len(b"7f\r\n\r\n") * deliveries
    assert deliveries <= calls <= deliveries + sent
    assert frames + chunking <= size <= frames + chunking + sent_bytes


async def test_a_viewer_of_a_watched_job_costs_a_question_and_is_sent_all_there_is_in_one_write(
    own_service: Service, own_jobs: jobcast.Jobs, commands: Commands
) -> None:
    job_id = await own_jobs.create("anything", session_id=SESSION)
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(watch(own_service.url, job_id))
        await first.until("progress-update")
        await commands.forget()
        sent_before, _ = await commands.of_the_service()
        before, _ = written(own_service)
        for _ in range(COMING):
            stream = await stack.enter_async_context(watch(own_service.url, job_id))
            await stream.until("progress-update")
        calls, _ = written(own_service)
        sent, _ = await commands.of_the_service()
        counts = await commands.counts()
    # Whose job it is; then head, greeting and state.
    assert counts == {"hmget": COMING}
    assert 2 * COMING <= calls - before <= COMING + sent - sent_before


async def test_an_event_costs_redis_one_script_and_the_service_asks_nothing(
    own_service: Service, own_jobs: jobcast.Jobs, commands: Commands
) -> None:
    job_id = await own_jobs.create("anything", session_id=SESSION)
    async with watch(own_service.url, job_id) as stream:
        await stream.until("progress-update")
        run = own_jobs.run(job_id)
        await run.start()
        await stream.until("step-change")
        await commands.forget()
        for percent in range(EVENTS):
            await run.progress(percent)
            await stream.until("progress-update")
        counts = await commands.counts()
    assert counts.pop("expire", 0) in {0, 2}
    assert counts.pop("xlen") == EVENTS // A_LENGTH
    assert counts == dict.fromkeys(IN_THE_SCRIPT, EVENTS)


async def test_a_viewer_costs_redis_a_read_and_a_look_and_the_next_a_read(
    own_service: Service, own_jobs: jobcast.Jobs, commands: Commands
) -> None:
    async def first_is_served() -> bool:
        return await commands.counts() == {"hmget": 2, "subscribe": 1}

    job_id = await own_jobs.create("anything", session_id=SESSION)
    await commands.forget()
    async with watch(own_service.url, job_id) as first:
        await first.until("progress-update")
        await eventually(first_is_served)
        async with watch(own_service.url, job_id) as second:
            await second.until("progress-update")
            assert await commands.counts() == {"hmget": 3, "subscribe": 1}


async def test_a_status_poll_is_one_round_trip(
    own_service: Service, own_jobs: jobcast.Jobs, commands: Commands
) -> None:
    job_id = await own_jobs.create("anything", session_id=SESSION)
    async with own_service.client() as client:
        await commands.forget()
        for _ in range(EVENTS):
            assert (await client.get(f"/api/v1/jobs/{job_id}/status")).status_code == 200
    assert await commands.counts() == {"hmget": EVENTS}


async def test_viewers_of_many_jobs_take_little_memory(
    own_service: Service, own_jobs: jobcast.Jobs
) -> None:
    async def all_watch(count: int) -> None:
        job_ids = [await own_jobs.create("anything", session_id=SESSION) for _ in range(count)]
        streams = [
            await stack.enter_async_context(watch(own_service.url, job_id)) for job_id in job_ids
        ]
        await shown(streams, "progress-update")

    async with AsyncExitStack() as stack:
        await all_watch(200)  # the allocators' own, and code that is run for the first time
        before = own_service.resident_bytes()
        await all_watch(800)
        assert (own_service.resident_bytes() - before) / 800 <= RESIDENT_BYTES
