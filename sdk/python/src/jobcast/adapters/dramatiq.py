"""Dramatiq: messages as jobs of Jobcast.

    broker.add_middleware(jobcast.adapters.dramatiq.Jobcast("redis://127.0.0.1:6379/0"))

    with jobcast.owner(user_id="u1"):
        resize.send("photos")

Retries are attempts. Dramatiq has no way to report progress and none to abort a message: tasks
report to `jobcast.sync.current_run`, and `JobCancelled` is raised in the thread of an actor whose
job was cancelled by its owner, as Dramatiq raises its own time limits. One that is cancelled before
its start is skipped.
"""

from threading import Lock, get_ident
from typing import Any, Final, Unpack

from dramatiq import Broker, Message, MessageProxy, Middleware, Worker
from dramatiq.middleware import SkipMessage
from dramatiq.middleware.threading import raise_thread_exception

from jobcast._errors import JobCancelled
from jobcast.adapters._blocking import Task, Tasks
from jobcast.adapters._task import HEADER, Settings, Ticket, owned_by, owner_of

__all__ = ["Jobcast", "owned_by"]

Throws = type[BaseException] | tuple[type[BaseException], ...] | None
"""Exceptions that Dramatiq does not answer by a retry."""

_THROWS: Final = "throws"
"""The option that names them."""

_SKIPPED: Final = "The message was skipped", "SKIPPED"
_UNKNOWN: Final = "The worker has no such actor", "UNKNOWN_TYPE"


class Execution:
    """One execution of a message, in the thread that it was begun in."""

    def __init__(self, tasks: Tasks, message: MessageProxy, throws: Throws) -> None:
        self.message_id = message.message_id
        self.ticket = ticket_of(message)
        self._throws = message.options.get(_THROWS)
        message.options[_THROWS] = (JobCancelled, *_as_tuple(self._throws or throws))
        self._thread = get_ident()
        self._returning = Lock()
        self._has_returned = False
        self._error: BaseException | None = None
        self._result: object = None
        self._job: Task | None = tasks.begin(self.ticket, self._interrupt)
        self.is_cancelled = self._job.is_cancelled

    def returned(self, result: object, error: BaseException | None) -> None:
        """Take what the actor has returned or raised; it can't be interrupted any more."""
        with self._returning:
            self._has_returned = True
        self._result, self._error = result, error

    def retried(self, message: Message[Any], delay_ms: int | None) -> None:
        """End the attempt: a message that runs the actor once more is about to be sent."""
        message.options.pop(_THROWS, None)  # it is sent as JSON
        if self._throws is not None:
            message.options[_THROWS] = self._throws
        job, self._job = self._job, None
        if job is not None:
            error = self._error or "The actor asked for a retry"
            job.retry(error, in_s=None if delay_ms is None else delay_ms / 1000)

    def end(self) -> None:
        """End the job, unless the message was sent once more."""
        job, self._job = self._job, None
        if job is None:
            return
        if self.is_cancelled:
            job.cancel()
        elif self._error is not None:
            job.fail(self._error)
        elif self._has_returned:
            job.complete(self._result)
        else:
            job.fail(*_SKIPPED)

    def _interrupt(self) -> None:
        with self._returning:
            if not self._has_returned:
                raise_thread_exception(self._thread, JobCancelled)  # type: ignore[no-untyped-call]


class Jobcast(Middleware):
    """Follows the messages that somebody owns. To be added to the broker after all others.

    ``url`` is Jobcast's Redis; the settings are those of `jobcast.connect`, and ``enqueue_s``: how
    many seconds the sending of a message may wait for Redis.
    """

    def __init__(self, url: str, **settings: Unpack[Settings]) -> None:
        self._tasks = Tasks(url, **settings)
        self._executions: dict[int, Execution] = {}

    def before_enqueue(self, _broker: Broker, message: Message[Any], delay: int | None) -> None:
        """Handle a message that is about to be sent: a new one, or one more time."""
        execution = self._executions.get(get_ident())
        if execution is not None and execution.message_id == message.message_id:
            ticket = execution.ticket
            execution.retried(message, delay)
        else:
            ticket = ticket_of(message)
            if ticket is None:
                name, owner = message.actor_name, owner_of(message.options.get(HEADER))
                ticket = self._tasks.enqueued(message.message_id, name, owner)
        message.options.pop(HEADER, None)
        if ticket is not None:
            message.options[HEADER] = ticket.to_header(message.message_id)

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        """Begin an execution; SkipMessage if the job was cancelled before."""
        throws = broker.get_actor(message.actor_name).options.get(_THROWS)
        execution = Execution(self._tasks, message, throws)
        self._executions[get_ident()] = execution
        if execution.is_cancelled:
            raise SkipMessage("The job was cancelled")

    def after_process_message(
        self,
        _broker: Broker,
        _message: MessageProxy,
        *,
        result: Any = None,  # noqa: ANN401 - the actor's
        exception: BaseException | None = None,
    ) -> None:
        """Take what the actor has returned or raised. Other middleware decides on a retry."""
        execution = self._executions.get(get_ident())
        if execution is not None:
            execution.returned(result, exception)

    def after_skip_message(self, _broker: Broker, message: MessageProxy) -> None:
        """Fail the job of a message that other middleware has skipped before its execution."""
        if get_ident() not in self._executions:
            self._tasks.end(ticket_of(message), *_SKIPPED)

    def before_ack(self, _broker: Broker, _message: MessageProxy) -> None:
        """End the execution."""
        execution = self._executions.pop(get_ident(), None)
        if execution is not None:
            execution.end()

    def before_nack(self, broker: Broker, message: MessageProxy) -> None:
        """End the execution; without one, this worker has no actor for the message."""
        if get_ident() in self._executions:
            self.before_ack(broker, message)
        else:
            self._tasks.end(ticket_of(message), *_UNKNOWN)

    def after_worker_shutdown(self, _broker: Broker, _worker: Worker) -> None:
        """Write what waits for Redis."""
        self._tasks.close()


def ticket_of(message: "Message[Any] | MessageProxy") -> Ticket | None:
    """Return what a message brought along; None if it is not followed."""
    return Ticket.from_header(message.options.get(HEADER), message.message_id)


def _as_tuple(throws: Throws) -> tuple[type[BaseException], ...]:
    if throws is None:
        return ()
    return throws if isinstance(throws, tuple) else (throws,)
