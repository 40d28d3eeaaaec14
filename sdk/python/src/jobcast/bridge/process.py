"""The bridge process, from start to shutdown."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final, Protocol

from redis.exceptions import RedisError

from jobcast._connection import Connection
from jobcast.bridge.bullmq import BullMQ
from jobcast.bridge.jobs import BridgedJobs
from jobcast.bridge.leadership import Deposed, Leadership
from jobcast.bridge.notices import Notices
from jobcast.bridge.presence import Presence
from jobcast.bridge.publications import Publications
from jobcast.bridge.rq import RQ
from jobcast.bridge.settings import Settings
from jobcast.redis.address import parse_address
from jobcast.redis.caller import Caller
from jobcast.redis.outages import Outages

_log: Final = logging.getLogger("jobcast.bridge")

_RESTART_S: Final = 0.5


class RedisRefuses(Exception):
    """Redis refuses the user, password, database or an option of a URL."""


class Source(Protocol):
    """A source of events."""

    name: str

    async def follow(self) -> None:
        """Receive what the source does not keep, leader or not, until cancelled."""

    async def lead(self) -> None:
        """Append its events, until cancelled or `Deposed`."""


class Bridge:
    """Follows its sources from `run` to `stop`, and appends while it leads."""

    def __init__(self, settings: Settings) -> None:
        timeout_s = settings.lease_s / 2
        self._settings = settings
        self._notices = Notices()
        self._connection = Connection(settings.redis_url, try_s=timeout_s)
        self._redis = Caller(parse_address(settings.redis_url), timeout_s)
        self._queues = Caller(parse_address(settings.queue_url), timeout_s)
        self._leadership = Leadership(self._connection, settings.name, settings.lease_s)
        self._jobs = BridgedJobs(
            self._connection,
            self._leadership,
            settings.owner_rule,
            settings.bounds,
            self._notices,
        )
        self._sources = self._build()
        self._leading: list[asyncio.Task[None]] = []
        self._led_as = 0
        self._stopping = asyncio.Event()
        self._has_stood_by = False
        self._outages = Outages(_log, "the lease can't be renewed: %s")

    async def run(self) -> None:
        """Run until `stop` is called. Raises `RedisRefuses` if a URL is refused at the start."""
        callers = {"REDIS_URL": self._redis, "JOBCAST_BRIDGE_QUEUE_URL": self._queues}
        for name, caller in callers.items():
            refusal = await caller.servers.refusal()
            if refusal is not None:
                raise RedisRefuses(f"{name}: Redis refuses it: {refusal}")
        followers = [
            asyncio.create_task(_keep_running(source.follow, source.name))
            for source in self._sources
        ]
        try:
            while not self._stopping.is_set():
                await self._take_lead()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._leadership.pause_s):
                        await self._stopping.wait()
        finally:
            await _end([*self._leading, *followers])
            with suppress(RedisError):
                await self._leadership.release()
            await self._connection.aclose()
            for caller in callers.values():
                await caller.aclose()
            _log.info("stopped: %d appended; %s", self._jobs.appended, self._notices)

    def stop(self) -> None:
        """Stop the bridge."""
        self._stopping.set()

    async def _take_lead(self) -> None:
        """Take or renew the lease, and let the sources append while this bridge leads."""
        try:
            await self._leadership.take()
        except RedisError as error:
            self._outages.add(error)
        leads, fence = self._leadership.leads, self._leadership.fence
        if self._leading and not (leads and fence == self._led_as):
            _log.warning("not leading any more")
            await _end(self._leading)
            self._leading = []
        if leads and not self._leading:
            _log.info("leading, number %d: %s", fence, self._names())
            self._led_as = fence
            self._leading = [
                asyncio.create_task(_keep_running(source.lead, source.name))
                for source in self._sources
            ]
        elif not self._leading and not self._has_stood_by:
            self._has_stood_by = True
            _log.info("standing by: %s", self._names())

    def _names(self) -> str:
        return ", ".join(source.name for source in self._sources)

    def _build(self) -> Sequence[Source]:
        settings = self._settings
        sources: list[Source] = []
        if settings.publications:
            presence = Presence(self._connection, settings.lease_s)
            sources.append(
                Publications(
                    self._redis,
                    self._jobs,
                    self._leadership,
                    presence,
                    self._notices,
                    settings.lease_s,
                )
            )
        sources.extend(
            BullMQ(
                queue,
                self._queues,
                self._jobs,
                self._leadership,
                self._notices,
            )
            for queue in settings.bullmq
        )
        if settings.rq:
            sources.append(RQ(self._queues, self._jobs, self._leadership, self._notices))
        if settings.celery is not None:
            # Only this source needs Celery.
            from jobcast.bridge.celery import Celery  # noqa: PLC0415

            sources.append(
                Celery(
                    settings.celery,
                    self._jobs,
                    self._leadership,
                    self._notices,
                    settings.lease_s,
                )
            )
        return sources


async def _keep_running(work: Callable[[], Awaitable[None]], name: str) -> None:
    """Run a task; restart it after an unexpected error."""
    failures = Outages(_log, level=logging.ERROR)
    while True:
        try:
            await work()
        except Deposed:
            pass  # the bridge ends this task, or leads again: the lease was only renewed late
        except Exception as error:  # noqa: BLE001 - one source must not end the others
            failures.add(f"{name} failed and is restarted: {error}", error=error)
        else:
            return
        await asyncio.sleep(_RESTART_S)


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
