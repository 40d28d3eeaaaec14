"""Turns Docket's tasks into jobs of Jobcast.

    async with Docket(url=url) as docket, followed(docket, url):
        with jobcast.owner(user_id="u1"):
            await docket.add(resize)("photos")

    async with Worker(docket, dependencies=[Jobcast(url)]) as worker: ...

What a task passes to Docket's ``Progress`` is progress, with its message as the step. A ``Retry``
begins the next attempt. ``docket.cancel`` cancels the job, and when the owner cancels a job, its
task is cancelled in the worker. While a ``ConcurrencyLimit`` or another gate holds a task back, its
job is queued. Tasks that a followed task adds to its worker's docket are followed too.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Self, Unpack

from docket import Docket, Execution, ExecutionState, Retry, TaskCall
from docket.dependencies import (
    AdmissionBlocked,
    Dependency,
    SharedContext,
    current_docket,
    current_execution,
    current_worker,
    get_single_dependency_parameter_of_type,
)
from docket.worker import default_fallback_task
from redis.exceptions import RedisError

from jobcast._failure import is_cancellation
from jobcast.adapters._asyncio import Task, Tasks
from jobcast.adapters._task import HEADER, UNKNOWN_TASK, Settings, Ticket
from jobcast.protocol.names import new_job_id

_log: Final = logging.getLogger("jobcast.adapters")

_UNFINISHED_S: Final = 7 * 86_400
"""How long the ticket of a task that never ends is kept."""
_FINISHED_S: Final = 3600
"""How long a ticket is kept after the task: Docket may deliver the task once more."""
_CALLS: Final = ("add", "add_many", "replace", "replace_many", "cancel")
"""The methods of a docket that are wrapped."""
_UNDER_WAY: Final = frozenset(
    state.value.encode()
    for state in (ExecutionState.SCHEDULED, ExecutionState.QUEUED, ExecutionState.RUNNING)
)


@asynccontextmanager
async def followed(docket: Docket, url: str, **settings: Unpack[Settings]) -> AsyncIterator[None]:
    """Follow the tasks that a docket adds in this block, in the Redis at this URL.

    The settings are those of `jobcast.connect`, and ``enqueue_s``: how many seconds `Docket.add`
    may wait for that Redis. Raises ValueError if the URL is invalid, and `InvalidEvent` if a
    setting is.
    """
    tasks = Tasks(url, **settings)
    own = {name: vars(docket).get(name) for name in _CALLS}
    Followed(docket, tasks).attach()
    try:
        yield
    finally:
        for name, call in own.items():
            if call is None:
                delattr(docket, name)
            else:
                setattr(docket, name, call)
        await tasks.aclose()


class Jobcast(Dependency["Jobcast"]):
    """Follows the tasks of a worker: one of its ``dependencies``. See `followed`."""

    def __init__(self, url: str, **settings: Unpack[Settings]) -> None:
        self._tasks = Tasks(url, **settings)
        self._attached: Docket | None = None

    async def __aenter__(self) -> Self:
        docket = current_docket.get()
        if self._attached is not docket:
            self._attached = docket
            Followed(docket, self._tasks).attach()
            SharedContext.stack.get().push_async_callback(self._tasks.aclose)
        execution = current_execution.get()
        following = Following(execution)
        ticket = await _ticket_of(docket, execution.key)
        following.task = task = await self._tasks.begin(ticket, following.stop)
        if task.is_cancelled:
            task.leave()
            # Docket retries failed tasks, but not cancelled ones.
            raise asyncio.CancelledError
        following.forward_progress()
        _current.set(following)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        following = _current.get()
        if following is None:
            return
        _current.set(None)
        await following.end(error)
        if is_cancellation(error):
            raise asyncio.CancelledError


class Following:
    """One execution of a followed task."""

    task: Task

    def __init__(self, execution: Execution) -> None:
        self._execution = execution
        self._running = asyncio.current_task()
        self._is_stopped = False
        self._has_total = False

    def stop(self) -> None:
        """Cancel it, because the job was cancelled in Jobcast."""
        if self._running is not None:
            self._is_stopped = True
            self._running.cancel()

    def forward_progress(self) -> None:
        """Wrap the task's ``Progress`` so that it reports to the job as well."""
        progress: Any = self._execution.progress

        def forwarding(store: Callable[[Any], Any]) -> Callable[..., Any]:
            async def forward(*args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - Docket's arguments
                await store(*args, **kwargs)
                self._has_total |= store.__name__ == "set_total"
                await self.task.report(self._report())

            return forward

        for name in ("set_total", "increment", "set_message"):
            setattr(progress, name, forwarding(getattr(progress, name)))

    async def end(self, error: BaseException | None) -> None:
        """End the job or the attempt, or leave the job to the worker that continues the task."""
        self._running = None
        if error is None and self._execution.function is default_fallback_task:
            await self.task.fail(*UNKNOWN_TASK)
        elif error is None:
            await self.task.complete(await self._result())
        elif isinstance(error, asyncio.CancelledError):
            await self._cancelled()
        elif isinstance(error, AdmissionBlocked) and (error.handled or error.reschedule):
            await self.task.retry("The task waits for its turn", "BLOCKED")
        elif not is_cancellation(error) and self._will_retry:
            await self.task.retry(error)
        else:
            await self.task.fail(error)
        await _expire(self._execution)

    async def _result(self) -> object:
        """Return the task's result as Docket has stored it; None if it has not."""
        execution = self._execution
        if execution.state is not ExecutionState.COMPLETED or not self.task.is_followed:
            return None
        try:
            return await execution.get_result()
        except Exception:  # noqa: BLE001 - it must not fail the task
            _log.exception("task %s of Docket: its result can't be read", execution.key)
            return None

    async def _cancelled(self) -> None:
        if not self._is_stopped:
            with suppress(Exception):
                await self._execution.sync()
        if self._is_stopped or self._execution.state is ExecutionState.CANCELLED:
            await self.task.cancel()
        else:
            self.task.leave()  # the worker is shutting down

    @property
    def _will_retry(self) -> bool:
        execution = self._execution
        retry = get_single_dependency_parameter_of_type(execution.function, Retry)
        if retry is None:
            others = current_worker.get().dependencies.values()
            retry = next((each for each in others if isinstance(each, Retry)), None)
        return retry is not None and (retry.attempts is None or execution.attempt < retry.attempts)

    def _report(self) -> dict[str, object]:
        progress = self._execution.progress
        report: dict[str, object] = {"step": progress.message}
        if progress.current is not None:
            report |= {"current": progress.current}
        if self._has_total:
            report |= {"current": progress.current or 0, "total": progress.total}
        return report


class Followed:
    """Wraps the methods of a docket, to create and cancel the jobs of its tasks."""

    def __init__(self, docket: Docket, tasks: Tasks) -> None:
        self._docket = docket
        self._tasks = tasks
        self._add, self._replace, self._cancel = docket.add, docket.replace, docket.cancel
        self._add_many, self._replace_many = docket.add_many, docket.replace_many

    def attach(self) -> None:
        """Replace the docket's methods by the wrappers."""
        for name in _CALLS:
            setattr(self._docket, name, getattr(self, name))

    def add(
        self,
        function: Callable[..., Any] | str,
        when: datetime | None = None,
        key: str | None = None,
    ) -> Callable[..., Any]:
        """Create the job of a task, and add the task."""
        if key is None:
            key = new_job_id()
            return self._adding(self._add(function, when, key), function, key, is_known=False)
        return self._adding(self._add(function, when, key), function, key, is_known=True)

    def replace(
        self, function: Callable[..., Any] | str, when: datetime, key: str
    ) -> Callable[..., Any]:
        """Add a task, or replace the one with the same key, which keeps its job."""
        return self._adding(self._replace(function, when, key), function, key, is_known=True)

    async def add_many(self, calls: Iterable[TaskCall], **options: object) -> list[Execution]:
        """Create the jobs of tasks, and add the tasks."""
        return await self._adding_many(self._add_many, calls, options)

    async def replace_many(self, calls: Iterable[TaskCall], **options: object) -> list[Execution]:
        """Add tasks, or replace those with the same keys, which keep their jobs."""
        return await self._adding_many(self._replace_many, calls, options)

    async def cancel(self, key: str) -> None:
        """Cancel a task, and its job in Jobcast."""
        ticket = await _ticket_of(self._docket, key)
        await self._cancel(key)
        await self._tasks.cancel(ticket)

    def _adding(
        self,
        schedule: Callable[..., Any],
        function: Callable[..., Any] | str,
        key: str,
        *,
        is_known: bool,
    ) -> Callable[..., Any]:
        name = function if isinstance(function, str) else function.__name__

        async def scheduler(*args: Any, **kwargs: Any) -> Execution:  # noqa: ANN401 - the task's
            ticket = await self._create_job(key, name, is_known=is_known)
            try:
                scheduled: Execution = await schedule(*args, **kwargs)
            except BaseException:
                await self._tasks.cancel(ticket)
                raise
            if not _is_scheduled(scheduled):
                await self._tasks.cancel(ticket)
            return scheduled

        return scheduler

    async def _adding_many(
        self, schedule: Callable[..., Any], calls: Iterable[TaskCall], options: Mapping[str, object]
    ) -> list[Execution]:
        calls = list(calls)
        names = {each.key: each.function_name or each.function.__name__ for each in calls}
        tickets = {
            key: await self._create_job(key, name, is_known=True) for key, name in names.items()
        }
        scheduled = set[str]()
        try:
            executions: list[Execution] = await schedule(calls, **options)
            scheduled = {each.key for each in executions if _is_scheduled(each)}
        finally:
            for key in tickets.keys() - scheduled:
                await self._tasks.cancel(tickets[key])
        return executions

    async def _create_job(self, key: str, name: str, *, is_known: bool) -> Ticket | None:
        """Create the job of a task before it is added, unless the job of its key continues."""
        if is_known and await self._is_under_way(key):
            return None
        ticket = await self._tasks.enqueued(key, name)
        await _store_ticket(self._docket, key, ticket, is_known=is_known)
        return ticket

    async def _is_under_way(self, key: str) -> bool:
        """Whether a task with this key has not ended; replaced or not, it keeps its job."""
        async with self._docket.redis() as redis:
            return await redis.hget(self._docket.runs_key(key), "state") in _UNDER_WAY


_current: Final[ContextVar[Following | None]] = ContextVar("jobcast_docket", default=None)
"""The execution in this context."""


def _is_scheduled(execution: Execution) -> bool:
    return execution.disposition.value == "scheduled"


def _ticket_key(docket: Docket, key: str) -> str:
    return docket.key(f"{HEADER}:{key}")


async def _store_ticket(docket: Docket, key: str, ticket: Ticket | None, *, is_known: bool) -> None:
    """Store a task's ticket next to it, because Docket's messages have no field for it."""
    with suppress(RedisError):  # then adding fails too, or the task is not followed
        async with docket.redis() as redis:
            if ticket is not None:
                header = json.dumps(ticket.to_header())
                await redis.set(_ticket_key(docket, key), header, ex=_UNFINISHED_S)
            elif is_known:
                await redis.delete(_ticket_key(docket, key))


async def _ticket_of(docket: Docket, key: str) -> Ticket | None:
    try:
        async with docket.redis() as redis:
            header = await redis.get(_ticket_key(docket, key))
        return Ticket.from_header(json.loads(header or b"null"))
    except (RedisError, ValueError):
        return None


async def _expire(execution: Execution) -> None:
    """Let the ticket of a completed or cancelled task expire."""
    if execution.state in {ExecutionState.COMPLETED, ExecutionState.CANCELLED}:
        with suppress(RedisError):
            async with execution.docket.redis() as redis:
                await redis.expire(_ticket_key(execution.docket, execution.key), _FINISHED_S)
