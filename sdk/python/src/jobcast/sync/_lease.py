"""The leases of blocking runs, renewed by a daemon thread, so that long computations keep them."""

import logging
from collections.abc import Callable
from typing import Final
from weakref import WeakMethod

from redis.exceptions import RedisError

from jobcast._errors import JobcastError
from jobcast._lease import MAX_INTERVAL_S, MAX_PAUSE_S, OUTAGES, RENEWALS, RENEWED, TRIES
from jobcast._retry import jittered
from jobcast.protocol.leases import ENTER, LEASES_KEY, lease_member
from jobcast.sync._connection import Connection
from jobcast.sync._scheduler import Scheduler

_log: Final = logging.getLogger("jobcast")

Renewal = WeakMethod[Callable[[int], None]]
"""Renews the lease in the job's state; a weak reference, so a run that nobody holds is not
renewed."""


class Lease:
    """Renews the lease of one run in the background."""

    def __init__(
        self, connection: Connection, scheduler: Scheduler, job_id: str, run: str, length_ms: int
    ) -> None:
        self._connection = connection
        self._scheduler = scheduler
        self._job_id = job_id
        self._member = lease_member(job_id, run)
        self._length_ms = length_ms
        self._renew: Renewal | None = None

    def announce(self) -> None:
        """Enter the run into the index of leases, or postpone its due time there.

        This comes before the start, so that the service also detects a worker that dies right after
        it.
        """
        self._connection.call("EVAL", ENTER, "1", LEASES_KEY, self._member, str(self._length_ms))

    def keep(self, renew: Renewal) -> None:
        """Start renewing the lease."""
        self._renew = renew
        self._scheduler.after(self._interval_s(), self._try)

    def stop(self) -> None:
        """Stop renewing the lease: it expires unless the run has ended."""
        self._renew = None

    def end(self) -> None:
        """Remove the ended run from the index; otherwise the service would remove it."""
        self.stop()
        try:
            self._connection.call("ZREM", LEASES_KEY, self._member)
        except RedisError as error:
            _log.debug("job %s: its lease stays in the index: %s", self._job_id, error)

    def _interval_s(self) -> float:
        return min(self._length_ms / 1000 / RENEWALS, MAX_INTERVAL_S)

    def _try(self) -> float | None:
        """Renew the lease; return the seconds until the next try, None if there is none."""
        call = None if self._renew is None else self._renew()
        if call is None:
            return None
        try:
            call(self._length_ms)
            self.announce()
        except JobcastError as refusal:
            _log.warning("job %s: its lease is renewed no longer: %s", self._job_id, refusal)
            self.end()
            return None
        except RedisError as error:
            OUTAGES.add(error)
            return self._pause_s()
        except Exception:  # noqa: BLE001 - a live run must not be taken for lost
            _log.exception("job %s: its lease could not be renewed", self._job_id)
            return self._pause_s()
        OUTAGES.end(RENEWED)
        return self._interval_s()

    def _pause_s(self) -> float:
        pause_s = min(self._length_ms / 1000 / TRIES, MAX_PAUSE_S)
        return jittered(pause_s)


class Leases:
    """The leases of the runs of one `Jobs`. With ``length_s`` None, runs hold none."""

    def __init__(self, connection: Connection, length_s: float | None) -> None:
        self._connection = connection
        self._scheduler = Scheduler("jobcast-leases")
        self.length_ms = None if length_s is None else round(length_s * 1000)

    def of_run(self, job_id: str, run: str) -> Lease | None:
        """Return the lease of a run that is about to start; None if runs hold none."""
        if self.length_ms is None:
            return None
        return Lease(self._connection, self._scheduler, job_id, run, self.length_ms)

    def close(self) -> None:
        """Stop renewing all leases."""
        self._scheduler.close()

    def forget(self) -> None:
        """In a forked process, leave the leases to the parent."""
        self._scheduler.forget()
