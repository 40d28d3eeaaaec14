"""What a scenario happens in: Redis, two services, their networks, workers and viewers."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from jobcast.protocol.names import log_key, new_job_id
from tests.faults.clock import Clock
from tests.faults.event_source import Page
from tests.faults.front import DeployedNginx
from tests.faults.history import Truth, read_truth, truth_of_deleted
from tests.faults.scribe import Scribe
from tests.faults.workload import Plan, Work, Worker
from tests.support.proxy import Proxy
from tests.support.sentinels import SentinelSet
from tests.support.service import Service
from tests.support.valkey import HOST, Valkey
from tests.support.valkey_cluster import ValkeyCluster
from worker.queue_redis import QueueRedis

Form = Literal["plain", "sentinel", "cluster"]
"""How Redis is run."""

Store = Valkey | SentinelSet | ValkeyCluster


@dataclass
class World:
    """All that faults can strike.

    Attributes:
        store: Redis; a plain one is reached by the two networks to it, and others are not.
        direct: a client that reaches Redis past the networks.
        to_redis: the way of the services to it.
        workers_to_redis: the way of the workers to it.
        workers_url: where the workers find it.
        clock: what Redis and the services ask, if it can jump.
        front: the way of the viewers to the services.
        narrow: a second one, which keeps little on the way; some viewers come over it.
        pages: the viewers, those over the narrow way included.
        trouble: promises that faults saw broken, other than to viewers.
        deleted: jobs whose keys were deleted, with the ids of the entries that somebody else's job
            had under the same id since.
    """

    store: Store
    services: Sequence[Service]
    direct: Redis
    to_redis: Proxy
    workers_to_redis: Proxy
    front: Proxy
    narrow: Proxy
    workers_url: str
    clock: Clock | None
    haste: float
    works: list[Work] = field(default_factory=list)
    workers: list[Worker] = field(default_factory=list)
    scribes: dict[str, Scribe] = field(default_factory=dict)
    running: list[asyncio.Task[None]] = field(default_factory=list)
    pages: list[Page] = field(default_factory=list)
    narrow_pages: list[Page] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)
    deleted: dict[str, set[str]] = field(default_factory=dict)
    _numbers: Callable[[], int] = field(default_factory=lambda: itertools.count(1).__next__)

    @property
    def valkey(self) -> Valkey:
        """Return the plain Redis."""
        assert isinstance(self.store, Valkey)
        return self.store

    @property
    def sentinels(self) -> SentinelSet:
        """Return the Redis with Sentinels."""
        assert isinstance(self.store, SentinelSet)
        return self.store

    @property
    def cluster(self) -> ValkeyCluster:
        """Return the Cluster."""
        assert isinstance(self.store, ValkeyCluster)
        return self.store

    async def begin(self, plan: Plan) -> Work:
        """Create a job and have it worked on."""
        work = Work(plan)
        worker = Worker(self.workers_url, self.direct, work)
        job_id = await worker.create(await asyncio.to_thread(self._new_id))
        self.scribes[job_id] = Scribe(self.direct, job_id)
        self.works.append(work)
        self.workers.append(worker)
        self.running.append(asyncio.create_task(worker.run()))
        return work

    def _new_id(self) -> str:
        """Return the id of a job; in a Cluster all are on one node, so that a fault strikes all."""
        job_id = new_job_id()
        if isinstance(self.store, ValkeyCluster) and self.works:
            struck = self.cluster.owner_of(log_key(self.works[0].job_id))
            while self.cluster.owner_of(log_key(job_id)) is not struck:
                job_id = new_job_id()
        return job_id

    def watch(self, work: Work, *, narrow: bool = False) -> Page:
        """Open a page that watches a job."""
        way = self.narrow if narrow else self.front
        name = f"{'narrow viewer' if narrow else 'viewer'} {self._numbers()}"
        page = Page(
            name, f"http://{HOST}:{way.port}", work.job_id, lambda: work.end, haste=self.haste
        )
        page.open()
        self.pages.append(page)
        if narrow:
            self.narrow_pages.append(page)
        return page

    async def truth(self, work: Work, *, lost: bool) -> Truth:
        """Return a job as it is in the end; ``lost`` says whether Redis lost data on the way."""
        job_id, confirmed = work.job_id, list(work.confirmed)
        copied, foreign = self.scribes[job_id].entries, self.deleted.get(job_id)
        if foreign is None:
            truth = await read_truth(self.direct, job_id, confirmed, copied, lost=lost)
            return replace(truth, owed=frozenset(work.owed))
        return truth_of_deleted(job_id, confirmed, copied, foreign)

    async def end(self) -> None:
        """Stop all that still goes on."""
        while running := [task for task in self.running if not task.done()]:
            for task in running:
                task.cancel()
            await asyncio.wait(running, timeout=1)  # redis-py may lose a cancellation
        await asyncio.gather(*(page.closed(0) for page in self.pages))
        await asyncio.gather(*(scribe.stop() for scribe in self.scribes.values()))


@asynccontextmanager
async def world(
    *, form: Form, clock: Clock | None, nginx: bool, haste: float, settings: Mapping[str, Any]
) -> AsyncIterator[World]:
    """Start everything, and end it.

    Args:
        form: how Redis is run.
        clock: what a plain Redis and the services ask; None is the machine's.
        nginx: whether it stands before the services; else viewers reach them by plain TCP.
        haste: by what the waits of viewers are multiplied.
        settings: of the services.
    """
    async with AsyncExitStack() as stack:
        environment: dict[str, Any] = {} if clock is None else dict(clock.environment)
        store = _store(form, environment)
        stack.callback(store.close)
        await asyncio.to_thread(store.start)
        port = store.port if isinstance(store, Valkey) else 0
        to_redis, workers_to_redis = [
            await stack.enter_async_context(Proxy(port)) for _ in range(2)
        ]
        urls = [
            _patient(f"redis://{HOST}:{way.port}/0" if form == "plain" else store.url)
            for way in (to_redis, workers_to_redis)
        ]
        services = [Service(urls[0], **environment, **settings) for _ in range(2)]
        for service in services:
            stack.push_async_callback(asyncio.to_thread, _ended, service)
        await asyncio.gather(*(asyncio.to_thread(service.start) for service in services))
        ports = [service.port for service in services]
        if nginx:
            ports = [stack.enter_context(DeployedNginx(services)).port]
        front = await stack.enter_async_context(Proxy(*ports))
        narrow = await stack.enter_async_context(Proxy(*ports, narrow=True))
        direct: Any = QueueRedis(_patient(store.url))
        direct.client.set_retry(Retry(NoBackoff(), 0))  # or its pauses would be measured
        stack.push_async_callback(direct.aclose)
        made = World(
            store,
            services,
            direct.client,
            to_redis,
            workers_to_redis,
            front,
            narrow,
            urls[1],
            clock,
            haste,
        )
        stack.push_async_callback(made.end)
        yield made


def _store(form: Form, environment: Mapping[str, str]) -> Store:
    match form:
        case "plain":
            return Valkey(environment=environment)
        case "sentinel":
            return SentinelSet()
        case "cluster":
            return ValkeyCluster()


def _patient(url: str) -> str:
    """Return the address with the time that a call may take."""
    return f"{url}{'&' if '?' in url else '?'}socket_timeout=2"


def _ended(service: Service) -> None:
    if service.runs:
        service.kill()
