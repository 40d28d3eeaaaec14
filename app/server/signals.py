"""Draining of streams on SIGTERM."""

import asyncio
import logging
import signal

from app.settings import Settings
from app.streaming.viewers import Viewers

_log = logging.getLogger("jobcast")


def drain_on_sigterm(viewers: Viewers, settings: Settings, tasks: set[asyncio.Task[None]]) -> None:
    """Drain the streams on SIGTERM, while Hypercorn shuts down.

    For ``notice_s``, or until a second SIGTERM, ``/readyz`` returns 503, so that load balancers
    stop routing here. Then SIGINT makes Hypercorn close its listener and wait for open responses,
    which the drain ends: Hypercorn itself notifies the application only after they have ended.
    """
    loop = asyncio.get_running_loop()

    def leave() -> None:
        notice_s = 0 if viewers.leaving else settings.notice_s
        viewers.leaving = True
        if notice_s:
            _log.info("leaving in %g s", notice_s)
            loop.call_later(notice_s, drain)
        else:
            drain()

    def drain() -> None:
        if viewers.draining:
            return
        viewers.draining = True
        _log.info("draining %d streams", len(viewers))
        signal.raise_signal(signal.SIGINT)
        tasks.add(loop.create_task(viewers.drain(settings.grace_s)))

    try:
        loop.add_signal_handler(signal.SIGTERM, leave)
    except (NotImplementedError, RuntimeError, ValueError):
        _log.info("no signal handler here: streams are cut at a shutdown")
