"""Runs the tasks of queues with asyncio workers as jobs: see `jobcast.adapters`."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Unpack

from redis.exceptions import RedisError

from jobcast import _event
from jobcast._connection import Connection
from jobcast._errors import (
    JobCancelled,
    JobcastError,
    JobExists,
    UnknownJob,
)
from jobcast._jobs import Jobs
from jobcast._lease import Leases
from jobcast._outbox import Answered
from jobcast._owner import Owner
from jobcast._retry import is_transient
from jobcast._run import Run
from jobcast._sender import Sender, Senders
from jobcast.adapters._abort import Abort, OnCancel
from jobcast.adapters._leniency import Leniency, Outage, logged
from jobcast.adapters._report import Report
from jobcast.adapters._task import (
    COMPLETED,
    END_FIELDS,
    MAX_STARTS,
    UNKNOWN,
    End,
    Scope,
    Settings,
    Ticket,
    failing,
    will_retry,
)
from jobcast.adapters._task_state import REFUSED_STARTS, TasksState, TaskState
from jobcast.protocol.append import Answer, Append
from jobcast.protocol.names import new_job_id, state_key


class Tasks(TasksState):
    """Creates and runs the jobs of one queue's tasks, in one Redis; connects at first use."""

    def __init__(self, url: str, **settings: Unpack[Settings]) -> None:
        super().__init__(settings)
        bounds, limits, lease_s, enqueue_s = self._parts
        connection = Connection(url, try_s=enqueue_s)
        senders = Senders(limits._replace(block_s=enqueue_s))
        self._creating = Jobs(connection, Leases(connection, None), senders, bounds)
        self._connection = Connection(url, try_s=limits.block_s)
        self._leases = Leases(self._connection, lease_s)
        self._senders = Senders(limits)
        self._jobs = Jobs(self._connection, self._leases, self._senders, bounds)

    async def enqueued(self, task_id: str, name: str, owner: Owner | None = None) -> Ticket | None:
        """Create the job of a task before it is enqueued, and return the ticket to send with it.

        None if the task is not followed. If Redis is unavailable for ``enqueue_s`` seconds, the
        worker creates the job instead.
        """
        ticket = self._enqueueing.ticket(task_id, name, owner)
        if ticket is None or self._outage.is_on:
            return ticket
        try:
            return await self._created(ticket)
        except Exception as error:  # noqa: BLE001 - the task is enqueued in any case
            return self._enqueueing.creation_failed(ticket, error)

    async def begin(self, ticket: Ticket | None, on_cancel: OnCancel | None = None) -> "Task":
        """Begin an execution of a task: start its job, or take it over from an earlier run."""
        scope = Scope()
        job_id = new_job_id() if ticket is None else ticket.job_id
        leniency = Leniency(job_id, self.notices, is_silenced=ticket is None)
        sender = TaskSender(self._connection, job_id, self._senders, leniency, self._outage)
        sender.attempt = None if ticket is None else ticket.attempt
        run = TaskRun(self._connection, self._leases, self._senders, sender, job_id, on_cancel)
        is_cancelled = ticket is not None and await self._is_cancelled_at_start(
            run, ticket, leniency
        )
        scope.enter(run, None if ticket is None else ticket.owner)
        return Task(self, run, leniency, scope, is_cancelled=is_cancelled)

    async def cancel(self, ticket: Ticket | None) -> None:
        """Cancel the job of a revoked task: a queued job fails, a running one is asked to stop."""
        if ticket is not None:
            with logged(ticket.job_id):
                await self._jobs.cancel(ticket.job_id)

    async def end(
        self, ticket: Ticket | None, error: str, code: str | None, *, is_retried: bool = False
    ) -> None:
        """Fail the job of a task whose own process can't. The error ``Cancelled`` cancels it.

        ``is_retried`` is whether the queue will run the task again.
        """
        if ticket is None:
            return
        with logged(ticket.job_id):
            event = will_retry(error, code) if is_retried else failing(error, code)[0]
            await self._connection.append(ticket.job_id, event)
            if is_retried:
                await self._jobs.retry(ticket.job_id)

    async def retry(self, job_id: str) -> None:
        """Queue a failed job for its next attempt."""
        with logged(job_id):
            await self._jobs.retry(job_id)

    async def aclose(self) -> None:
        """Close the connections. The next use opens them again."""
        await self._creating.aclose()
        await self._jobs.aclose()

    async def _created(self, ticket: Ticket) -> Ticket:
        try:
            await self._creating.create(ticket.type, **ticket.names)
        except JobExists:
            ticket = self._enqueueing.id_taken(ticket)
            await self._creating.create(ticket.type, **ticket.names)
        return ticket

    async def _is_cancelled_at_start(
        self, run: "TaskRun", ticket: Ticket, leniency: Leniency
    ) -> bool:
        """Start the run, or silence it if it can't start; return whether the task must not run."""
        with leniency.silencing():
            for _ in range(MAX_STARTS):
                try:
                    await run.start()
                except REFUSED_STARTS as refusal:
                    outcome = await self._after(refusal, ticket, leniency)
                    if outcome is not None:
                        return outcome
                except JobCancelled:
                    with leniency.silencing():
                        await run.end(_event.CANCELLED)
                    return True
                else:
                    return False
            leniency.silence("it could not be started")
        return False

    async def _after(
        self, refusal: JobcastError, ticket: Ticket, leniency: Leniency
    ) -> bool | None:
        """Handle a refused start: return whether the task must not run, or None to start again."""
        if ticket.attempt is not None:
            leniency.silence(refusal)
            return True
        if isinstance(refusal, UnknownJob):
            # Redis was unavailable when the task was enqueued, or the job has expired.
            await self._jobs.create(ticket.type, **ticket.names)
            return None
        state = state_key(ticket.job_id)
        reply: Any = await self._connection.call(state, "HMGET", state, *END_FIELDS)
        outcome = leniency.judge(End.of_state(reply), refusal)
        if outcome is None:
            await self.retry(ticket.job_id)
        return outcome


