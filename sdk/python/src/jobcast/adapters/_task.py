"""What the blocking and the asyncio adapters share. Does no I/O."""

import logging
import math
import re
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any, Final, NamedTuple, Self, TypedDict
from weakref import ref

from redis.exceptions import RedisError

from jobcast import _event
from jobcast._errors import BufferFull, InvalidEvent
from jobcast._failure import class_name, describe, presentable, ungrouped
from jobcast._json import MAX_EVENT_BYTES
from jobcast._outbox import Limits
from jobcast._owner import Owner, current_owner, owner_by
from jobcast._run_state import RunState, running
from jobcast._settings import (
    BUFFER_BYTES,
    BUFFER_EVENTS,
    DAY_SECONDS,
    LEASE_S,
    check_seconds,
    checked,
)
from jobcast.protocol.append import Answer, Append, Bounds, brief, shortened
from jobcast.protocol.names import new_job_id, parse_job_id
from jobcast.protocol.refusals import is_data_error

HEADER: Final = "jobcast"
"""The key of the ticket in a message's headers, options or metadata."""

ENQUEUE_S: Final = 2.0
"""How long enqueueing a task waits for Jobcast's Redis by default."""
BLOCK_S: Final = 2.0
"""How long a call in a task waits for Jobcast's Redis by default."""
PAUSE_S: Final = 10.0
"""For this long after an outage of Redis, nothing waits for it: runs start in the background, and
workers create the jobs of tasks that are enqueued."""
MAX_STARTS: Final = 3
"""Maximum tries per start: after a refusal, the job is created or queued for its next attempt."""

_ATTEMPT: Final = re.compile("[1-9][0-9]{0,15}")

_log: Final = logging.getLogger("jobcast.adapters")


class Settings(TypedDict, total=False):
    """The settings of an adapter: ``enqueue_s``, and some of `jobcast.connect`.

    ``enqueue_s`` is how many seconds enqueueing a task may wait for Jobcast's Redis.
    """

    enqueue_s: float
    block_s: float
    lease_s: float | None
    retention_s: int
    max_entries: int
    max_event_bytes: int


class Parts(NamedTuple):
    """The validated settings."""

    bounds: Bounds
    limits: Limits
    lease_s: float | None
    enqueue_s: float

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Validate settings. Raises `InvalidEvent`, which names the setting, if one is invalid."""
        lease_s = settings.get("lease_s", LEASE_S)
        bounds, limits = checked(
            retention_s=settings.get("retention_s", DAY_SECONDS),
            max_entries=settings.get("max_entries", 10_000),
            max_event_bytes=settings.get("max_event_bytes", MAX_EVENT_BYTES),
            lease_s=lease_s,
            block_s=settings.get("block_s", BLOCK_S),
            buffer_events=BUFFER_EVENTS,
            buffer_bytes=BUFFER_BYTES,
        )
        enqueue_s = settings.get("enqueue_s", ENQUEUE_S)
        check_seconds("enqueue_s", enqueue_s)
        return cls(bounds, limits, lease_s, enqueue_s)


class Ticket(NamedTuple):
    """Sent with a message, to find its job, or to create it if it does not exist.

    ``attempt`` is set if the service queued the message, for this attempt only: if that is over,
    the task is not run.
    """

    job_id: str
    type: str
    user_id: str | None
    session_id: str | None
    attempt: int | None = None

    @classmethod
    def of_task(cls, task_id: str, name: str, owner: Owner) -> Self:
        """Return the ticket of a task. The job gets the task's id, unless that is no job id.

        A UUID in upper case is none either: job ids spell UUIDs in lower case.
        """
        job_id = task_id if parse_job_id(task_id) == task_id else new_job_id()
        return cls(job_id, type_of(name), owner.user_id, owner.session_id)

    @classmethod
    def from_header(cls, header: object, task_id: str | None = None) -> Self | None:
        """Parse the header of a message; None if there is none or it is invalid.

        With ``task_id``, also None for another task's ticket: queues may copy headers to new tasks.
        """
        if not isinstance(header, Mapping) or task_id not in {None, header.get("task")}:
            return None
        parts = [header.get(name) for name in ("id", "type", "user", "session")]
        texts = [part if isinstance(part, str) else None for part in parts]
        job_id, name, user_id, session_id = texts
        if parse_job_id(job_id) != job_id or job_id is None or not name:
            return None
        number = header.get("attempt")
        if not isinstance(number, str) or not _ATTEMPT.fullmatch(number):
            return cls(job_id, name, user_id, session_id)
        return cls(job_id, name, user_id, session_id, int(number))

    def to_header(self, task_id: str | None = None) -> dict[str, str]:
        """Return the header to send, a flat mapping of strings; ``task_id`` binds it to a task."""
        parts = {
            "id": self.job_id,
            "type": self.type,
            "user": self.user_id,
            "session": self.session_id,
            "attempt": None if self.attempt is None else str(self.attempt),
            "task": task_id,
        }
        return {name: part for name, part in parts.items() if part is not None}

    def of_any_attempt(self) -> Self:
        """Return it without its attempt, for a message that the queue's own retry sent again."""
        return self._replace(attempt=None)

    def with_new_id(self) -> Self:
        """Return it with a new job id, for a task whose id is taken by another job."""
        return self._replace(job_id=new_job_id())

    @property
    def owner(self) -> Owner:
        """The job's owner."""
        return Owner(self.user_id, self.session_id)


