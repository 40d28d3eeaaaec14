"""Fails jobs whose workers are gone without a word.

A run holds a lease that its worker renews. When it is over, and the job still is in that very run,
the worker is lost, and viewers must not wait for it any longer.

A lease may also be over because nobody could renew it: Redis was away, or all machines slept. So a
run is failed only after the server of its job was looked at regularly for a while, in which its
worker would have come back. Irregular is any gap that is longer than this while by the server's
clock, and any look that failed; the first one comes after a gap. In a Cluster each node is looked
at, for each may be away alone; one that took over from another is looked at for the first time.
"""

import asyncio
import logging
import random
from typing import Final

from msgspec import Struct

from eventlog.append import Appender
from eventlog.errors import AppendRefused, Leased, LogUnavailable, Unreadable, UnreadableJob
from eventlog.leases import LeasedRun, Leases

_log = logging.getLogger("jobcast.stalled_runs")

_BATCH: Final = 20
_LOOKS: Final = 4
"""How often to look within the grace, or a little slow one would count as a gap."""
_MS: Final = 1000


class _Looks(Struct, frozen=True):
    """The looks at one server that had no gap between them: the first and the last, in ms."""

    first_ms: int
    last_ms: int


class StalledRuns:
    """Looks for runs whose leases are over.

    ``grace_s`` is for how many seconds workers may renew their leases after an outage. ``stalled``
    counts the runs that were failed.
    """

    def __init__(self, leases: Leases, appender: Appender, grace_s: float) -> None:
        self._leases = leases
        self._appender = appender
        self._grace_ms = round(grace_s * _MS)
        self._pause_s = grace_s / _LOOKS
        self._looks: dict[str, _Looks] = {}
        self.stalled = 0

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        while True:
            try:
                await self.look()
            except (LogUnavailable, Unreadable) as error:
                self._looks.clear()
                _log.info("can't look for lost workers: %s", error)
            await asyncio.sleep(self._pause_s * random.uniform(0.5, 1.5))  # noqa: S311 - jitter

    async def look(self) -> None:
        """Fail the runs whose leases are over, unless it is too early to tell.

        Raises:
            LogUnavailable: Redis is away.
            Unreadable: the index of leases is no index.
        """
        loop = asyncio.get_running_loop()
        # Else jobs that can't be reached could make the gap before the next look too long.
        end = loop.time() + self._pause_s / 2
        times = await self._leases.look()
        self._looks = {
            server: self._continued(self._looks.get(server), now_ms)
            for server, now_ms in times.by_server.items()
        }
        is_more = any(map(self._is_regular, self._looks))
        while is_more:
            # Not what became due since: Redis may stand still at any moment.
            due = await self._leases.claim(times.index_ms, _BATCH, self._grace_ms)
            judged = (run for run in due if self._is_regular(self._leases.server_of(run)))
            await asyncio.gather(*map(self._judge, judged))
            is_more = len(due) == _BATCH and loop.time() < end

    def _continued(self, looks: _Looks | None, now_ms: int) -> _Looks:
        if looks is None or not 0 <= now_ms - looks.last_ms <= self._grace_ms:
            return _Looks(now_ms, now_ms)
        return _Looks(looks.first_ms, now_ms)

    def _is_regular(self, server: str | None) -> bool:
        if server is None or server not in self._looks:
            return False
        looks = self._looks[server]
        return looks.last_ms - looks.first_ms >= self._grace_ms

    async def _judge(self, run: LeasedRun) -> None:
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
        except (LogUnavailable, Unreadable) as error:
            _log.info("job %s: can't tell whether its worker is lost: %s", run.job_id, error)
