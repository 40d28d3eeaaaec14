"""Runs of workers without access to Redis: the service appends for them, and keeps their leases."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from msgspec import Struct

from eventlog.append import Appender
from eventlog.errors import AppendRefused, LogUnavailable, NotFailed
from eventlog.leases import LeasedRun, Leases
from eventlog.retried_run import find_run
from jobcast import _event
from jobcast.protocol.append import Answer, Append
from jobcast.redis.caller import Caller


class NumberedEvent(Struct, frozen=True):
    """An event of a run.

    Attributes:
        seq: its number within the run.
        append: what is appended.
        will_retry: whether it ends an attempt that the worker's queue will follow by another.
    """

    seq: int
    append: Append
    will_retry: bool = False


class Runs:
    """Appends the events of runs.

    It keeps nothing between two calls, so any service process may get the next one.
    """

    def __init__(self, appender: Appender, leases: Leases, redis: Caller) -> None:
        self._appender = appender
        self._leases = leases
        self._redis = redis

    async def append(  # noqa: PLR0913 - each by name
        self,
        job_id: str,
        run: str,
        attempt: int | None,
        events: Sequence[NumberedEvent],
        *,
        lease_ms: int,
        written: list[str | None],
    ) -> Answer:
        """Append events in order, up to the first that is refused, and renew the run's lease.

        After an end whose attempt is followed by another the job is queued again. A repeat of that
        writes nothing as well, whatever has become of the job since.

        Args:
            job_id: the job.
            run: token of the run.
            attempt: the attempt that it belongs to; any if None.
            events: the events; without any, the lease alone is renewed.
            lease_ms: its new length.
            written: gets the entry of each written event; None if it was a repeat, and trimmed.

        Returns:
            The last answer; the first one, if the first event has started the run.

        Raises:
            AppendRefused: an event is illegal in the job's state.
            UnreadableJob: the job is corrupt.
            LogUnavailable: Redis is unavailable.
        """
        try:
            return await self._append(job_id, run, attempt, events, lease_ms, written)
        except AppendRefused:
            if not (events and events[-1].will_retry):
                raise
            found = await find_run(self._redis, job_id, run)
            if found is None or events[-1].seq not in found.ids:
                raise
            written[:] = [found.ids.get(event.seq) for event in events]
            return found.job

    async def _append(  # noqa: PLR0913, PLR0917 - as above
        self,
        job_id: str,
        run: str,
        attempt: int | None,
        events: Sequence[NumberedEvent],
        lease_ms: int,
        written: list[str | None],
    ) -> Answer:
        leased = LeasedRun.of(job_id, run)
        started: Answer | None = None
        answer: Answer | None = None
        for event in events:
            is_start = event.append.operation == "start"
            if is_start:
                # Before it starts, for this process may crash right after that.
                await self._leases.postpone(leased, lease_ms)
            try:
                answer = await self._appender.append(
                    job_id, event.append, attempt=attempt, run=run, seq=str(event.seq)
                )
            except AppendRefused:
                if is_start:
                    await self._forget(leased)
                raise
            written.append(answer.entry_id or None)
            started = answer if is_start else started
            if event.append.is_end:
                await self._forget(leased)
                if event.will_retry:
                    with suppress(NotFailed):  # a repeat of this request was faster
                        await self._appender.retry(job_id)
                return _merged(started, answer)
        try:
            renewed, _ = await asyncio.gather(
                self._appender.append(job_id, _event.renewed(lease_ms), attempt=attempt, run=run),
                self._leases.postpone(leased, lease_ms),
            )
        except AppendRefused:
            await self._forget(leased)
            if answer is None:
                raise
            renewed = answer  # they are a repeat: the run has ended, or another took over
        return _merged(started, renewed)

    async def _forget(self, run: LeasedRun) -> None:
        """Remove a run without a lease from the index. If that fails, its next check removes it."""
        with suppress(LogUnavailable):
            await self._leases.remove(run)


def _merged(started: Answer | None, last: Answer) -> Answer:
    if started is None:
        return last
    return started._replace(cancel_requested=last.cancel_requested)
