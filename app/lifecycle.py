"""Builds, starts and stops all components."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from msgspec import Struct
from quart import Quart

from actors.directory import Directory
from app.auth import Authenticator
from app.jobs import Jobs
from app.metrics import Metrics
from app.queues.kinds import queue_of
from app.server.descriptors import Descriptors, raise_limit
from app.server.signals import drain_on_sigterm
from app.settings import InvalidSettings, Settings, variable
from app.streaming.decision import Streams
from app.streaming.viewers import Viewers
from app.upkeep.garbage import GarbagePolicy
from app.upkeep.stalled_runs import StalledRuns
from app.upkeep.sweeper import Sweeper
from app.worker_jobs import WorkerJobs
from eventlog.active_jobs import ActiveJobs
from eventlog.announcements import Announcements
from eventlog.append import Appender
from eventlog.bridge_watch import BridgeWatch
from eventlog.creation_records import CreationRecords
from eventlog.index import OwnerIndex
from eventlog.leases import Leases
from eventlog.probe import Probe
from eventlog.questions import Questions
from eventlog.reader import Reader
from eventlog.redis_calls import connect
from eventlog.runs import Runs
from eventlog.subscriptions import Subscriptions
from jobcast._logging import log_to_stderr
from jobcast.redis.caller import Caller
from jobcast.redis.outages import Outages

_log = logging.getLogger("jobcast")

_RESTART_S: Final = 0.5


class Service(Struct, frozen=True):
    """All components of a service process."""

    settings: Settings
    authenticator: Authenticator
    redis: Caller
    reader: Reader
    jobs: Jobs
    worker_jobs: WorkerJobs
    bridge_watch: BridgeWatch
    directory: Directory
    subscriptions: Subscriptions
    questions: Questions
    viewers: Viewers
    streams: Streams
    sweeper: Sweeper
    stalled_runs: StalledRuns
    probe: Probe
    metrics: Metrics


def build(settings: Settings) -> Service:
    """Build the components of a service; connections open at first use.

    Raises:
        InvalidSettings: a setting is unusable; the message names the variable.
    """
    try:
        redis = connect(settings.redis_url)
    except ValueError as error:
        raise InvalidSettings(f"{variable('redis_url')}: {error}") from error
    appender, reader = Appender(redis), Reader(redis)
    records, queue = CreationRecords(redis), queue_of(settings, redis)
    subscriptions = Subscriptions(redis.servers)
    questions = Questions(reader, appender)
    bridge_watch = BridgeWatch(redis)
    directory = Directory(subscriptions, questions, bridge_watch.is_bridged)
    viewers = Viewers(settings)
    index = OwnerIndex(redis)
    jobs = Jobs(
        settings=settings,
        appender=appender,
        reader=reader,
        index=index,
        records=records,
        queue=queue,
    )
    leases = Leases(redis)
    stalled_runs = StalledRuns(leases, appender, settings.stall_grace_s)
    authenticator = Authenticator(settings)
    streams = Streams(
        settings=settings,
        authenticator=authenticator,
        jobs=jobs,
        reader=reader,
        directory=directory,
        viewers=viewers,
        active_jobs=ActiveJobs(index, reader),
        announcements=Announcements(subscriptions),
    )
    return Service(
        settings=settings,
        authenticator=authenticator,
        redis=redis,
        reader=reader,
        jobs=jobs,
        worker_jobs=WorkerJobs(jobs, records, queue, reader, Runs(appender, leases, redis)),
        bridge_watch=bridge_watch,
        directory=directory,
        subscriptions=subscriptions,
        questions=questions,
        viewers=viewers,
        streams=streams,
        sweeper=Sweeper(records, reader, appender, queue),
        stalled_runs=stalled_runs,
        probe=Probe(redis, subscriptions),
        metrics=Metrics(
            viewers,
            directory,
            subscriptions,
            appender,
            stalled_runs,
            key_set=authenticator.key_set,
        ),
    )


def attach(app: Quart, service: Service) -> None:
    """Start and stop a service with an app."""
    tasks: set[asyncio.Task[None]] = set()
    garbage = GarbagePolicy()

    @app.before_serving
    async def start() -> None:
        log_to_stderr("jobcast")  # not before: the server may configure logging as it starts
        refusal = await service.redis.servers.refusal()
        if refusal is not None:
            raise InvalidSettings(f"{variable('redis_url')}: Redis refuses it: {refusal}")
        if service.settings.demo and not service.settings.jwt_secret:
            _log.warning("demo mode: no key is set, sessions are the only identity")
        raise_limit(service.settings.streams_per_process)
        garbage.begin()
        for work in (
            service.subscriptions.run,
            service.bridge_watch.run,
            service.viewers.keep_alive,
            partial(service.directory.verify_jobs, service.settings.keepalive_s),
            service.sweeper.run,
            service.stalled_runs.run,
            service.probe.run,
            service.authenticator.run,
            Descriptors(lambda: len(service.viewers)).run,
            garbage.run,
        ):
            tasks.add(asyncio.create_task(_keep_running(work)))
        drain_on_sigterm(service.viewers, service.settings, tasks)

    @app.after_serving
    async def stop() -> None:
        service.viewers.leaving = True
        await service.viewers.drain(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        garbage.end()
        await service.questions.close()
        await service.reader.close()
        await service.redis.aclose()


async def _keep_running(work: Callable[[], Awaitable[None]]) -> None:
    """Run a background task; restart it after an unexpected error."""
    failures = Outages(_log, level=logging.ERROR)
    while True:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - the service needs all of its tasks
            failures.add(f"{work} failed and is restarted: {error}", error=error)
            await asyncio.sleep(_RESTART_S)
        else:
            return
