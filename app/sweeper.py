"""Finishes what a failed request left behind.

A job is queued in steps, and Redis or this process may go away between any two. Each job stands in
the set of unconfirmed ones until its place in the queue is certain. One that stays there was never
promised to its caller: it is taken out of the queue and failed, so that no viewer waits for ever.
"""

import asyncio
import logging
import random
from typing import Final

from app.queue import JobQueue
from eventlog.append import Appender
from eventlog.creation import Creation
from eventlog.errors import AppendRefused, LogUnavailable
from eventlog.reader import Reader
from schema.events import FailedData

_log = logging.getLogger("jobcast.sweeper")

PATIENCE_S: Final = 30.0
"""How long a job may stay unconfirmed: more than any request lasts."""

_PAUSE_S: Final = 10.0
_NOT_QUEUED: Final = FailedData("The job could not be queued", "NOT_QUEUED")


class Sweeper:
    """Ends jobs whose queueing was never confirmed."""

    def __init__(
        self, creation: Creation, reader: Reader, appender: Appender, queue: JobQueue
    ) -> None:
        self._creation = creation
        self._reader = reader
        self._appender = appender
        self._queue = queue

    async def run(self) -> None:
        """Sweep now and then, until cancelled."""
        while True:
            try:
                await self.sweep(PATIENCE_S)
            except LogUnavailable as error:
                _log.info("can't sweep: %s", error)
            await asyncio.sleep(_PAUSE_S * random.uniform(0.5, 1.5))  # noqa: S311 - jitter

    async def sweep(self, older_than_s: float) -> int:
        """End the jobs that have been unconfirmed for as long, and count them.

        Raises:
            LogUnavailable: Redis is away.
        """
        ended = 0
        for job_id in await self._creation.unconfirmed(older_than_s):
            state = await self._reader.load(job_id)
            if state is not None and state.status == "queued":
                await self._queue.remove(job_id, state.attempt)
                try:
                    await self._appender.abandon(job_id, state.attempt, _NOT_QUEUED)
                except AppendRefused as refusal:
                    _log.info("job %s needed no sweeping: %s", job_id, refusal)
                else:
                    ended += 1
                    _log.warning("job %s was never queued for certain, and failed", job_id)
            await self._creation.confirm(job_id)
        return ended
