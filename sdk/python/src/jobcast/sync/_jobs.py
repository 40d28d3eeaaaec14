"""Access to the jobs of one Redis, for blocking code."""

import os
import secrets
from collections.abc import Mapping
from functools import partial
from types import TracebackType
from typing import Final, Self
from weakref import WeakSet

from jobcast import _event
from jobcast._errors import JobExists
from jobcast._json import MAX_EVENT_BYTES
from jobcast._pace import PROGRESS_PER_S
from jobcast._settings import (
    BLOCK_S,
    BUFFER_BYTES,
    BUFFER_EVENTS,
    DAY_SECONDS,
    LEASE_S,
    canonical,
    checked,
    checked_attempt,
)
from jobcast.protocol.append import CANCEL, Append, Bounds, retried
from jobcast.protocol.names import created_by, new_job_id, state_key
from jobcast.sync._connection import Connection
from jobcast.sync._lease import Leases
from jobcast.sync._run import Run
from jobcast.sync._sender import Senders, repeated


def connect(  # noqa: PLR0913 - keyword-only settings
    url: str,
    *,
    retention_s: int = DAY_SECONDS,
    max_entries: int = 10_000,
    max_event_bytes: int = MAX_EVENT_BYTES,
    lease_s: float | None = LEASE_S,
    block_s: float | None = BLOCK_S,
    buffer_events: int = BUFFER_EVENTS,
    buffer_bytes: int = BUFFER_BYTES,
    progress_per_s: float | None = PROGRESS_PER_S,
) -> "Jobs":
    """Connect to the jobs of one Redis, as in ``with jobcast.sync.connect(url) as jobs``.

    The arguments are those of `jobcast.connect`. A daemon thread renews the leases, so code may
    compute for longer than a lease. Any number of threads may share the result. A forked process
    opens its own connections and threads.
    """
    bounds, limits = checked(
        retention_s=retention_s,
        max_entries=max_entries,
        max_event_bytes=max_event_bytes,
        lease_s=lease_s,
        block_s=block_s,
        buffer_events=buffer_events,
        buffer_bytes=buffer_bytes,
        progress_per_s=progress_per_s,
    )
    connection = Connection(url, try_s=block_s)
    return Jobs(connection, Leases(connection, lease_s), Senders(limits), bounds)


class Jobs:
    """Creates and runs jobs. Made by `connect`; closes its connections when its block ends."""

    def __init__(
        self, connection: Connection, leases: Leases, senders: Senders, bounds: Bounds
    ) -> None:
        self._connection = connection
        self._leases = leases
        self._senders = senders
        self._bounds = bounds
        _ALL.add(self)

    def create(
        self,
        type: str,  # noqa: A002 - the contract's word
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        input: Mapping[str, object] | None = None,  # noqa: A002 - the contract's word
        job_id: str | None = None,
    ) -> str:
        """Create a queued job and return its id: see `jobcast.Jobs.create`."""
        job_id = new_job_id() if job_id is None else canonical(job_id)
        event = _event.created(
            job_type=type,
            user_id=user_id,
            session_id=session_id,
            job_input=input,
            bounds=self._bounds,
        )
        token = secrets.token_hex(8)

        def create() -> None:
            self._create(job_id, event, token, user_id, session_id)

        repeated(create, self._connection, self._senders.limits.block_s)
        return job_id

    def run(self, job_id: str, attempt: int | None = None) -> Run:
        """Return a run of the job, not started yet: see `jobcast.Jobs.run`."""
        return Run(
            self._connection,
            self._leases,
            self._senders,
            canonical(job_id),
            checked_attempt(attempt),
        )

    def cancel(self, job_id: str) -> None:
        """Cancel a job: see `jobcast.Jobs.cancel`."""
        self._append(canonical(job_id), CANCEL)

    def retry(self, job_id: str) -> None:
        """Queue a failed job for its next attempt: see `jobcast.Jobs.retry`."""
        job_id = canonical(job_id)
        self._append(job_id, retried(secrets.token_hex(8)))
        reindex = partial(self._connection.reindex, job_id, self._bounds.retention_s)
        repeated(reindex, self._connection, self._senders.limits.block_s)

    def close(self) -> None:
        """Close its connections, for use without ``with``: see `jobcast.Jobs.aclose`."""
        try:
            self._senders.close()
        finally:
            self._leases.close()
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _append(self, job_id: str, event: Append) -> None:
        append = self._connection.repeatable(job_id, event)
        repeated(append, self._connection, self._senders.limits.block_s)

    def _create(
        self, job_id: str, event: Append, token: str, user_id: str | None, session_id: str | None
    ) -> None:
        try:
            created_id: str | None = self._connection.append(job_id, event, seq=token).entry_id
        except JobExists:
            # Perhaps created by an earlier call that lost Redis before listing the job.
            fields = ("created", "userId", "sessionId")
            reply = self._connection.call("HMGET", state_key(job_id), *fields)
            created_id = created_by(reply, user_id, session_id)
            self._list(job_id, created_id, user_id, session_id)
            raise
        self._list(job_id, created_id, user_id, session_id)

    def _list(
        self, job_id: str, created_id: str | None, user_id: str | None, session_id: str | None
    ) -> None:
        """List a job in its owners' indexes, unless ``created_id`` is None."""
        if created_id is None:
            return
        self._connection.index(job_id, created_id, (user_id, session_id), self._bounds.retention_s)

    def _forget(self) -> None:
        self._connection.forget()
        self._leases.forget()
        self._senders.forget()


_ALL: Final[WeakSet[Jobs]] = WeakSet()


def _forget_in_child() -> None:
    """In a forked process, leave connections, threads and events to the parent."""
    for jobs in tuple(_ALL):
        jobs._forget()  # noqa: SLF001 - made for this


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
