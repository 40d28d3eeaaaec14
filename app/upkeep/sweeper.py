"""Finishes what a failed request left behind.

A job is queued in steps, and Redis or this process may go away between any two. Each job stands in
the set of unconfirmed ones until its place in the queue is certain. One that stays there was never
promised to its caller: it is taken out of the queue and failed, so that no viewer waits for ever.
"""

import asyncio
import logging
import random
from typing import Final

from app.queue import FIRST_ATTEMPT, JobQueue
from eventlog.append import Appender
from eventlog.creation import Creation
from eventlog.errors import AppendRefused, LogUnavailable, Unreadable, UnreadableJob
from eventlog.reader import Reader
from schema.events import FailedData

_log = logging.getLogger("jobcast.sweeper")

PATIENCE_S: Final = 30.0
"""How long a job may stay unconfirmed: more than any request lasts."""

_CERTAINTY: Final = 20
"""How many times as long a job is kept in mind of which there is nothing to be seen: a network that
was cut delivers what was sent before, minutes after the sender has given up."""

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
            except (LogUnavailable, Unreadable) as error:
                _log.info("can't sweep: %s", error)
            await asyncio.sleep(_PAUSE_S * random.uniform(0.5, 1.5))  # noqa: S311 - jitter

    async def sweep(self, older_than_s: float) -> int:
        """End the jobs that have been unconfirmed for as long, and count them.

        One that can't be read keeps no other from being ended, and is not tried again.

        Raises:
            LogUnavailable: Redis is away.
            Unreadable: the set of unconfirmed jobs is no set.
        """
        ended = 0
        certain = set(await self._creation.unconfirmed(_CERTAINTY * older_than_s))
        for job_id in await self._creation.unconfirmed(older_than_s):
            try:
                state = await self._reader.load(job_id)
                if state is not None and state.status == "queued":
                    ended += await self._abandon(job_id, state.attempt)
                elif job_id not in certain and (state is None or state.status == "failed"):
                    continue  # what creates or retries it may have been sent and not arrived
                elif state is None:
                    await self._queue.remove(job_id, FIRST_ATTEMPT)
            except UnreadableJob as error:
                _log.debug("job %s can't be swept: %s", job_id, error)
            except (LogUnavailable, Unreadable) as error:
                _log.info("job %s can't be swept: %s", job_id, error)
                if job_id not in certain:
                    continue
            await self._creation.confirm(job_id)
        return ended

    async def _abandon(self, job_id: str, attempt: int) -> bool:
        """Fail a queued attempt, unless a worker has it; say whether it was failed."""
        await self._queue.remove(job_id, attempt)
        try:
            await self._appender.abandon(job_id, attempt, _NOT_QUEUED)
        except AppendRefused as refusal:
            _log.info("job %s needed no sweeping: %s", job_id, refusal)
            return False
        _log.warning("job %s was never queued for certain, and failed", job_id)
        return True
