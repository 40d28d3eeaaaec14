"""Fails runs whose leases have expired: their workers crashed or hang.

A lease may also expire because no worker could renew it: Redis was unavailable, or all machines
were suspended. So a run fails only after its Redis server has passed regular checks for
``grace_s``, in which a live worker would have renewed the lease. A failed check, and a gap longer
than ``grace_s`` by the server's clock, restart that period. In a Cluster each node has its own
period, because each may be unavailable alone; a node that takes over begins a new one.
"""

import asyncio
import logging
import random
from typing import Final

from msgspec import Struct

from eventlog.append import Appender
from eventlog.errors import AppendRefused, Leased, LogUnavailable, Unreadable, UnreadableJob
from eventlog.leases import LeasedRun, Leases
from jobcast.redis.outages import Outages

_log = logging.getLogger("jobcast.stalled_runs")

_BATCH: Final = 20
_CHECKS: Final = 4
"""Checks within ``grace_s``. With fewer, a slow check would count as a gap."""
_MS: Final = 1000


class _CheckSeries(Struct, frozen=True):
    """A series of checks of one server without a gap: Unix times of the first and last, in ms."""

    first_ms: int
    last_ms: int


class StalledRuns:
    """Finds and fails runs whose leases have expired.

    Args:
        leases: the index of leases.
        appender: appends the failures.
        grace_s: time for workers to renew their leases after an outage.

    Attributes:
        stalled: number of runs that this process has failed.
    """

    def __init__(self, leases: Leases, appender: Appender, grace_s: float) -> None:
        self._leases = leases
        self._appender = appender
        self._grace_ms = round(grace_s * _MS)
        self._pause_s = grace_s / _CHECKS
        self._series: dict[str, _CheckSeries] = {}
        self._failures = Outages(_log, "can't tell whether a worker is lost: %s")
        self.stalled = 0

    async def run(self) -> None:
        """Check at intervals until cancelled."""
        outages = Outages(_log, "can't look for lost workers: %s")
        while True:
            try:
                await self.check()
            except (LogUnavailable, Unreadable) as error:
                self._series.clear()
                outages.add(error)
            await asyncio.sleep(self._pause_s * random.uniform(0.5, 1.5))  # noqa: S311 - jitter

    async def check(self) -> None:
        """Check all servers, and fail runs with expired leases on those that pass.

        Raises:
            LogUnavailable: Redis is unavailable.
            Unreadable: the index of leases is not a sorted set.
        """
        loop = asyncio.get_running_loop()
        # Bounded, because slow appends could make the gap before the next check too long.
        end = loop.time() + self._pause_s / 2
        times = await self._leases.check()
        self._series = {
            server: self._extend(self._series.get(server), now_ms)
            for server, now_ms in times.by_server.items()
        }
        is_more = any(map(self._passes, self._series))
        while is_more:
            # Only runs that were due at the check: a later lease may have expired in a new outage.
            due = await self._leases.claim(times.index_ms, _BATCH, self._grace_ms)
            expired = (run for run in due if self._passes(self._leases.server_of(run)))
            await asyncio.gather(*map(self._stall, expired))
            is_more = len(due) == _BATCH and loop.time() < end

    def _extend(self, series: _CheckSeries | None, now_ms: int) -> _CheckSeries:
        if series is None or not 0 <= now_ms - series.last_ms <= self._grace_ms:
            return _CheckSeries(now_ms, now_ms)
        return _CheckSeries(series.first_ms, now_ms)

    def _passes(self, server: str | None) -> bool:
        series = self._series.get(server or "")
        return series is not None and series.last_ms - series.first_ms >= self._grace_ms

    async def _stall(self, run: LeasedRun) -> None:
        try:
            try:
                await self._appender.stall(run.job_id, run.run)
            except Leased as leased:
                await self._leases.postpone(run, leased.left_ms)
                return
            except AppendRefused as refusal:
                _log.debug("job %s: nothing to fail: %s", run.job_id, refusal)
            except UnreadableJob as error:
                _log.debug("job %s can't be failed: %s", run.job_id, error)
            else:
                self.stalled += 1
                _log.warning("job %s failed: its worker was lost", run.job_id)
            await self._leases.remove(run)
        except Exception as error:  # noqa: BLE001 - one run must not keep the others from it
            is_expected = isinstance(error, LogUnavailable | Unreadable)
            self._failures.add(
                error, met_by=f"job {run.job_id}", error=None if is_expected else error
            )
