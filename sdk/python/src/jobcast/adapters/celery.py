"""Turns Celery's tasks into jobs of Jobcast.

    app = Celery(broker="redis://")
    jobcast.adapters.celery.install(app, "redis://")

    with jobcast.owner(user_id="u1"):
        resize.delay("photos")

Call `install` where the app is created, so that workers and the programs that enqueue both call it.
``self.update_state(state=…, meta=…)`` reports progress: `jobcast.adapters._report` lists the keys.
Retries are attempts. ``revoke`` cancels the job. When the owner cancels a job, its task is not
started, gets `JobCancelled` from its next report, or is revoked with ``terminate=True``.

Each task of a chain, a group or a chord is a job of its own, and so is each task that a followed
task enqueues: it has the same owner. Tasks enqueued in ``with jobcast.owner():`` are not followed.
"""

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import wraps
from typing import Any, Final, Unpack

from billiard.exceptions import WorkerLostError
from celery import Celery, signals, states
from celery import Task as CeleryTask
from celery.app.task import Context
from celery.exceptions import Ignore, Reject, TimeLimitExceeded
from celery.worker import WorkController

from jobcast._errors import JobCancelled
from jobcast._failure import text_of
from jobcast.adapters._abort import OnCancel
from jobcast.adapters._blocking import Task, Tasks
from jobcast.adapters._leniency import quietly
from jobcast.adapters._task import (
    HEADER,
    Settings,
    Ticket,
    failure_of,
    owned_by,
    owner_of,
)

__all__ = ["install", "owned_by"]

_BUILT_IN: Final = frozenset((*states.ALL_STATES, states.IGNORED))
"""States that Celery defines; setting one reports no progress."""
_INTERNAL: Final = "celery."
"""Prefix of the names of Celery's own tasks."""
_KILLABLE: Final = ("prefork", "gevent", "eventlet")
"""Pools that can terminate a running task."""
_MAIN_PROCESS_FAILURES: Final = (WorkerLostError, TimeLimitExceeded, Reject)
"""Failures that the worker's main process reports, because the pool's process can't."""
_EXECUTION: Final = "jobcast_execution"
"""The attribute that holds a request's execution, and marks tasks that are wrapped."""
_UID: Final = "jobcast"


def install(
    app: Celery, url: str, *, may_terminate: bool = True, **settings: Unpack[Settings]
) -> None:
    """Follow the tasks of an app, in the Redis at this URL.

    ``may_terminate`` is whether the task of a cancelled job is revoked with ``terminate=True``,
    which kills its process, if it does not report. The other settings are those of
    `jobcast.connect`, and ``enqueue_s``: how many seconds enqueueing a task may wait for Jobcast's
    Redis. Raises ValueError if the URL is invalid, and `InvalidEvent` if a setting is.
    """
    adapter = Adapter(app, Tasks(url, **settings), may_terminate=may_terminate)
    for signal, receiver in (
        (signals.before_task_publish, adapter.on_publish),
        (signals.worker_init, adapter.on_worker),
        (signals.task_prerun, adapter.on_begin),
        (signals.task_postrun, adapter.on_end),
        (signals.task_revoked, adapter.on_revoked),
        (signals.task_failure, adapter.on_failure),
        (signals.worker_process_shutdown, adapter.on_exit),
        (signals.worker_shutdown, adapter.on_exit),
    ):
        signal.disconnect(dispatch_uid=_UID)  # from an earlier call
        signal.connect(receiver, weak=False, dispatch_uid=_UID)
    app.on_after_finalize.connect(adapter.wrap_tasks, weak=False)


class Execution:
    """One execution of a task; ``is_continued`` is whether another message continues the task."""

    def __init__(self, tasks: Tasks, request: Context, on_cancel: OnCancel | None) -> None:
        self.task_id: str = request.id
        self.ticket = _ticket_of(request)
        self.is_continued = False
        self.failure: object = None
        self._tasks = tasks
        self._retries: int = request.retries or 0
        ticket = self.ticket
        if ticket is not None and self._retries:
            ticket = ticket.of_any_attempt()
        self.job: Task = tasks.begin(ticket, on_cancel)
        self.is_cancelled = self.job.is_cancelled

    def continued_by(self, headers: Mapping[str, Any]) -> None:
        """Handle another message with the task's id before it is sent: a retry or a replacement.

        A retry ends the attempt first, because the next one may begin at once. What this execution
        reports afterwards is dropped.
        """
        self.is_continued = True
        if headers.get("retries", 0) <= self._retries:
            return
        if self.job.run.cancel_requested:
            self.job.cancel()
        else:
            error: str | BaseException | None = sys.exc_info()[1]
            if error is None:  # not by its truth, which a custom exception defines
                error = "The task asked for a retry"
            self.job.retry(error, in_s=_seconds_until(headers.get("eta")))
        self.job = self._tasks.begin(None)

    def end(self, state: str | None, value: Any) -> None:  # noqa: ANN401 - the task's result
        """End the job according to the state in which Celery has ended the task."""
        if self.is_cancelled:
            self.job.cancel()
        elif state == states.SUCCESS:
            self.job.complete(value)
        elif state == states.FAILURE:
            self.job.fail(value)
        elif self.is_continued or state is None or getattr(value, "requeue", False):
            self.job.leave()  # a message continues the job, or its lease expires
        elif state == states.RETRY:
            self.job.retry(value if value.exc is None else value.exc)
        elif state == states.REJECTED:
            self.job.fail(value)
        elif self.failure is not None:
            self.job.fail(_text(self.failure))
        else:
            self.job.complete(None)


