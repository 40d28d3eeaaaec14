"""Turns SAQ's jobs into jobs of Jobcast.

    queue = follow(Queue.from_url(url), url)

    with jobcast.owner(user_id="u1"):
        await queue.enqueue("resize", folder="photos")

Use the followed queue in the program that enqueues and in the worker's settings. What a job passes
to ``job.update(progress=…, meta=…)`` is progress, except for keys of ``meta`` that the job has not
changed: `_report` lists the keys. SAQ's retries are attempts. ``job.abort()`` cancels the job in
Jobcast, and when the owner cancels a job, it is aborted in SAQ.
"""

import asyncio
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Final, Unpack

from saq import Job, Queue, Status

from jobcast._errors import JobCancelled
from jobcast._failure import is_cancellation
from jobcast._owner import current_owner
from jobcast.adapters._asyncio import Task, Tasks
from jobcast.adapters._report import is_changed
from jobcast.adapters._task import (
    HEADER,
    UNKNOWN_TASK,
    Settings,
    Ticket,
    failure_of,
    owned_by,
    owner_of,
)

__all__ = ["follow", "owned_by"]

_LOST: Final = "STALLED"


def follow(queue: Queue, url: str, **settings: Unpack[Settings]) -> Queue:
    """Follow the jobs of a queue, in the Redis at this URL; return the queue.

    The settings are those of `jobcast.connect`, and ``enqueue_s``: how many seconds `Queue.enqueue`
    may wait for that Redis. Raises ValueError if the URL is invalid, and `InvalidEvent` if a
    setting is.
    """
    FollowedQueue(queue, Tasks(url, **settings)).attach()
    return queue


class Execution:
    """One execution of a job in this process."""

    def __init__(self, job: Job, task: Task) -> None:
        self.job = job
        self.task = task
        self._before = _reported(job)

    async def report(self) -> None:
        """Forward the values of ``progress`` and ``meta`` that have changed since the start."""
        now = _reported(self.job)
        news = {name: value for name, value in now.items() if is_changed(self._before, name, value)}
        if news:
            await self.task.report(news)