class Task(TaskState[Tasks, "TaskRun"]):
    """One execution of a task, with its calls."""

    async def report(self, meta: object) -> None:
        """Forward a progress report. Raises `JobCancelled` if the job was asked to stop."""
        with self._reporting():
            report = self._report_of(meta)
            if report is not None:
                await self.run.take(report)

    async def complete(self, result: object) -> None:
        """Complete the job with the task's result, or null if that is too large or not JSON."""
        event, problem = self._completion_of(result)
        if problem is not None:
            with suppress(Exception):
                await self.run.log(problem, "warning")
        await self._end(event, COMPLETED)

    async def fail(self, error: str | BaseException, code: str | None = None) -> None:
        """Fail the job. An exception's default code is its own ``code``, or its class's name."""
        await self._end(*failing(error, code))

    async def retry(
        self, error: str | BaseException, code: str | None = None, *, in_s: float | None = None
    ) -> None:
        """Fail the attempt, and queue the job for the next one, due in ``in_s`` seconds."""
        if await self._end(will_retry(error, code, in_s)):
            await self._tasks.retry(self.run.job_id)

    async def cancel(self) -> None:
        """Fail the job with the error ``Cancelled``."""
        await self._end(_event.CANCELLED)

    async def _end(self, event: Append, otherwise: Append | None = None) -> bool:
        """End the run, and return whether Redis has acknowledged the end."""
        with self._ending():
            if self._may_end:
                await self.run.end(event, otherwise)
                return self.run.finished
        return False


class TaskSender(Sender):
    """Sends the events of a task's run. A refusal silences the run and does not fail the task."""

    def __init__(
        self,
        connection: Connection,
        job_id: str,
        senders: Senders,
        leniency: Leniency,
        outage: Outage,
    ) -> None:
        super().__init__(connection, job_id, None, senders)
        self._leniency = leniency
        self._outage = outage

    @property
    def _start_timeout_s(self) -> float | None:
        return 0 if self._outage.is_on else super()._start_timeout_s

    async def start(
        self, token: str, event: Append, announce: Callable[[], Awaitable[None]] | None
    ) -> Answer:
        """Start the run; if Redis is unavailable, do so in the background and return `UNKNOWN`."""
        try:
            return await super().start(token, event, announce)
        except RedisError as error:
            if not is_transient(error):
                raise
        self._outage.begin()
        self._outbox.restart()
        self._outbox.is_behind = True
        self._begin()
        return UNKNOWN

    async def send(
        self, event: Append, answered: Answered, otherwise: Append | None = None
    ) -> Answer | None:
        """Append an event; None if it was refused or is buffered, or the run is silenced."""
        with self._leniency.refusals():
            if not self._leniency.is_silenced:
                return await super().send(event, answered, otherwise)
        return None


class TaskRun(Run):
    """The run of a task. Its calls raise only `JobCancelled` and `InvalidEvent`."""

    def __init__(  # noqa: PLR0913, PLR0917 - the parts of `Tasks`
        self,
        connection: Connection,
        leases: Leases,
        senders: Senders,
        sender: TaskSender,
        job_id: str,
        on_cancel: OnCancel | None,
    ) -> None:
        super().__init__(connection, leases, senders, job_id, None)
        self._sender = sender
        self._abort = Abort(on_cancel)

    async def start(self) -> str:
        """Start the job, or take it over; ``attempt`` is None if it starts in the background."""
        entry_id = await super().start()
        if not entry_id:
            self._sender.attempt = self.attempt = None
        return entry_id

    async def take(self, report: Report) -> None:
        """Send a report, subject to the rate limit of progress."""
        event = report.enter(self._counting())
        if event is None or (event := self._paced(event)) is None:
            await self._report_soon()
        else:
            await self._report(event)

    async def end(self, event: Append, otherwise: Append | None = None) -> None:
        """End the run with ``event``, or ``otherwise`` if the first is too large for the job."""
        await self._settle(event, otherwise)

    async def _renew(self, lease_ms: int) -> None:
        await super()._renew(lease_ms)
        self._abort.renewed(self)

    async def _report(self, event: Append) -> str:
        self._abort.reported()
        return await super()._report(event)

    async def _report_soon(self) -> str:
        self._abort.reported()
        return await super()._report_soon()