class Adapter:
    """Follows the tasks of one app by Celery's signals. Celery logs what receivers raise."""

    def __init__(self, app: Celery, tasks: Tasks, *, may_terminate: bool) -> None:
        self._app = app
        self._tasks = tasks
        self._may_terminate = may_terminate
        self._can_terminate = False

    def on_publish(self, sender: str, headers: dict[str, Any], **_: object) -> None:
        """Handle a message before it is sent: of a new task, a retry or a replacement."""
        task_id, header = headers.get("id"), headers.pop(HEADER, None)
        if task_id is None or str(sender).startswith(_INTERNAL):
            return
        worker_task = self._app.current_worker_task
        execution = None if worker_task is None else _execution_of(worker_task.request)
        if execution is not None and execution.task_id == task_id:
            ticket = execution.ticket
            execution.continued_by(headers)
        elif isinstance(header, Mapping) and header.get("task") == task_id:
            ticket = Ticket.from_header(header)
        else:
            ticket = self._tasks.enqueued(task_id, sender, owner_of(header))
        if ticket is not None:
            headers[HEADER] = ticket.to_header(task_id)

    def on_worker(self, sender: WorkController, **_: object) -> None:
        """Handle the start of a worker, before that of its pool."""
        self._can_terminate = any(name in str(sender.pool_cls) for name in _KILLABLE)
        self.wrap_tasks()

    def wrap_tasks(self, **_: object) -> None:
        """Wrap the methods of the app's tasks."""
        for name, task in self._app.tasks.items():
            if not name.startswith(_INTERNAL) and _EXECUTION not in vars(task):
                setattr(task, _EXECUTION, True)
                _follow_run(task)
                _follow_state(task)
                _follow_retry(task)

    def on_begin(self, task: CeleryTask, **_: object) -> None:
        """Handle the start of an execution."""
        task_id = task.request.id

        def revoke() -> None:
            self._app.control.revoke(task_id, terminate=True)

        on_cancel = revoke if self._may_terminate and self._can_terminate else None
        setattr(task.request, _EXECUTION, Execution(self._tasks, task.request, on_cancel))

    def on_end(self, task: CeleryTask, state: str | None, retval: Any, **_: object) -> None:  # noqa: ANN401
        """Handle the end of an execution."""
        execution = _execution_of(task.request)
        if execution is not None:
            setattr(task.request, _EXECUTION, None)
            execution.end(state, retval)

    def on_revoked(self, request: Context, *, expired: bool = False, **_: object) -> None:
        """Handle a task that was terminated, or was revoked or expired before its start."""
        failure = ("The task has expired", "EXPIRED") if expired else ("Cancelled", None)
        self._tasks.end(_ticket_of(request), *failure)

    def on_failure(
        self, sender: CeleryTask, task_id: str, exception: BaseException, **_: object
    ) -> None:
        """Handle a failure that the pool's process could not report."""
        if not isinstance(exception, _MAIN_PROCESS_FAILURES):
            return
        # Celery has the request of some of them. For others, try the job that has the task's id.
        ticket = _ticket_of(sender.request) if sender.request.id == task_id else None
        if isinstance(exception, WorkerLostError):
            failure: tuple[str, str | None] = ("The worker was lost", "STALLED")
        else:
            failure = failure_of(exception, None)
        self._tasks.end(ticket or Ticket.from_header({"id": task_id, "type": "-"}), *failure)

    def on_exit(self, **_: object) -> None:
        """Handle the exit of a process: write the buffered events, and close the connections."""
        self._tasks.close()


def _follow_run(task: CeleryTask) -> None:
    run = task.run

    @wraps(run)
    def followed(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the task's
        execution = _execution_of(task.request)
        if execution is None:
            return run(*args, **kwargs)
        if not execution.is_cancelled:
            try:
                return run(*args, **kwargs)
            except JobCancelled:
                execution.is_cancelled = True
        quietly(task.backend.mark_as_revoked, task.request.id, "cancelled", request=task.request)
        raise Ignore("cancelled")

    task.run = followed


def _follow_state(task: CeleryTask) -> None:
    update = task.update_state

    @wraps(update)
    def update_state(
        task_id: str | None = None,
        state: str | None = None,
        meta: Any = None,  # noqa: ANN401 - the task's
        **kwargs: Any,  # noqa: ANN401 - the task's
    ) -> None:
        execution = _execution_of(task.request)
        if execution is None or task_id not in {None, execution.task_id}:
            update(task_id, state, meta, **kwargs)
            return
        if state not in _BUILT_IN:
            execution.job.report(meta)  # first: a cancelled task gets no further state
        update(task_id, state, meta, **kwargs)
        if state == states.FAILURE:
            execution.failure = meta.get("exc_message", meta) if isinstance(meta, dict) else meta

    task.update_state = update_state


def _follow_retry(task: CeleryTask) -> None:
    retry = task.retry

    @wraps(retry)
    def unless_cancelled(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the task's
        execution = _execution_of(task.request)
        if execution is not None and execution.job.run.cancel_requested:
            # ``autoretry_for`` may cover JobCancelled. If the retry were sent, another process
            # might set the state REVOKED, and this one would overwrite it with RETRY.
            raise JobCancelled
        return retry(*args, **kwargs)

    task.retry = unless_cancelled


def _text(failure: object) -> str:
    return failure if isinstance(failure, str) else text_of(failure)


def _execution_of(request: Context) -> Execution | None:
    found = getattr(request, _EXECUTION, None)
    return found if isinstance(found, Execution) else None


def _ticket_of(request: Context) -> Ticket | None:
    return Ticket.from_header(getattr(request, HEADER, None), request.id)


def _seconds_until(eta: str | None) -> float | None:
    if eta is None:
        return None
    when = datetime.fromisoformat(eta)
    when = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
    return max(0, round((when - datetime.now(UTC)).total_seconds()))