END_FIELDS: Final = ("status", "error", "errorCode")


class End(NamedTuple):
    """How a job has ended, according to its state."""

    status: str
    error: str
    code: str

    @classmethod
    def of_state(cls, reply: list[bytes | None]) -> Self:
        """Parse the values of `END_FIELDS`."""
        return cls(*((part or b"").decode(errors="replace") for part in reply))

    @property
    def is_cancelled(self) -> bool:
        """Whether the job was cancelled."""
        return (self.status, self.error, self.code) == ("failed", "Cancelled", "")

    @property
    def is_failed(self) -> bool:
        """Whether it failed without being cancelled; another execution is its next attempt."""
        return self.status == "failed" and not self.is_cancelled


def owned_by(*, user_id: str | None = None, session_id: str | None = None) -> dict[str, Any]:
    """Return a mapping that names a job's owner in the task's message, instead of `jobcast.owner`.

    Pass it to ``apply_async(headers=…)`` of Celery, ``enqueue(…, meta=…)`` of RQ and SAQ,
    ``send_with_options(args=…, **…)`` of Dramatiq, or in the options of BullMQ's ``add``.
    """
    return {HEADER: {"user": user_id, "session": session_id}}


def owner_of(header: object) -> Owner | None:
    """Return the owner that `owned_by` put into a message; None if there is none."""
    if not isinstance(header, Mapping):
        return None
    owner = owner_by(header.get("user"), header.get("session"))
    return None if owner.is_nobody or "id" in header else owner


class Notices:
    """Logs each warning once per process."""

    def __init__(self) -> None:
        self._warned: set[str] = set()

    def warn_once(self, key: str, message: str, *arguments: object) -> None:
        """Log a warning, unless one with this key was logged before."""
        if key not in self._warned:
            self._warned.add(key)
            _log.warning(message, *arguments)


class Outage:
    """Remembers an outage of Redis, so that not every task waits for a timeout."""

    def __init__(self) -> None:
        self._until_s = -math.inf

    def begin(self) -> None:
        """Record that Redis did not answer in time."""
        self._until_s = monotonic() + PAUSE_S

    def note(self, error: RedisError) -> None:
        """Record that Redis is unavailable, unless the error is about one job or its owner."""
        if not is_data_error(str(error)):
            self.begin()

    @property
    def is_on(self) -> bool:
        """Whether Redis was unavailable in the last `PAUSE_S` seconds."""
        return monotonic() < self._until_s


class Enqueueing:
    """Decides whether a task becomes a job when it is enqueued."""

    def __init__(self, notices: Notices, outage: Outage) -> None:
        self._notices = notices
        self._outage = outage

    def ticket(self, task_id: str, name: str, owner: Owner | None) -> Ticket | None:
        """Return the ticket of a task; None if it has no owner."""
        owner = current_owner.get() if owner is None else owner
        if owner is None:
            self._notices.warn_once(
                "owner",
                "%s is not followed: it has no owner. Enqueue it within"
                " `with jobcast.owner(user_id=…)`, or `with jobcast.owner():` to say so."
                " This is logged once.",
                name,
            )
            return None
        if owner.is_nobody:
            return None
        return Ticket.of_task(str(task_id), name, owner)

    def creation_failed(self, ticket: Ticket, error: Exception) -> Ticket | None:
        """Log that a job could not be created; return the ticket to send nevertheless, if any.

        If Redis was unavailable, the worker creates the job from the ticket.
        """
        if isinstance(error, RedisError):
            self._outage.note(error)
            self._notices.warn_once(
                "away", "Jobcast's Redis is unavailable; tasks are enqueued all the same: %s", error
            )
            return ticket
        self._notices.warn_once(
            f"refused {error}", "%s (%s) is not followed: %s", ticket.type, ticket.job_id, error
        )
        return None

    def id_taken(self, ticket: Ticket) -> Ticket:
        """Log that a task's id is taken by another job; return a ticket with a new job id."""
        other = ticket.with_new_id()
        self._notices.warn_once(
            "doubled",
            "there is a job %s already: the task that was enqueued with its id is job %s",
            ticket.job_id,
            other.job_id,
        )
        return other


