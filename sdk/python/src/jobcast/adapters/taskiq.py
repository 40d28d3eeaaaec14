"""Turns taskiq's tasks into jobs of Jobcast.

    broker = ListQueueBroker(url).with_middlewares(JobcastMiddleware(url))

    with jobcast.owner(user_id="u1"):
        await resize.kiq("photos")

A worker that imports this broker follows its tasks. What a task passes to taskiq's
``ProgressTracker.set_progress`` is progress, with or without a result backend: `_report` lists the
keys of ``meta``; a number is a percentage, and a custom state is the step. Retries by taskiq's
middlewares are attempts. taskiq can't abort tasks: when the owner cancels a job, this middleware
cancels its task, if that is a coroutine.
"""

import asyncio
import inspect
import json
from collections.abc import Coroutine
from contextvars import ContextVar
from typing import Any, Final, Unpack

from pydantic import BaseModel
from taskiq import BrokerMessage, TaskiqMessage, TaskiqMiddleware, TaskiqResult
from taskiq.abc.formatter import TaskiqFormatter
from taskiq.abc.result_backend import AsyncResultBackend
from taskiq.depends.progress_tracker import TaskProgress, TaskState
from taskiq.exceptions import NoResultError

from jobcast._errors import JobCancelled
from jobcast._failure import is_cancellation
from jobcast.adapters._asyncio import Task, Tasks
from jobcast.adapters._report import STEP
from jobcast.adapters._task import HEADER, UNKNOWN_TASK, Settings, Ticket, owner_of

_REQUEUED: Final = "X-Taskiq-requeue"
_STATES: Final = frozenset(TaskState)


def owned_by(*, user_id: str | None = None, session_id: str | None = None) -> dict[str, str]:
    """Return the labels that name a task's owner, for ``with_labels(**…)``: see `jobcast.owner`."""
    return {HEADER: json.dumps({"user": user_id, "session": session_id})}


class JobcastMiddleware(TaskiqMiddleware):
    """Follows the tasks of a broker that have an owner, in the Redis at this URL.

    The settings are those of `jobcast.connect`, and ``enqueue_s``: how many seconds sending a task
    may wait for that Redis. Raises ValueError if the URL is invalid, and `InvalidEvent` if a
    setting is.
    """

    def __init__(self, url: str, **settings: Unpack[Settings]) -> None:
        super().__init__()
        self._tasks = Tasks(url, **settings)
        self._backend: AsyncResultBackend[Any] | None = None
        self._formatter: TaskiqFormatter | None = None
        self._ending: set[asyncio.Task[None]] = set()

    async def startup(self) -> None:
        """Move to the end of the broker's middlewares, and forward the progress of its tasks."""
        # taskiq calls the last one first after an error, so before those that retry.
        others = [each for each in self.broker.middlewares if each is not self]
        self.broker.middlewares = [*others, self]
        if self._backend is not self.broker.result_backend:
            self._backend = self.broker.result_backend
            _forward_progress(self._backend)
        if self._formatter is not self.broker.formatter:
            self._formatter = self.broker.formatter
            self._watch_sending(self._formatter)
            if self.broker.is_worker_process:
                self._watch(self._formatter)

    async def shutdown(self) -> None:
        """Close the connections."""
        if self._ending:
            await asyncio.wait(self._ending)
        await self._tasks.aclose()

    def _watch_sending(self, formatter: TaskiqFormatter) -> None:
        """Cancel the jobs of messages that can't be sent; taskiq calls no hook then."""
        dumps, kick = formatter.dumps, self.broker.kick

        def watched(message: TaskiqMessage) -> BrokerMessage:
            try:
                return dumps(message)
            except BaseException:
                self._later(self._tasks.cancel(_ticket(message)))
                raise

        async def watched_kick(message: BrokerMessage) -> None:
            try:
                await kick(message)
            except BaseException:
                await self._tasks.cancel(_ticket(message))
                raise

        formatter.dumps = watched  # type: ignore[method-assign]
        self.broker.kick = watched_kick  # type: ignore[method-assign]

    def _later(self, ending: Coroutine[Any, Any, None]) -> None:
        """End a job in the background."""
        task = asyncio.get_running_loop().create_task(ending)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    def _watch(self, formatter: TaskiqFormatter) -> None:
        """Fail the jobs of messages that taskiq drops, because the worker has no such task."""
        loads = formatter.loads

        def watched(message: bytes) -> TaskiqMessage:
            loaded = loads(message=message)
            if self.broker.find_task(loaded.task_name) is None:
                self._later(self._tasks.end(_ticket(loaded), *UNKNOWN_TASK))
            return loaded

        formatter.loads = watched  # type: ignore[method-assign]

    async def pre_send(self, message: TaskiqMessage) -> TaskiqMessage:
        """Create the job of a task; if the message has a ticket already, it is a retry."""
        header = _header(message.labels.get(HEADER))
        if Ticket.from_header(header) is None:
            message.labels.pop(HEADER, None)
            owner = owner_of(header)
            ticket = await self._tasks.enqueued(message.task_id, message.task_name, owner)
            if ticket is not None:
                message.labels[HEADER] = json.dumps(ticket.to_header())
        elif (execution := _current.get()) is not None:
            await execution.will_be_retried(message)
        return message

    async def pre_execute(self, message: TaskiqMessage) -> TaskiqMessage:
        """Start the job of a task, or take it over."""
        task = self.broker.find_task(message.task_name)
        can_stop = task is not None and inspect.iscoroutinefunction(task.original_func)
        execution = Execution(message, can_stop=can_stop)
        await execution.begin(self._tasks)
        if execution.task.is_cancelled:
            message.kwargs = _CancelledArguments(message.kwargs)
        return message

    def on_error(
        self, message: TaskiqMessage, result: TaskiqResult[Any], exception: BaseException
    ) -> None:
        """Store why a task has failed; prevent a retry if it was cancelled."""
        del result
        if (execution := _current.get()) is not None and execution.is_of(message):
            execution.failed(exception, message)

    async def post_execute(self, message: TaskiqMessage, result: TaskiqResult[Any]) -> None:
        """End the job, or the attempt."""
        if (execution := _current.get()) is not None and execution.is_of(message):
            await execution.end(message, result)


