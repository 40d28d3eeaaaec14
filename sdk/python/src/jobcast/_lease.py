"""The lease of a run: while it is renewed, the service considers the worker alive."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final
from weakref import WeakMethod

from redis.exceptions import RedisError

from jobcast._connection import Connection
from jobcast._errors import JobcastError
from jobcast._retry import jittered
from jobcast.protocol.leases import ENTER, LEASES_KEY, lease_member
from jobcast.redis.outages import Outages

RENEWALS: Final = 3
"""Least number of renewals within the length of a lease."""
MAX_INTERVAL_S: Final = 10.0
"""Longest time between two renewals, in seconds, also of a long lease: a clock jump or restored
data may expire a lease at once, and the service then waits 20 s for a renewal."""
TRIES: Final = 12
"""Number of tries within the length of a lease while Redis is unavailable."""
MAX_PAUSE_S: Final = 5.0
"""Longest pause between two tries, in seconds: shorter than the service's grace time after an
outage."""

_log: Final = logging.getLogger("jobcast")

OUTAGES: Final = Outages(_log, "leases of runs can't be renewed: %s")
RENEWED: Final = "leases of runs are renewed again"

Renewal = WeakMethod[Callable[[int], Awaitable[None]]]
"""Renews the lease in the job's state; a weak reference, so a run that nobody holds is not
renewed."""


class Lease:
    """Renews the lease of one run in the background.

    Between two renewals there is only a timer and no task, so the event loop may end at any time.
    Redis may be unavailable for longer than the lease: the service then grants workers a grace
    time.
    """

    def __init__(
        self, connection: Connection, job_id: str, run: str, length_ms: int, kept: set["Lease"]
    ) -> None:
        self._connection = connection
        self._job_id = job_id
        self._member = lease_member(job_id, run)
        self._length_ms = length_ms
        self._kept = kept
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._renewal: Renewal | None = None

    async def announce(self) -> None:
        """Enter the run into the index of leases, or postpone its due time there.

        This comes before the start, so that the service also detects a worker that dies right after
        it.
        """
        length_ms = str(self._length_ms)
        await self._connection.call(
            LEASES_KEY, "EVAL", ENTER, "1", LEASES_KEY, self._member, length_ms
        )

    def keep(self, renew: Renewal) -> None:
        """Start renewing the lease."""
        self._kept.add(self)
        self._renewal = renew
        self._wait_for_next()

    def resume(self) -> None:
        """Renew the lease in the running event loop, from now on, unless that was stopped."""
        if self in self._kept:
            self._wait(0)

    def stop(self) -> None:
        """Stop renewing the lease: it expires unless the run has ended."""
        self._kept.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def end(self) -> None:
        """Remove the ended run from the index; otherwise the service would remove it."""
        self.stop()
        self._connection.send(LEASES_KEY, "ZREM", LEASES_KEY, self._member)

    def _wait(self, delay_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._begin)

    def _wait_for_next(self) -> None:
        self._wait(min(self._length_ms / 1000 / RENEWALS, MAX_INTERVAL_S))

    def _wait_to_try_again(self) -> None:
        pause_s = min(self._length_ms / 1000 / TRIES, MAX_PAUSE_S)
        self._wait(jittered(pause_s))

    def _begin(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._renew())

    async def _renew(self) -> None:
        call = None if self._renewal is None else self._renewal()
        if call is None:
            self.stop()
            return
        try:
            await call(self._length_ms)
            await self.announce()
        except JobcastError as refusal:
            _log.warning("job %s: its lease is renewed no longer: %s", self._job_id, refusal)
            self._task = None
            self.end()
        except RedisError as error:
            OUTAGES.add(error)
            self._wait_to_try_again()
        except Exception:  # noqa: BLE001 - a live run must not be taken for lost
            _log.exception("job %s: its lease could not be renewed", self._job_id)
            self._wait_to_try_again()
        else:
            OUTAGES.end(RENEWED)
            self._wait_for_next()


class Leases:
    """The leases of the runs of one `Jobs`. With ``length_s`` None, runs hold none."""

    def __init__(self, connection: Connection, length_s: float | None) -> None:
        self._connection = connection
        self._kept: set[Lease] = set()
        self.length_ms = None if length_s is None else round(length_s * 1000)

    def of_run(self, job_id: str, run: str) -> Lease | None:
        """Return the lease of a run that is about to start; None if runs hold none."""
        if self.length_ms is None:
            return None
        return Lease(self._connection, job_id, run, self.length_ms, self._kept)

    def close(self) -> None:
        """Stop renewing all leases."""
        for lease in tuple(self._kept):
            lease.stop()
