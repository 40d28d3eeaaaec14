"""The one place that builds everything, starts it, and takes it down again."""

import asyncio
import gc
import logging
import signal
from typing import Final

from msgspec import Struct
from quart import Quart

from actors.directory import Directory
from actors.questions import Questions
from actors.subscriptions import Subscriptions
from app.auth import Authenticator
from app.jobs import Jobs
from app.metrics import Metrics
from app.queue import JobQueue
from app.settings import InvalidSettings, Settings, variable
from app.sweeper import Sweeper
from app.viewers import Viewers
from eventlog.append import Appender
from eventlog.connection import Client, connect
from eventlog.creation import Creation
from eventlog.index import OwnerIndex
from eventlog.probe import Probe
from eventlog.reader import Reader

_log = logging.getLogger("jobcast")

_COLLECT_AFTER: Final = (20_000, 20, 50)
"""Allocations, and collections of the younger generation, before a generation is collected."""


class Service(Struct, frozen=True):
    """All parts of a service process."""

    settings: Settings
    authenticator: Authenticator
    clients: tuple[Client, ...]
    reader: Reader
    jobs: Jobs
    directory: Directory
    subscriptions: Subscriptions
    questions: Questions
    viewers: Viewers
    sweeper: Sweeper
    probe: Probe
    metrics: Metrics


def build(settings: Settings) -> Service:
    """Build the parts of a service; nothing connects before it is used.

    Raises:
        InvalidSettings: one can't be used; the message names the variable.
    """
    try:
        commands = connect(settings.redis_url)
        events = connect(settings.redis_url, decode=False)
    except ValueError as error:
        raise InvalidSettings(f"{variable('redis_url')}: {error}") from error
    appender, reader = Appender(commands), Reader(commands)
    creation, queue = Creation(commands), JobQueue(settings.queue, commands)
    subscriptions = Subscriptions(events)
    questions = Questions(reader, appender)
    directory = Directory(subscriptions, questions)
    viewers = Viewers(settings)
    jobs = Jobs(
        settings=settings,
        appender=appender,
        reader=reader,
        index=OwnerIndex(commands),
        creation=creation,
        queue=queue,
    )
    return Service(
        settings=settings,
        authenticator=Authenticator(settings),
        clients=(commands, events),
        reader=reader,
        jobs=jobs,
        directory=directory,
        subscriptions=subscriptions,
        questions=questions,
        viewers=viewers,
        sweeper=Sweeper(creation, reader, appender, queue),
        probe=Probe(commands),
        metrics=Metrics(viewers, directory, subscriptions, appender),
    )


def attach(app: Quart, service: Service) -> None:
    """Have an app start and stop a service."""
    tasks: set[asyncio.Task[None]] = set()

    @app.before_serving
    async def start() -> None:
        _calm_the_collector()
        if service.settings.demo and not service.settings.jwt_secret:
            _log.warning("demo mode: no key is set, a session id is all the identity there is")
        for work in (
            service.subscriptions.run(),
            service.viewers.keep_alive(),
            service.sweeper.run(),
            service.probe.run(),
        ):
            tasks.add(asyncio.create_task(work))
        _drain_on_sigterm(service, tasks)

    @app.after_serving
    async def stop() -> None:
        await service.viewers.drain(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await service.questions.close()
        await service.reader.close()
        for client in service.clients:
            await client.aclose()


def _calm_the_collector() -> None:
    """Look for cyclic garbage less often than Python does by default.

    Each viewer is some hundred objects that stay. By default the collector walks all of them again
    for every few thousand that come, which doubles the cost of a crowd's arrival.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


def _drain_on_sigterm(service: Service, tasks: set[asyncio.Task[None]]) -> None:
    """Send the viewers back while the server shuts down.

    Hypercorn waits for open responses and tells the application only afterwards. SIGINT is left to
    it: that closes the listener at once, and the responses end while it waits.
    """
    loop = asyncio.get_running_loop()

    def drain() -> None:
        if service.viewers.draining:
            return
        service.viewers.draining = True
        _log.info("draining %d streams", len(service.viewers))
        signal.raise_signal(signal.SIGINT)
        tasks.add(loop.create_task(service.viewers.drain(service.settings.grace_s)))

    try:
        loop.add_signal_handler(signal.SIGTERM, drain)
    except (NotImplementedError, RuntimeError, ValueError):
        _log.info("no signal handler here: streams are cut at a shutdown")