class FollowedQueue:
    """Wraps the methods of a queue, to create, run and cancel its jobs in Jobcast."""

    def __init__(self, queue: Queue, tasks: Tasks) -> None:
        self._queue = queue
        self._tasks = tasks
        self._executions: dict[str, Execution] = {}
        self._aborting: set[asyncio.Task[None]] = set()
        self._enqueue, self._update = queue.enqueue, queue.update
        self._finish, self._retry = queue.finish, queue.retry
        self._abort, self._disconnect = queue.abort, queue.disconnect

    def attach(self) -> None:
        """Replace the queue's methods by the wrappers."""
        queue: Any = self._queue
        queue.register_before_enqueue(self.create_job)
        queue.enqueue, queue.update = self.enqueue, self.update
        queue.finish, queue.retry = self.finish, self.retry
        queue.abort, queue.disconnect = self.abort, self.disconnect

    async def create_job(self, job: Job) -> None:
        """Create a job in Jobcast before it is enqueued, if it has an owner."""
        header = _header(job)
        owner = owner_of(header) or current_owner.get()
        if Ticket.from_header(header) is not None or (owner and await self._is_known(job)):
            return
        ticket = await self._tasks.enqueued(job.key, job.function, owner)
        job.meta = {name: value for name, value in job.meta.items() if name != HEADER}
        if ticket is not None:
            job.meta[HEADER] = ticket.to_header()
            _current_ticket.set(ticket)

    async def enqueue(self, job_or_func: str | Job, **kwargs: Any) -> Job | None:  # noqa: ANN401
        """Enqueue a job; cancel it in Jobcast if that fails or its key is taken."""
        before = _current_ticket.set(None)
        try:
            job = await self._enqueue(job_or_func, **kwargs)
            if job is None:
                await self._tasks.cancel(_current_ticket.get())
        except BaseException:
            await self._tasks.cancel(_current_ticket.get())
            raise
        finally:
            _current_ticket.reset(before)
        return job

    async def update(self, job: Job, **kwargs: Any) -> None:  # noqa: ANN401
        """Update a job; the worker calls this to start it, and the job to report progress."""
        execution = self._execution(job)
        if execution is not None:
            _keep_ticket(job, kwargs, execution.job)
        await self._update(job, **kwargs)
        if kwargs.get("status") == Status.ACTIVE:
            await self._begin(job)
        elif execution is not None:
            await execution.report()

    async def finish(
        self,
        job: Job,
        status: Status,
        *,
        result: Any = None,  # noqa: ANN401 - the job's result
        error: str | None = None,
        **kwargs: Any,  # noqa: ANN401 - SAQ's arguments
    ) -> None:
        """End a job in SAQ and in Jobcast; one that raised `JobCancelled` ends as aborted."""
        if status == Status.FAILED and self._was_cancelled(job):
            status, error = Status.ABORTED, "Cancelled"
        await self._end(job, status, result, error)
        await self._finish(job, status, result=result, error=error, **kwargs)

    async def retry(self, job: Job, error: str | None) -> None:
        """Queue a job for its next attempt, unless it was cancelled."""
        if self._was_cancelled(job):
            await self.finish(job, Status.FAILED, error=error)
            return
        cause, code = _cause(job, error)
        execution = self._pop_execution(job)
        if execution is not None:
            await execution.task.retry(cause, code, in_s=job.next_retry_delay() or None)
        elif job.key not in self._executions:
            await self._tasks.end(_ticket(job), *failure_of(cause, _LOST), is_retried=True)
        await self._retry(job, error)

    async def abort(self, job: Job, error: str, ttl: float = 5) -> None:
        """Abort a job; cancel it in Jobcast unless SAQ's sweep aborts it as stuck."""
        if error != self._queue.swept_error_message:
            await self._tasks.cancel(_ticket(job))
        await self._abort(job, error, ttl)

    async def disconnect(self) -> None:
        """Close the connections."""
        await self._tasks.aclose()
        await self._disconnect()

    async def _is_known(self, job: Job) -> bool:
        """Whether a job with this key has not ended, so that SAQ won't enqueue this one."""
        known = await self._queue.job(job.key)
        return known is not None and known.status in _UNDER_WAY

    async def _begin(self, job: Job) -> None:
        if (earlier := self._executions.get(job.key)) is not None:
            earlier.task.leave()
        task = await self._tasks.begin(_ticket(job), lambda: self._abort_later(job))
        self._executions[job.key] = Execution(job, task)
        if task.is_cancelled:
            raise JobCancelled

    def _abort_later(self, job: Job) -> None:
        aborting = asyncio.get_running_loop().create_task(self._abort(job, "Cancelled"))
        self._aborting.add(aborting)
        aborting.add_done_callback(self._aborting.discard)

    async def _end(
        self,
        job: Job,
        status: Status,
        result: Any,  # noqa: ANN401 - the job's result
        error: str | None,
    ) -> None:
        execution = self._pop_execution(job)
        if execution is None:
            if job.key not in self._executions:
                await self._tasks.end(_ticket(job), *self._end_by_queue(status, error))
        elif status == Status.COMPLETE:
            await execution.task.complete(result)
        elif status == Status.ABORTED:
            await execution.task.fail(*self._end_by_queue(status, error))
        else:
            await execution.task.fail(*_cause(job, error))

    def _end_by_queue(self, status: Status, error: str | None) -> tuple[str, str | None]:
        """Return error and code of a job that was aborted, or is not executed in this process."""
        if status == Status.ABORTED and error != self._queue.swept_error_message:
            return "Cancelled", None
        return error or "The worker was lost", _LOST

    def _was_cancelled(self, job: Job) -> bool:
        return self._execution(job) is not None and is_cancellation(sys.exception())

    def _execution(self, job: Job) -> Execution | None:
        """Return the execution of this object; other objects may stand for the same job."""
        execution = self._executions.get(job.key)
        return execution if execution is not None and execution.job is job else None

    def _pop_execution(self, job: Job) -> Execution | None:
        """Remove and return the execution."""
        execution = self._execution(job)
        if execution is not None:
            del self._executions[job.key]
        return execution


_UNDER_WAY: Final = frozenset({Status.QUEUED, Status.ACTIVE, Status.ABORTING})
_current_ticket: Final[ContextVar[Ticket | None]] = ContextVar("jobcast_saq", default=None)
"""The ticket of the job that is being enqueued in this context."""


def _header(job: Job) -> Mapping[object, object]:
    header = job.meta.get(HEADER) if isinstance(job.meta, Mapping) else None
    return header if isinstance(header, Mapping) else {}


def _ticket(job: Job) -> Ticket | None:
    return Ticket.from_header(_header(job))


def _keep_ticket(job: Job, kwargs: Mapping[str, Any], holder: Job) -> None:
    """Put the ticket into the ``meta`` that replaces the job's."""
    meta, header = kwargs.get("meta"), _header(holder)
    if isinstance(meta, dict) and header and meta is not job.meta:
        meta[HEADER] = header


def _reported(job: Job) -> dict[str, object]:
    """Return a job's ``meta`` without the ticket, and its progress in percent."""
    meta = job.meta if isinstance(job.meta, Mapping) else {}
    said = {str(name): value for name, value in meta.items() if name != HEADER}
    share = job.progress
    return {"progress": share * 100, **said} if isinstance(share, int | float) else said


def _cause(job: Job, error: str | None) -> tuple[str | BaseException, str | None]:
    """Return error and code of a failed job: the exception that SAQ handles, not its traceback."""
    cause = sys.exception()
    if isinstance(cause, asyncio.CancelledError):
        return "The worker was stopped", "WORKER_STOPPED"
    if isinstance(cause, KeyError) and cause.args == (job.function,):
        return UNKNOWN_TASK
    return (error or "The job has failed", None) if cause is None else (cause, None)
