"""Turns arq's jobs into jobs of Jobcast.

    pool = follow(await create_pool(redis_settings), url)

    with jobcast.owner(user_id="u1"):
        await pool.enqueue_job("resize", "photos")

    @follow_worker(url)
    class WorkerSettings:
        functions = [resize]

arq has no progress call of its own: in a job, report to `jobcast.current_run`. A ``Retry`` begins
the next attempt. ``job.abort()`` cancels the job in Jobcast, and a job that its owner cancels is
cancelled in the worker. Jobs enqueued by ``ctx["redis"]`` are followed too; cron jobs are not.
"""

import asyncio
import json
import logging
import pickle
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final, TypeVar, Unpack
from uuid import uuid4

from arq.connections import ArqRedis
from arq.constants import job_key_prefix, result_key_prefix
from arq.jobs import Job
from arq.worker import Function, JobExecutionFailed, Retry, RetryJob, func
from redis.exceptions import RedisError

from jobcast._errors import JobCancelled
from jobcast.adapters._asyncio import Task, Tasks
from jobcast.adapters._task import HEADER, UNKNOWN_TASK, Settings, Ticket, failure_of

_log: Final = logging.getLogger("jobcast.adapters")

_TICKETS: Final = f"arq:{HEADER}:"
_UNFINISHED_S: Final = 7 * 86_400
"""How long the ticket of a job that never ends is kept."""
_FINISHED_S: Final = 3600
"""How long a ticket is kept after the job; arq's default for results."""
_MAX_TRIES: Final = 5
_EXECUTION: Final = "jobcast_execution"

Coroutine = Callable[..., Awaitable[Any]]
C = TypeVar("C", bound=type)


