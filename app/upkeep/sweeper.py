"""Fails jobs whose queueing was interrupted.

A job is queued in steps, and Redis or a process may fail between any two. Until its place in the
queue is certain, a job is in the set of unconfirmed jobs. If it stays there, its queueing was never
acknowledged: it is removed from the queue and failed, so that no viewer waits forever.
"""

import asyncio
import logging
import random
from typing import Final

from app.queues import FIRST_ATTEMPT, JobQueue
from eventlog.append import Appender
from eventlog.creation_records import CreationRecords
from eventlog.errors import AppendRefused, LogUnavailable, Unreadable, UnreadableJob
from eventlog.reader import Reader
from jobcast.redis.outages import Outages
from schema.events import FailedData

_log = logging.getLogger("jobcast.sweeper")

PATIENCE_S: Final = 30.0
"""Time for which a job may stay unconfirmed: longer than any request takes."""

_PATIENCE_WITHOUT_TRACE: Final = 20
"""Keep unconfirmed jobs without a trace this many times longer: a partitioned network may deliver
their creation minutes later."""

_PAUSE_S: Final = 10.0
_NOT_QUEUED: Final = FailedData("The job could not be queued", "NOT_QUEUED")


class Sweeper:
    """Fails jobs that stay unconfirmed."""

    def __init__(
        self, records: CreationRecords, reader: Reader, appender: Appender, queue: JobQueue
    ) -> None:
        self._records = records
        self._reader = reader
        self._appender = appender
        self._queue = queue
        self._outages = Outages(_log, "can't sweep: %s")

    async def run(self) -> None:
        """Sweep at intervals until cancelled."""
        while True:
            try:
                await self.sweep(PATIENCE_S)
            except (LogUnavailable, Unreadable) as error:
                self._outages.add(error)
            await asyncio.sleep(_PAUSE_S * random.uniform(0.5, 1.5))  # noqa: S311 - jitter

    async def sweep(self, older_than_s: float) -> int:
        """Fail the jobs that have been unconfirmed for this long; return their number.

        An unreadable job is confirmed too, so that it is not tried again.

        Raises:
            LogUnavailable: Redis is unavailable.
            Unreadable: the set of unconfirmed jobs is not a sorted set.
        """
        failed = 0
        overdue = set(await self._records.unconfirmed(_PATIENCE_WITHOUT_TRACE * older_than_s))
        for job_id in await self._records.unconfirmed(older_than_s):
            try:
                state = await self._reader.load(job_id)
                if state is not None and state.status == "queued":
                    failed += await self._abandon(job_id, state.attempt)
                elif job_id not in overdue and (state is None or state.status == "failed"):
                    continue  # its creation or retry may still arrive in Redis
                elif state is None:
                    await self._queue.remove(job_id, FIRST_ATTEMPT)
            except UnreadableJob as error:
                _log.debug("job %s can't be swept: %s", job_id, error)
            except Exception as error:  # noqa: BLE001 - one job must not keep the others from it
                is_expected = isinstance(error, LogUnavailable | Unreadable)
                self._outages.add(
                    error, met_by=f"job {job_id}", error=None if is_expected else error
                )
                if job_id not in overdue:
                    continue
            await self._records.confirm(job_id)
        return failed

    async def _abandon(self, job_id: str, attempt: int) -> bool:
        """Fail a queued attempt unless a worker has started it; return whether it was failed."""
        await self._queue.remove(job_id, attempt)
        try:
            await self._appender.abandon(job_id, attempt, _NOT_QUEUED)
        except AppendRefused as refusal:
            _log.info("job %s needed no sweeping: %s", job_id, refusal)
            return False
        _log.warning("job %s was never queued for certain, and failed", job_id)
        return True
