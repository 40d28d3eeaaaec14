"""taskiq: tasks as jobs of Jobcast.

    broker = ListQueueBroker(url).with_middlewares(JobcastMiddleware(url))

    with jobcast.owner(user_id="u1"):
        await resize.kiq("photos")

The worker that imports the broker follows the tasks. What a task gives to taskiq's
``ProgressTracker.set_progress`` is progress, with any result backend and with none: `_report` says
which keys of ``meta`` are understood; a number is a percentage, and a state of your own is the
step. What taskiq's middlewares retry are attempts. taskiq can't abort tasks: this middleware
cancels one that its owner cancels, if it is a coroutine.
"""

import asyncio
import inspect
import json
from contextvars import ContextVar
from typing import Any, Final, Unpack

from pydantic import BaseModel
from taskiq import TaskiqMessage, TaskiqMiddleware, TaskiqResult
from taskiq.abc.result_backend import AsyncResultBackend
from taskiq.depends.progress_tracker import TaskProgress, TaskState
from taskiq.exceptions import NoResultError

from jobcast._errors import JobCancelled
from jobcast._failure import is_a
from jobcast.adapters._asyncio import Task, Tasks
from jobcast.adapters._report import STEP
from jobcast.adapters._task import HEADER, Settings, Ticket, owner_of

_REQUEUED: Final = "X-Taskiq-requeue"
_STATES: Final = frozenset(TaskState)


def owned_by(*, user_id: str | None = None, session_id: str | None = None) -> dict[str, str]:
    """Return what says in ``with_labels(**…)`` who may watch the task: see `jobcast.owner`."""
    return {HEADER: json.dumps({"user": user_id, "session": session_id})}


class JobcastMiddleware(TaskiqMiddleware):
    """Follows the tasks of a broker that somebody owns, as jobs in the Redis of this URL.

    The settings are those of `jobcast.connect` and ``enqueue_s``: how many seconds the sending of a
    task may wait for that Redis.
    """

    def __init__(self, url: str, **settings: Unpack[Settings]) -> None:
        super().__init__()
        self._tasks = Tasks(url, **settings)
        self._backend: AsyncResultBackend[Any] | None = None

    async def startup(self) -> None:
        """Be the last of the broker's middlewares, and listen to what tasks report."""
        # The last one is the first to see an error: before those that retry it.
        others = [each for each in self.broker.middlewares if each is not self]
        self.broker.middlewares = [*others, self]
        if self._backend is not self.broker.result_backend:
            self._backend = self.broker.result_backend
            _forward_progress(self._backend)

    async def shutdown(self) -> None:
        """Close the connections."""
        await self._tasks.aclose()

    async def pre_send(self, message: TaskiqMessage) -> TaskiqMessage:
        """Create the job of a task; a message that has one already is the retry of it."""
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
            message.kwargs = _Withheld(message.kwargs)
        return message

    def on_error(
        self, message: TaskiqMessage, result: TaskiqResult[Any], exception: BaseException
    ) -> None:
        """Learn why a task has failed; one that was cancelled is not to be retried."""
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
        """Start the job."""
        can_stop = self._running is not None
        self.task = await tasks.begin(
            Ticket.from_header(_header(self._header)), self._stop if can_stop else None
        )
        _current.set(self)

    def is_of(self, message: TaskiqMessage) -> bool:
        """Whether it is the execution of this message."""
        return message.task_id == self._task_id

    def failed(self, error: BaseException, message: TaskiqMessage) -> None:
        """Note what the task has raised."""
        self._error = error
        self._go_on()
        if self._is_stopped or is_a(error, JobCancelled):
            message.labels["retry_on_error"] = False

    async def will_be_retried(self, message: TaskiqMessage) -> None:
        """End the attempt, if this message is the next one of it."""
        if message.labels[HEADER] == self._header and self._error is not None:
            await self._retry(self._error, message)

    async def end(self, message: TaskiqMessage, result: TaskiqResult[Any]) -> None:
        """End the job, or the attempt if it hasn't been."""
        self._go_on()
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
            # A scheduler will send it again.
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

    def _go_on(self) -> None:
        """Stop the task no more; taskiq has caught what has stopped it, but not said so."""
        if self._running is not None and self._is_stopped:
            self._running.uncancel()
        self._running = None


_current: Final[ContextVar[Execution | None]] = ContextVar("jobcast_taskiq", default=None)
"""What is executed in this context."""


class _Withheld(dict[str, Any]):
    """The arguments of a task that is not to run: it fails when taskiq unpacks them."""

    def __iter__(self) -> Any:  # noqa: ANN401 - has `dict.update` ask for the keys
        raise JobCancelled

    def keys(self) -> Any:  # noqa: ANN401 - it returns nothing
        raise JobCancelled


def _forward_progress(backend: AsyncResultBackend[Any]) -> None:
    """Have what tasks report to a result backend be reported to their jobs as well."""
    store = backend.set_progress

    async def set_progress(task_id: str, progress: TaskProgress[Any]) -> None:
        await store(task_id, progress)
        if (execution := _current.get()) is not None:
            await execution.task.report(_meta(progress))

    backend.set_progress = set_progress  # type: ignore[method-assign]


def _meta(progress: TaskProgress[Any]) -> object:
    """Return what a task reports as `_report` reads it."""
    meta = progress.meta
    if isinstance(meta, int | float):
        meta = {"progress": meta}
    elif isinstance(meta, BaseModel):
        meta = dict(meta)
    if progress.state in _STATES or not isinstance(meta, dict | None):
        return meta
    step = {} if meta and any(name in meta for name in STEP) else {"step": str(progress.state)}
    return {**step, **(meta or {})}


def _header(label: object) -> dict[object, object]:
    """Return what a label says; empty if there is none that can be read."""
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