class Leniency:
    """Handles the refusals of a run, so that they don't fail its task.

    ``is_silenced`` is whether the run sends nothing, from its start or after a refusal.
    """

    def __init__(self, job_id: str, notices: Notices, *, is_silenced: bool) -> None:
        self._job_id = job_id
        self._notices = notices
        self.is_silenced = is_silenced

    def handle(self, error: Exception) -> None:
        """Log a refusal, and silence the run, unless only its buffer was full."""
        if isinstance(error, BufferFull):
            self._notices.warn_once(f"full {self._job_id}", "job %s: %s", self._job_id, error)
            return
        self.silence(error)

    def silence(self, why: object) -> None:
        """Stop sending the events of the run, and log why."""
        if not self.is_silenced:
            self.is_silenced = True
            # An error of Redis concerns all jobs, so it is logged once.
            key = f"{why}" if isinstance(why, RedisError) else self._job_id
            message = "job %s is not followed any more: %s"
            self._notices.warn_once(f"silent {key}", message, self._job_id, why)


class Scope:
    """The context of one execution of a task: its run, and the owner of what the task enqueues.

    Create it, enter it and leave it in the task's own context.
    """

    def __init__(self) -> None:
        self._run_before = running.get()
        self._owner_before = current_owner.get()

    def enter(self, run: RunState, owner: Owner | None) -> None:
        """Set the current run, and the current owner unless it is None."""
        running.set(ref(run))
        if owner is not None:
            current_owner.set(owner)

    def leave(self, run: RunState) -> None:
        """Mark the run as finished, even if its job has not ended, and restore the context."""
        run.finished = True
        running.set(self._run_before)
        current_owner.set(self._owner_before)


def quietly(call: Callable[..., object], *arguments: object, **named: object) -> None:
    """Call a function of the queue, and log what it raises, so that it does not fail the task."""
    try:
        call(*arguments, **named)
    except Exception:  # noqa: BLE001 - whatever the queue raises
        _log.exception("%s failed", call)


def type_of(name: str) -> str:
    """Return the job type for the name of a task; if that is too long, its last characters."""
    text = str(name).encode(errors="replace").decode()
    return text[-_event.MAX_TYPE_CHARACTERS :] or "task"


def failure_of(error: str | BaseException, code: str | None) -> tuple[str, str | None]:
    """Return message and code of a failure; the default code of an exception is its class name."""
    if not isinstance(error, BaseException):
        return presentable(error), code  # of a queue, which takes texts that JSON can't carry
    error = ungrouped(error)
    message, its_code = describe(error)
    if code is None and message != "Cancelled":
        code = its_code or class_name(error)
    return message, code


def failing(error: str | BaseException, code: str | None) -> tuple[Append, Append]:
    """Return the event that fails a job, and a smaller one that fits the limit of any job."""
    event = _event.failed(*failure_of(error, code))
    return event, shortened(event)


def completion(result: object, max_bytes: int) -> tuple[Append, str | None]:
    """Return the event that completes a job, and, if it lacks the task's result, the reason."""
    try:
        event = _event.completed(result)
    except InvalidEvent as error:
        return COMPLETED, f"The result is left out: {error}"
    size = len(event.data.encode())
    if size > max_bytes:
        return COMPLETED, f"The result is left out: it has {size} bytes, more than {max_bytes}"
    return event, None


def will_retry(
    error: str | BaseException, code: str | None, retry_in_s: float | None = None
) -> Append:
    """Return the event that fails an attempt before a retry; it fits the limit of any job."""
    message, code = brief(*failure_of(error, code))
    try:
        return _event.will_retry(message, code, retry_in_s)
    except InvalidEvent:  # queues allow delays that events don't, such as negative ones
        return _event.will_retry(message, code, None)


UNKNOWN_TASK: Final = "The worker has no such task", "UNKNOWN_TYPE"
"""Error and code of a job whose message the worker drops, because it has no task of that name."""
COMPLETED: Final = _event.completed(None)
UNKNOWN: Final = Answer("", False, 0, 0, "")  # noqa: FBT003 - in the order of the script's answer
"""The answer for a run that starts in the background."""
