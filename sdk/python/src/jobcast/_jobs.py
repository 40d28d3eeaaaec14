"""The jobs of one Redis."""

import secrets
from collections.abc import Mapping
from functools import partial
from types import TracebackType
from typing import Self

from jobcast import _event
from jobcast._connection import Connection
from jobcast._json import MAX_EVENT_BYTES
from jobcast._lease import Leases
from jobcast._pace import PROGRESS_PER_S
from jobcast._run import Run
from jobcast._sender import Senders, repeated
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
from jobcast.protocol.append import CANCEL, RETRY, Append, Bounds
from jobcast.protocol.names import new_job_id


def connect(  # noqa: PLR0913 - settings, each by name
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
    """Reach the jobs of one Redis; meant for ``async with jobcast.connect(url) as jobs``.

    ``url`` is any that redis-py takes: ``redis://``, ``rediss://`` (TLS), ``unix://``, with its
    options as query parameters (``?socket_timeout=2``: seconds that a call gets, by default 5); or
    ``redis+sentinel://host:port,…/name``, or ``redis+cluster://host:port,…``. ValueError for any
    other, for an option that no connection has and for files of TLS that can't be used. With
    Sentinels or a Cluster, a call that was not sent yet waits for a failover, in the time that it
    gets. Connections are opened at first use. ``retention_s`` is how many seconds a job that is
    created here is kept after its end (at most ten years), ``max_entries`` (2 to 1,000,000) bounds
    its log and ``max_event_bytes`` (1024 to 1 MiB) the data of each event, a result too: what is
    larger is refused with `InvalidEvent`.

    ``lease_s`` is after how many seconds without a word a run's worker is taken for lost: the
    service then fails the job with ``STALLED``. Runs say a word of themselves every 10 s, or third
    of it, in the background, which needs the event loop: work that blocks the loop for longer than
    the lease belongs into a thread or process. It should be longer than the queue takes to hand a
    lost worker's job to another. At least 0.1 and at most a day; None for runs without a lease,
    which nobody misses.

    While Redis is unavailable, calls are repeated, and ``block_s`` bounds how many seconds one
    waits; None is for ever. After that `create` and the start of a run raise what redis-py raised.
    Any other event stays in a buffer of its run, at most ``buffer_events`` events and about
    ``buffer_bytes`` bytes, and is written, in order and once, when Redis is back: see `Run`.

    ``progress_per_s`` is how many progress events a second a run sends at the most (0.01 to 1000);
    with None, each call of `Run.progress` is written.
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
    """Creates jobs and runs them. Made by `connect`; closes its connections as its block ends."""

    def __init__(
        self, connection: Connection, leases: Leases, senders: Senders, bounds: Bounds
    ) -> None:
        self._connection = connection
        self._leases = leases
        self._senders = senders
        self._bounds = bounds

    async def create(
        self,
        type: str,  # noqa: A002 - the contract's word
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        input: Mapping[str, object] | None = None,  # noqa: A002 - the contract's word
        job_id: str | None = None,
    ) -> str:
        """Create a queued job and return its id: ``job_id``, or a lower-case UUID.

        ``type`` is a string of 1-128 characters. ``user_id`` and ``session_id`` own the job: who
        comes to the service as either may watch it; at least one is needed. ``input`` is what the
        run gets. Putting the job on a queue is the caller's. Raises `JobExists`, `InvalidEvent`.

        While Redis is unavailable the call is repeated (see `connect`), and creates the job once.
        If it fails in the end, another call with the same ``job_id`` finishes what was begun, and
        raises `JobExists` if that was the job's log.
        """
        job_id = new_job_id() if job_id is None else canonical(job_id)
        event = _event.created(
            job_type=type,
            user_id=user_id,
            session_id=session_id,
            job_input=input,
            bounds=self._bounds,
        )
        token = secrets.token_hex(8)

        async def create() -> None:
            await self._connection.create(
                job_id,
                event,
                token,
                user_id=user_id,
                session_id=session_id,
                retention_s=self._bounds.retention_s,
            )

        await repeated(create, self._connection, self._senders.limits.block_s)
        return job_id

    async def _append(self, job_id: str, event: Append) -> None:
        async def append() -> None:
            await self._connection.append(job_id, event)

        await repeated(append, self._connection, self._senders.limits.block_s)

    def run(self, job_id: str, attempt: int | None = None) -> Run:
        """Return a run of the job, not started yet; see `Run`.

        With ``attempt``, the number that came with the queue entry, a run that comes late for an
        earlier attempt is refused at its start. Raises `InvalidEvent` for a malformed id.
        """
        return Run(
            self._connection,
            self._leases,
            self._senders,
            canonical(job_id),
            checked_attempt(attempt),
        )

    async def cancel(self, job_id: str) -> None:
        """Cancel a job, as its owner can.

        A queued job fails at once; the run of a running one is told (see `Run.cancel_requested`).
        Raises `JobFinished`, `UnknownJob`, and what redis-py raised if Redis stays unavailable.
        """
        await self._append(canonical(job_id), CANCEL)

    async def retry(self, job_id: str) -> None:
        """Queue a failed job for its next attempt, as its owner can.

        Putting it on a queue is the caller's. Raises `JobNotFailed`, `UnknownJob`, and what
        redis-py raised if Redis stays unavailable; then the job may be queued or not.
        """
        job_id = canonical(job_id)
        await self._append(job_id, RETRY)
        list_again = partial(self._connection.index_again, job_id, self._bounds.retention_s)
        await repeated(list_again, self._connection, self._senders.limits.block_s)

    async def aclose(self) -> None:
        """Close its connections, for use without ``async with``.

        Waits for the events that wait for Redis, as long as a call may; what is not written then is
        given up, but for the ends of runs. The leases of runs that have not ended are renewed no
        longer.
        """
        await self._senders.close()
        self._leases.close()
        await self._connection.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()