def follow(pool: ArqRedis, url: str, **settings: Unpack[Settings]) -> ArqRedis:
    """Follow the jobs that a pool enqueues, in the Redis at this URL; return the pool.

    The settings are those of `jobcast.connect`, and ``enqueue_s``: how many seconds ``enqueue_job``
    may wait for that Redis. Raises ValueError if the URL is invalid, and `InvalidEvent` if a
    setting is.
    """
    tasks = Tasks(url, **settings)
    close = pool.aclose

    async def aclose(*args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - redis-py's arguments
        await tasks.aclose()
        await close(*args, **kwargs)

    pool.aclose = aclose
    return _follow(pool, tasks)


def follow_worker(url: str, **settings: Unpack[Settings]) -> Callable[[C], C]:
    """Decorate a class of worker settings, to follow the worker's jobs. See `follow`."""

    def decorate(settings_class: C) -> C:
        Followed(settings_class, Tasks(url, **settings)).attach(settings_class)
        return settings_class

    return decorate


class FollowedJob(Job):  # type: ignore[misc]  # arq is not installed where types are checked
    """A job that a followed pool has enqueued."""

    __slots__ = ("tasks", "ticket")

    async def abort(self, *args: Any, **kwargs: Any) -> bool:  # noqa: ANN401 - arq's arguments
        """Abort the job; cancel it in Jobcast too, as the worker does so only after its start."""
        try:
            return bool(await super().abort(*args, **kwargs))
        finally:
            await self.tasks.cancel(self.ticket)


class Execution:
    """One execution of a job."""

    task: Task

    def __init__(self) -> None:
        self.is_interrupted = False
        """Whether arq has cancelled it: after a timeout, an abort or a shutdown of the worker."""
        self._running = asyncio.current_task()
        self._is_stopped = False

    def stop(self) -> None:
        """Cancel it, because the job was cancelled in Jobcast."""
        if self._running is not None:
            self._is_stopped = True
            self._running.cancel()

    async def interrupted(self, cancelled: asyncio.CancelledError) -> BaseException:
        """Return what to raise: `JobCancelled` after `stop`, because arq retries CancelledError."""
        if not self._is_stopped or self._running is None:
            self.is_interrupted = True
            return cancelled
        self._running.uncancel()
        await self.task.cancel()
        return JobCancelled()


class Followed:
    """Follows the jobs of a worker, by wrapping the functions and hooks of its settings."""

    def __init__(self, settings: type, tasks: Tasks) -> None:
        self._tasks = tasks
        self._functions = list(getattr(settings, "functions", ()))
        self._hooks = {
            name: getattr(settings, name, None)
            for name in ("on_startup", "on_shutdown", "after_job_end")
        }
        self._serialize = getattr(settings, "job_serializer", None) or pickle.dumps
        self._pool: ArqRedis | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._executed: set[str] = set()
        self._retries = getattr(settings, "retry_jobs", True)
        self._max_tries = getattr(settings, "max_tries", _MAX_TRIES)

    def attach(self, settings: Any) -> None:  # noqa: ANN401 - arq reads any class
        """Replace the functions and hooks of the settings by the wrappers."""
        settings.functions = [self._followed(func(function)) for function in self._functions]
        settings.on_startup = self.startup
        settings.on_shutdown = self.shutdown
        settings.after_job_end = self.after_job_end
        settings.job_serializer = self.serialize

    async def startup(self, ctx: dict[Any, Any]) -> None:
        """Follow the jobs that ``ctx["redis"]`` enqueues."""
        self._pool = _follow(ctx["redis"], self._tasks)
        await self._call("on_startup", ctx)

    async def shutdown(self, ctx: dict[Any, Any]) -> None:
        """Close the connections."""
        if self._ending:
            await asyncio.wait(self._ending)
        await self._tasks.aclose()
        await self._call("on_shutdown", ctx)

    def serialize(self, data: dict[str, Any]) -> bytes:
        """Serialize a job or a result; if arq has not executed the job, end it.

        arq has no hook for that: the worker has no such function, or the job has expired or was
        aborted before.
        """
        error, job_id = data.get("r"), str(data.get("id"))
        is_unexecuted = "id" in data and job_id not in self._executed
        if is_unexecuted and isinstance(error, JobExecutionFailed | asyncio.CancelledError):
            ending = asyncio.get_running_loop().create_task(self._end_unexecuted(job_id, error))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
        serialized: bytes = self._serialize(data)
        return serialized

    async def after_job_end(self, ctx: dict[Any, Any]) -> None:
        """End the job if arq cancelled it; by now arq has stored the reason."""
        self._executed.discard(ctx["job_id"])
        execution = ctx.pop(_EXECUTION, None)
        if execution is not None and execution.is_interrupted:
            try:
                await self._end_interrupted(ctx, execution.task)
            except Exception:  # noqa: BLE001 - arq must go on
                _log.exception("job %s of arq: it is not known how it ended", ctx["job_id"])
                execution.task.leave()
        await self._call("after_job_end", ctx)

    def _followed(self, function: Function) -> Function:
        work: Coroutine = function.coroutine
        max_tries = self._max_tries if function.max_tries is None else function.max_tries

        async def run(ctx: dict[Any, Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            execution = await self._begin(ctx)
            try:
                if execution.task.is_cancelled:
                    raise JobCancelled  # noqa: TRY301 - as a call of the run would
                result = await work(ctx, *args, **kwargs)
            except asyncio.CancelledError as cancelled:
                raise await execution.interrupted(cancelled) from None
            except (Retry, RetryJob) as error:
                await self._retry(execution.task, error, is_last=ctx["job_try"] >= max_tries)
                raise
            except BaseException as error:
                await execution.task.fail(error)
                raise
            await execution.task.complete(result)
            await _expire(ctx)
            return result

        return replace(function, coroutine=run)

    async def _begin(self, ctx: dict[Any, Any]) -> Execution:
        ticket = await _ticket_of(ctx["redis"], ctx["job_id"])
        self._executed.add(ctx["job_id"])
        ctx[_EXECUTION] = execution = Execution()
        execution.task = await self._tasks.begin(ticket, execution.stop)
        return execution

    async def _retry(self, task: Task, error: Exception, *, is_last: bool) -> None:
        cause = "The job raised Retry" if error.__cause__ is None else error.__cause__
        code = "RETRY" if isinstance(cause, str) else None
        if is_last or not self._retries:
            await task.fail(cause, code)
        else:
            defer_ms = getattr(error, "defer_score", None)
            await task.retry(cause, code, in_s=None if defer_ms is None else defer_ms / 1000)

    async def _end_unexecuted(self, job_id: str, error: BaseException) -> None:
        if self._pool is not None:
            ticket = await _ticket_of(self._pool, job_id)
            await self._tasks.end(ticket, *_failure_of(error))

    async def _end_interrupted(self, ctx: dict[Any, Any], task: Task) -> None:
        pool, job_id = ctx["redis"], ctx["job_id"]
        outcome = await Job(job_id, pool, _deserializer=pool.job_deserializer).result_info()
        if outcome is not None and isinstance(outcome.result, TimeoutError):
            await task.fail(outcome.result)
        elif outcome is None and await pool.exists(job_key_prefix + job_id):
            await task.retry("The worker was stopped", "WORKER_STOPPED")
        else:
            await task.cancel()

    async def _call(self, name: str, ctx: dict[Any, Any]) -> None:
        hook = self._hooks[name]
        if hook is not None:
            await hook(ctx)


def _failure_of(error: BaseException) -> tuple[str, str | None]:
    """Return error and code of a job that arq has not executed; its errors differ by their text."""
    text = str(error)
    if isinstance(error, asyncio.CancelledError):
        return "Cancelled", None
    if text.startswith("function ") and text.endswith(" not found"):
        return UNKNOWN_TASK
    return ("The job has expired", "EXPIRED") if text == "job expired" else failure_of(error, None)


def _follow(pool: ArqRedis, tasks: Tasks) -> ArqRedis:
    """Make ``enqueue_job`` create the job in Jobcast first."""
    enqueue = pool.enqueue_job

    async def enqueue_job(
        function: str,
        *args: Any,  # noqa: ANN401 - the job's arguments
        _job_id: str | None = None,
        **kwargs: Any,  # noqa: ANN401 - the same
    ) -> Job | None:
        job_id = _job_id or uuid4().hex
        ticket = None
        # arq does not enqueue a job whose id is queued, is running or has a result.
        keys = job_key_prefix + job_id, result_key_prefix + job_id
        if _job_id is None or not await pool.exists(*keys):
            ticket = await tasks.enqueued(job_id, function)
            await _store_ticket(pool, job_id, ticket, is_known=_job_id is not None)
        try:
            job = await enqueue(function, *args, _job_id=job_id, **kwargs)
        except BaseException:
            await tasks.cancel(ticket)
            raise
        if job is None:
            await tasks.cancel(ticket)
        if job is None or ticket is None:
            return job
        return _with_ticket(job, ticket, tasks)

    pool.enqueue_job = enqueue_job
    return pool


def _with_ticket(job: Job, ticket: Ticket, tasks: Tasks) -> FollowedJob:
    followed = FollowedJob(
        job.job_id,
        job._redis,  # noqa: SLF001 - arq has no public name for it
        _queue_name=job._queue_name,  # noqa: SLF001 - the same
        _deserializer=job._deserializer,  # noqa: SLF001 - the same
    )
    followed.ticket, followed.tasks = ticket, tasks
    return followed


async def _store_ticket(
    pool: ArqRedis, job_id: str, ticket: Ticket | None, *, is_known: bool
) -> None:
    """Store a job's ticket next to it: as an argument, it would break workers without adapter."""
    with suppress(RedisError):  # then enqueueing fails too, or the job is not followed
        if ticket is not None:
            await pool.set(_TICKETS + job_id, json.dumps(ticket.to_header()), ex=_UNFINISHED_S)
        elif is_known:
            await pool.delete(_TICKETS + job_id)


async def _ticket_of(pool: ArqRedis, job_id: str) -> Ticket | None:
    try:
        return Ticket.from_header(json.loads(await pool.get(_TICKETS + job_id) or b"null"))
    except (RedisError, ValueError):
        return None


async def _expire(ctx: dict[Any, Any]) -> None:
    """Let the ticket of a finished job expire after `_FINISHED_S`."""
    with suppress(RedisError):
        await ctx["redis"].expire(_TICKETS + ctx["job_id"], _FINISHED_S)
