"""What the owner of a job sees of a worker that is gone without a word."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import pytest
from redis.asyncio import Redis

import jobcast
from tests.support.calls import call, status_of, without_times
from tests.support.http_worker import START, HttpWorker, event, new_run
from tests.support.lone_worker import LoneWorker
from tests.support.node_worker import NodeWorker
from tests.support.service import Service
from tests.support.sse import Event, watch
from tests.support.stored import log_of
from tests.support.valkey import Valkey
from tests.support.waiting import eventually

LEASE_S = 0.5
DATA = {"error": "The worker was lost", "errorCode": "STALLED"}


@pytest.fixture(scope="module")
def valkey() -> Iterator[Valkey]:
    """Return a server that no other service looks at."""
    with Valkey() as server:
        yield server


@pytest.fixture(scope="module")
def services(valkey: Valkey) -> Iterator[list[Service]]:
    """Return two service processes that soon notice a lost worker."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(Service(valkey.url, JOBCAST_STALL_GRACE_S="1")) for _ in range(2)
        ]


@pytest.fixture(autouse=True)
async def _nothing_is_counted_later(
    services: list[Service], redis_client: Redis
) -> AsyncIterator[None]:
    """Wait until each lease that is over was looked into: what came of it is counted by then."""
    assert services

    async def all_are_looked_into() -> bool:
        return not await redis_client.exists("jobs:leases")

    yield
    await eventually(all_are_looked_into)


async def names(redis: Redis, job_id: str) -> list[str]:
    return [fields["event"] for _, fields in await log_of(redis, job_id)]


async def test_viewers_of_a_job_whose_worker_was_killed_see_it_fail_once(
    services: list[Service], redis_url: str, redis_client: Redis, job_id: str
) -> None:
    one, other = services
    async with watch(one.url, job_id) as first, watch(other.url, job_id) as second:
        await asyncio.gather(*(stream.until("progress-update") for stream in (first, second)))
        with LoneWorker(redis_url, job_id, LEASE_S) as worker:
            worker.send(signal.SIGKILL)
            for rest in await asyncio.gather(first.rest(), second.rest()):
                assert [_shown(each) for each in rest][-1:] == [("failed", DATA)]
                assert [each.name for each in rest].count("failed") == 1
    assert await names(redis_client, job_id) == ["_created", "step-change", "failed"]


async def test_a_status_tells_it_when_nobody_has_watched(
    services: list[Service], redis_url: str, job_id: str
) -> None:
    async def has_failed() -> bool:
        return bool((await status_of(client, job_id))["status"] == "failed")

    async def is_counted() -> bool:
        counts = [(await each.metrics())["jobcast_runs_stalled_total"] for each in services]
        return sum(counts) == sum(counted) + 1

    counted = [(await each.metrics())["jobcast_runs_stalled_total"] for each in services]
    async with services[0].client() as client:
        with LoneWorker(redis_url, job_id, LEASE_S) as worker:
            worker.send(signal.SIGKILL)
            await eventually(has_failed)
        status = without_times(await status_of(client, job_id))
    assert {**status, **DATA, "status": "failed"} == status
    await eventually(is_counted)


async def test_a_retry_runs_it_again_and_the_old_run_stays_out(
    services: list[Service], redis_url: str, job_id: str, jobs: jobcast.Jobs
) -> None:
    with LoneWorker(redis_url, job_id, LEASE_S) as worker:
        worker.send(signal.SIGSTOP)
        async with watch(services[0].url, job_id) as stream:
            assert _shown((await stream.rest())[-1]) == ("failed", DATA)
        async with services[0].client() as client:
            assert (await call(client, "retry", job_id)).status_code == 200
            async with jobs.run(job_id, 2) as run:
                await run.progress(30)
                worker.send(signal.SIGCONT)
                refusal = await asyncio.to_thread(worker.report)
                assert refusal == "JobSuperseded: Attempt 1 was followed by attempt 2"
            status = await status_of(client, job_id)
    assert (status["status"], status["errorCode"]) == ("succeeded", None)


async def test_a_worker_by_http_that_falls_silent_is_lost_too(
    services: list[Service], redis_client: Redis, job_id: str
) -> None:
    run = new_run()
    async with HttpWorker(services[0]) as worker, watch(services[1].url, job_id) as stream:
        await worker.send(job_id, run, START, leaseSeconds=1)
        for _ in range(10):
            await worker.send(job_id, run, leaseSeconds=2)
        assert _shown((await stream.rest())[-1]) == ("failed", DATA)
        for events in ([event(2, "complete")], []):
            assert await worker.refusal(job_id, run, *events) == (409, "JOB_STALLED", [])
        repeated = await worker.send(job_id, run, START)
    log = await log_of(redis_client, job_id)
    assert [fields["event"] for _, fields in log] == ["_created", "step-change", "failed"]
    assert repeated["ids"] == [log[1][0]]


async def test_a_worker_in_node_that_was_killed_is_missed_too(
    services: list[Service], redis_url: str, redis_client: Redis, job_id: str
) -> None:
    async with (
        watch(services[0].url, job_id) as stream,
        NodeWorker(redis_url, leaseS=LEASE_S) as worker,
    ):
        await worker.call("open", job_id)
        await worker.call("start")
        worker.kill()
        assert _shown((await stream.rest())[-1]) == ("failed", DATA)
    assert await names(redis_client, job_id) == ["_created", "step-change", "failed"]


def _shown(seen: Event) -> tuple[str, object]:
    return seen.name, seen.data