class Execution:
    """One execution of a task."""

    task: Task

    def __init__(self, message: TaskiqMessage, *, can_stop: bool) -> None:
        self._task_id = message.task_id
        self._header = message.labels.get(HEADER)
        self._requeued = message.labels.get(_REQUEUED)
        self._error: BaseException | None = None
        self._running = asyncio.current_task() if can_stop else None
        self._is_stopped = False
        self._has_ended = False

    async def begin(self, tasks: Tasks) -> None:
        """Start the job, or take it over from an earlier run."""
        can_stop = self._running is not None
        self.task = await tasks.begin(
            Ticket.from_header(_header(self._header)), self._stop if can_stop else None
        )
        _current.set(self)

    def is_of(self, message: TaskiqMessage) -> bool:
        """Whether this executes the given message."""
        return message.task_id == self._task_id

    def failed(self, error: BaseException, message: TaskiqMessage) -> None:
        """Store what the task has raised; prevent a retry if it was cancelled."""
        self._error = error
        self._uncancel()
        if self._is_stopped or is_cancellation(error):
            message.labels["retry_on_error"] = False

    async def will_be_retried(self, message: TaskiqMessage) -> None:
        """End the attempt, if this message is its retry."""
        if message.labels[HEADER] == self._header and self._error is not None:
            await self._retry(self._error, message)

    async def end(self, message: TaskiqMessage, result: TaskiqResult[Any]) -> None:
        """End the job or the attempt, unless a retry has ended that."""
        self._uncancel()
        error = self._error
        if self._has_ended:
            return
        if error is None:
            await self.task.complete(result.return_value)
        elif self._is_stopped:
            await self.task.cancel()
        elif isinstance(error, NoResultError):
            if message.labels.get(_REQUEUED) == self._requeued:
                await self.task.complete(None)
            else:
                await self._retry("The task was put back into the queue", message)
        elif isinstance(result.error, NoResultError):
            # A scheduler will send the task again.
            await self._retry(error, message)
        else:
            await self.task.fail(error)

    async def _retry(self, error: str | BaseException, message: TaskiqMessage) -> None:
        self._has_ended = True
        code = "REQUEUED" if isinstance(error, str) else None
        await self.task.retry(error, code, in_s=_seconds(message.labels.get("delay")))

    def _stop(self) -> None:
        if self._running is not None:
            self._is_stopped = True
            self._running.cancel()

    def _uncancel(self) -> None:
        """Withdraw the cancellation: taskiq caught the CancelledError without ``uncancel``."""
        if self._running is not None and self._is_stopped:
            self._running.uncancel()
        self._running = None


_current: Final[ContextVar[Execution | None]] = ContextVar("jobcast_taskiq", default=None)
"""The execution in this context."""


class _CancelledArguments(dict[str, Any]):
    """The arguments of a task that must not run: unpacking them raises `JobCancelled`."""

    def __iter__(self) -> Any:  # noqa: ANN401 - makes `dict.update` call `keys`
        raise JobCancelled

    def keys(self) -> Any:  # noqa: ANN401 - it never returns
        raise JobCancelled


def _forward_progress(backend: AsyncResultBackend[Any]) -> None:
    """Wrap a result backend's ``set_progress`` so that tasks report to their jobs as well."""
    store = backend.set_progress

    async def set_progress(task_id: str, progress: TaskProgress[Any]) -> None:
        await store(task_id, progress)
        if (execution := _current.get()) is not None:
            await execution.task.report(_meta(progress))

    backend.set_progress = set_progress  # type: ignore[method-assign]


def _meta(progress: TaskProgress[Any]) -> object:
    """Convert a report for `_report`: a number is a percentage, a custom state the step."""
    meta = progress.meta
    if isinstance(meta, int | float):
        meta = {"progress": meta}
    elif isinstance(meta, BaseModel):
        meta = dict(meta)
    if progress.state in _STATES or not isinstance(meta, dict | None):
        return meta
    step = {} if meta and any(name in meta for name in STEP) else {"step": str(progress.state)}
    return {**step, **(meta or {})}


def _ticket(message: TaskiqMessage | BrokerMessage) -> Ticket | None:
    return Ticket.from_header(_header(message.labels.get(HEADER)))


def _header(label: object) -> dict[object, object]:
    """Parse a label; empty if there is none or it is invalid."""
    try:
        header = json.loads(str(label))
    except (ValueError, RecursionError):
        header = None
    return header if isinstance(header, dict) else {}


def _seconds(delay: object) -> float | None:
    try:
        return None if delay is None else float(str(delay))
    except ValueError:
        return None
