"""Turns Dramatiq's messages into jobs of Jobcast.

    broker.add_middleware(jobcast.adapters.dramatiq.Jobcast("redis://127.0.0.1:6379/0"))

    with jobcast.owner(user_id="u1"):
        resize.send("photos")

Retries are attempts. Dramatiq can neither report progress nor abort a message: actors report to
`jobcast.sync.current_run`, and when the owner cancels a job, `JobCancelled` is raised in the thread
of its actor, as Dramatiq raises its time limits. A message whose job is cancelled before its start
is skipped.
"""

from threading import Lock, get_ident
from typing import Any, Final, Unpack
from weakref import WeakSet

from dramatiq import Broker, Message, MessageProxy, Middleware, Worker
from dramatiq.middleware import SkipMessage
from dramatiq.middleware.threading import raise_thread_exception

from jobcast._errors import JobCancelled
from jobcast._failure import is_cancellation
from jobcast.adapters._blocking import Task, Tasks
from jobcast.adapters._sending import Sending
from jobcast.adapters._task import HEADER, UNKNOWN_TASK, Settings, Ticket, owned_by, owner_of

__all__ = ["Jobcast", "owned_by"]

Throws = type | tuple[type, ...] | None
"""Exceptions after which Dramatiq does not retry."""

_THROWS: Final = "throws"
"""The option that lists them."""

_SKIPPED: Final = "The message was skipped", "SKIPPED"


class _OfCancellations(type):
    def __instancecheck__(cls, error: object) -> bool:
        return isinstance(error, BaseException) and is_cancellation(error)


class Cancellation(metaclass=_OfCancellations):
    """The class of `JobCancelled` and of groups of nothing else, for ``throws``."""


class Execution:
    """One execution of a message, in the thread that creates this object."""

    def __init__(self, tasks: Tasks, message: MessageProxy) -> None:
        self.message_id = message.message_id
        self.ticket = ticket_of(message)
        self._thread = get_ident()
        self._lock = Lock()
        self._has_returned = False
        self._error: BaseException | None = None
        self._result: object = None
        self._job: Task | None = tasks.begin(self.ticket, self._interrupt)
        self.is_cancelled = self._job.is_cancelled

    def returned(self, result: object, error: BaseException | None) -> None:
        """Store what the actor has returned or raised; from now on it is not interrupted."""
        with self._lock:
            self._has_returned = True
        self._result, self._error = result, error

    def retried(self, delay_ms: int | None) -> None:
        """End the attempt before the message of the retry is sent."""
        job, self._job = self._job, None
        if job is not None:
            error = "The actor asked for a retry" if self._error is None else self._error
            job.retry(error, in_s=None if delay_ms is None else delay_ms / 1000)

    def end(self) -> None:
        """End the job, unless the message is retried."""
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
        with self._lock:
            if not self._has_returned:
                raise_thread_exception(self._thread, JobCancelled)  # type: ignore[no-untyped-call]


class Jobcast(Middleware):
    """Follows messages that have an owner. Add it to the broker after all other middleware.

    ``url`` is that of Jobcast's Redis. The settings are those of `jobcast.connect`, and
    ``enqueue_s``: how many seconds sending a message may wait for that Redis. Raises ValueError if
    the URL is invalid, and `InvalidEvent` if a setting is.
    """

    def __init__(self, url: str, **settings: Unpack[Settings]) -> None:
        self._tasks = Tasks(url, **settings)
        self._executions: dict[int, Execution] = {}
        self._sending = Sending(self._tasks)
        self._wrapped = WeakSet[Broker]()

    def after_declare_queue(self, broker: Broker, _queue_name: str) -> None:
        """Wrap the method by which the broker sends messages; no hook is called if it raises."""
        if broker in self._wrapped:
            return
        self._wrapped.add(broker)
        enqueue = broker.enqueue

        def watched(message: Message[Any], *, delay: int | None = None) -> Message[Any]:
            with self._sending.begin():
                return enqueue(message, delay=delay)

        broker.enqueue = watched  # type: ignore[method-assign]

    def before_enqueue(self, _broker: Broker, message: Message[Any], delay: int | None) -> None:
        """Handle a message before it is sent: a new one or a retry."""
        execution = self._executions.get(get_ident())
        if execution is not None and execution.message_id == message.message_id:
            ticket = execution.ticket
            execution.retried(delay)
        else:
            ticket = ticket_of(message)
            if ticket is None:
                name, owner = message.actor_name, owner_of(message.options.get(HEADER))
                ticket = self._tasks.enqueued(message.message_id, name, owner)
        self._sending.is_of(ticket)
        message.options.pop(HEADER, None)
        if ticket is not None:
            message.options[HEADER] = ticket.to_header(message.message_id)

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        """Begin an execution. Raises SkipMessage if the job was cancelled before."""
        _retry_no_cancellation(broker, message)
        execution = Execution(self._tasks, message)
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
        """Store what the actor has returned or raised; other middleware decides about a retry."""
        execution = self._executions.get(get_ident())
        if execution is not None:
            execution.returned(result, exception)

    def after_skip_message(self, _broker: Broker, message: MessageProxy) -> None:
        """Fail the job of a message that other middleware skipped before its execution."""
        if get_ident() not in self._executions:
            self._tasks.end(ticket_of(message), *_SKIPPED)

    def before_ack(self, _broker: Broker, _message: MessageProxy) -> None:
        """End the execution."""
        execution = self._executions.pop(get_ident(), None)
        if execution is not None:
            execution.end()

    def before_nack(self, broker: Broker, message: MessageProxy) -> None:
        """End the execution; if there is none, fail the job, as the worker lacks its actor."""
        if get_ident() in self._executions:
            self.before_ack(broker, message)
        else:
            self._tasks.end(ticket_of(message), *UNKNOWN_TASK)

    def after_worker_shutdown(self, _broker: Broker, _worker: Worker) -> None:
        """Write the buffered events, and close the connections."""
        self._tasks.close()


def ticket_of(message: "Message[Any] | MessageProxy") -> Ticket | None:
    """Return the ticket of a message; None if it is not followed."""
    return Ticket.from_header(message.options.get(HEADER), message.message_id)


def _retry_no_cancellation(broker: Broker, message: MessageProxy) -> None:
    """Add to the actor's ``throws``; the message's own, which are rare, take their place.

    The options of a message must stay as they are: Dramatiq sends them to the actors of callbacks,
    as JSON, which has no classes.
    """
    own = message.options
    options = own if own.get(_THROWS) else broker.get_actor(message.actor_name).options
    throws = _as_tuple(options.get(_THROWS))
    if Cancellation not in throws:
        options[_THROWS] = (Cancellation, *throws)


def _as_tuple(throws: Throws) -> tuple[type, ...]:
    if throws is None:
        return ()
    return throws if isinstance(throws, tuple) else (throws,)
