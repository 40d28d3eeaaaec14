"""The worker on Redis as people run it, with jobs that the service has queued."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest

import jobcast
from app.queues.bullmq import BullQueue
from eventlog.errors import LogUnavailable
from eventlog.redis_calls import connect
from tests.support.deployments import Deployment, deployment
from tests.support.sentinels import SentinelSet
from tests.support.valkey_cluster import SlotMove, ValkeyCluster
from tests.support.waiting import eventually, until
from tests.support.working import working
from worker.registry import Registry

QUEUE = "jobcast"
KEY = f"{{bull}}:{QUEUE}:wait"


@pytest.fixture(params=["user", "sentinel", "cluster", "tls", "tls sentinel", "tls cluster"])
def redis(request: pytest.FixtureRequest) -> Deployment:
    return deployment(request.param, request)


class Jobs:
    """Creates jobs and queues them, and tells which the worker has done."""

    def __init__(self, jobs: jobcast.Jobs, queue: BullQueue) -> None:
        self._jobs = jobs
        self._queue = queue
        self.done: list[str] = []
        self.registry = Registry()
        self.registry.job("report")(self._report)

    async def do(self, job_id: str) -> None:
        """Have a job done."""
        await self._jobs.create("report", user_id="u1", job_id=job_id)
        await eventually(partial(self._is_queued, job_id))
        await until(lambda: job_id in self.done)

    async def _is_queued(self, job_id: str) -> bool:
        try:
            await self._queue.add(job_id, 1, "report")
        except LogUnavailable:
            return False
        return True

    async def _report(self, run: jobcast.Run) -> object:
        await run.progress(50)
        self.done.append(run.job_id)
        return None


@asynccontextmanager
async def jobs_on(url: str) -> AsyncIterator[Jobs]:
    """Serve the queue, and yield what puts jobs into it."""
    caller = connect(url)
    try:
        async with jobcast.connect(url, progress_per_s=None) as connected:
            jobs = Jobs(connected, BullQueue(QUEUE, caller))
            async with working(url, jobs.registry, grace_s=5):
                yield jobs
    finally:
        await caller.aclose()


async def test_a_queued_job_is_done(redis: Deployment) -> None:
    async with jobs_on(redis.url) as jobs:
        await jobs.do("j1")


async def test_the_queue_is_served_after_a_failover_by_sentinels(sentinels: SentinelSet) -> None:
    async with jobs_on(sentinels.url) as jobs:
        await jobs.do("j1")
        await asyncio.to_thread(sentinels.failover)
        await jobs.do("j2")


async def test_the_queue_is_served_after_the_death_of_its_node(cluster: ValkeyCluster) -> None:
    async with jobs_on(cluster.url) as jobs:
        await jobs.do("j1")
        cluster.owner_of(KEY).kill()
        await asyncio.to_thread(cluster.until_ok)
        await jobs.do("j2")


async def test_the_queue_is_served_after_its_slot_has_moved(cluster: ValkeyCluster) -> None:
    async with jobs_on(cluster.url) as jobs:
        await jobs.do("j1")
        with SlotMove(cluster, KEY) as move:
            move.move_keys()
        await jobs.do("j2")
    assert cluster.owner_of(KEY) is move.target
