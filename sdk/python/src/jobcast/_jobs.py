"""Access to the jobs of one Redis."""

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
from jobcast.protocol.append import CANCEL, Append, Bounds, retried
from jobcast.protocol.names import new_job_id


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
    """Connect to the jobs of one Redis, as in ``async with jobcast.connect(url) as jobs``.

    ``url`` is any URL of redis-py: ``redis://``, ``rediss://`` (TLS) or ``unix://``, with its
    options as query parameters (``?socket_timeout=2``: the timeout of a call in seconds, 5 by
    default). Or it is ``redis+sentinel://host:port,…/name`` or ``redis+cluster://host:port,…``.
    Raises ValueError if the URL is none of these, has an unknown option or names TLS files that
    can't be used. During a failover of Sentinels or a Cluster, a call that was not sent yet waits
    for the new primary, within its timeout. Connections are opened at first use.

    ``retention_s`` is how many seconds a job that is created here is kept after its end (at most
    ten years). ``max_entries`` (2 to 1,000,000) bounds its log, and ``max_event_bytes`` (1024 to
    1 MiB) the data of each event, including a result: a larger one raises `InvalidEvent`.

    ``lease_s`` is the length of a run's lease, from 0.1 s to a day: if a worker does not renew it
    for so long, the service fails the job with ``STALLED``. Runs renew their lease in the
    background, every 10 s or every third of the lease if that is shorter. This needs the event
    loop, so work that blocks the loop for longer than the lease belongs in a thread or process. The
    lease should be longer than the queue takes to redeliver a lost worker's job. With None runs
    hold no lease, and a lost worker is not detected.

    While Redis is unavailable, a call retries for up to ``block_s`` seconds; None means no limit.
    After that, `create` and the start of a run raise redis-py's exception. Any other event stays in
    a buffer of its run, which holds at most ``buffer_events`` events and about ``buffer_bytes``
    bytes, and is written in order and once when Redis is available again: see `Run`.

    ``progress_per_s`` is the highest number of progress events that a run sends each second (0.01
    to 1000); with None, each call of `Run.progress` is written.

    Raises `InvalidEvent` if a setting is out of range.
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

    async def create(
        self,
        type: str,  # noqa: A002 - the contract's word
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        input: Mapping[str, object] | None = None,  # noqa: A002 - the contract's word
        job_id: str | None = None,
    ) -> str:
        """Create a queued job and return its id: ``job_id``, or a random UUID.

        ``type`` is a string of 1-128 characters. ``user_id`` and ``session_id`` are the owner, at
        least one of them: requests of that user or session may watch the job. ``input`` is passed
        to the run. A UUID as ``job_id`` becomes lower case. The caller puts the job on a queue.
        Raises `JobExists` if the id is taken, and `InvalidEvent` if an argument is invalid.

        While Redis is unavailable the call retries (see `connect`), and creates the job once. If it
        raises in the end, another call with the same ``job_id`` completes the creation; it raises
        `JobExists` if the job's log was written before.
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
        append = self._connection.repeatable(job_id, event)
        await repeated(append, self._connection, self._senders.limits.block_s)

    def run(self, job_id: str, attempt: int | None = None) -> Run:
        """Return a run of the job, not started yet; see `Run`.

        ``attempt`` is the number from the queue entry. With it, a late run of an earlier attempt is
        refused at its start. Raises `InvalidEvent` if the id or the attempt is malformed.
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

        A queued job fails at once; a running one gets a cancel request (see
        `Run.cancel_requested`). Raises `JobFinished` if the job has ended, `UnknownJob` if it does
        not exist, and redis-py's exception if Redis stays unavailable.

        While Redis is unavailable the call is repeated (see `connect`). If a repeat finds that the
        job has ended, but was cancelled, the call succeeds.
        """
        await self._append(canonical(job_id), CANCEL)

    async def retry(self, job_id: str) -> None:
        """Queue a failed job for its next attempt, as its owner can.

        The caller puts the job on a queue. Raises `JobNotFailed` if the job has not failed,
        `UnknownJob` if it does not exist, and redis-py's exception if Redis stays unavailable; the
        job may be queued or not then.

        While Redis is unavailable the call is repeated (see `connect`). A repeat raises
        `JobNotFailed` only if it was not this call that queued the job, or if another retry has
        queued it again since.
        """
        job_id = canonical(job_id)
        await self._append(job_id, retried(secrets.token_hex(8)))
        reindex = partial(self._connection.reindex, job_id, self._bounds.retention_s)
        await repeated(reindex, self._connection, self._senders.limits.block_s)

    async def aclose(self) -> None:
        """Close its connections, for use without ``async with``.

        Waits up to ``block_s`` for buffered events to be written, then drops them, except those of
        runs whose end is buffered: these still retry. Stops renewing the leases of its runs.
        """
        try:
            await self._senders.close()
        finally:
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
