"""What a scenario happens in: Redis, two services, their networks, workers and viewers."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis

from tests.faults.event_source import Page
from tests.faults.front import DeployedNginx
from tests.faults.network import Network
from tests.faults.workload import Plan, Work, Worker
from tests.service import Service
from tests.valkey import HOST, Valkey


@dataclass
class World:
    """All that faults can strike.

    Attributes:
        direct: a client that reaches Redis past the networks.
        to_redis: the way of the services to it.
        workers_to_redis: the way of the workers to it.
        front: the way of the viewers to the services.
        narrow: a second one, which keeps little on the way; some viewers come over it.
        pages: the viewers, those over the narrow way included.
        trouble: promises that faults saw broken, other than to viewers.
    """

    valkey: Valkey
    services: Sequence[Service]
    direct: Redis
    to_redis: Network
    workers_to_redis: Network
    front: Network
    narrow: Network
    haste: float
    works: list[Work] = field(default_factory=list)
    workers: list[Worker] = field(default_factory=list)
    running: list[asyncio.Task[None]] = field(default_factory=list)
    pages: list[Page] = field(default_factory=list)
    narrow_pages: list[Page] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)
    _numbers: Callable[[], int] = field(default_factory=lambda: itertools.count(1).__next__)

    async def begin(self, plan: Plan) -> Work:
        """Create a job and have it worked on."""
        work = Work(plan)
        worker = Worker(_url(self.workers_to_redis), self.direct, work)
        await worker.create()
        self.works.append(work)
        self.workers.append(worker)
        self.running.append(asyncio.create_task(worker.run()))
        return work

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

    async def end(self) -> None:
        """Stop all that still goes on."""
        for task in self.running:
            task.cancel()
        await asyncio.gather(*self.running, return_exceptions=True)
        await asyncio.gather(*(page.closed(0) for page in self.pages))


@asynccontextmanager
async def world(*, nginx: bool, haste: float, settings: Mapping[str, Any]) -> AsyncIterator[World]:
    """Start everything, and end it.

    Args:
        nginx: whether it stands before the services; else viewers reach them by plain TCP.
        haste: by what the waits of viewers are multiplied.
        settings: of the services.
    """
    async with AsyncExitStack() as stack:
        valkey = Valkey()
        stack.callback(valkey.close)
        await asyncio.to_thread(valkey.start)
        to_redis, workers_to_redis = [
            await stack.enter_async_context(Network(valkey.port)) for _ in range(2)
        ]
        services = [Service(_url(to_redis), **settings) for _ in range(2)]
        for service in services:
            stack.push_async_callback(asyncio.to_thread, _ended, service)
        await asyncio.gather(*(asyncio.to_thread(service.start) for service in services))
        ports = [service.port for service in services]
        if nginx:
            ports = [stack.enter_context(DeployedNginx(services)).port]
        front = await stack.enter_async_context(Network(*ports))
        narrow = await stack.enter_async_context(Network(*ports, narrow=True))
        direct = await stack.enter_async_context(
            Redis(port=valkey.port, decode_responses=True, socket_timeout=1)
        )
        made = World(valkey, services, direct, to_redis, workers_to_redis, front, narrow, haste)
        stack.push_async_callback(made.end)
        yield made


def _url(network: Network) -> str:
    return f"redis://{HOST}:{network.port}/0?socket_timeout=2"


def _ended(service: Service) -> None:
    if service.runs:
        service.kill()
