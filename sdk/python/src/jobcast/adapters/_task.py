"""What the blocking and the asyncio adapters share. Does no I/O."""

import logging
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Self, TypedDict
from weakref import ref

from jobcast import _event
from jobcast._errors import InvalidEvent
from jobcast._failure import class_name, describe, presentable
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

HEADER: Final = "jobcast"
"""The key of the ticket in a message's headers, options or metadata."""

ENQUEUE_S: Final = 2.0
"""How long enqueueing a task waits for Jobcast's Redis by default."""
BLOCK_S: Final = 2.0
"""How long a call in a task waits for Jobcast's Redis by default."""
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


class Names(TypedDict):
    """The names of a job and of its owner."""

    user_id: str | None
    session_id: str | None
    job_id: str


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

    @property
    def names(self) -> Names:
        """The arguments of `Jobs.create` beside the type."""
        return {"user_id": self.user_id, "session_id": self.session_id, "job_id": self.job_id}


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


def type_of(name: str) -> str:
    """Return the job type for the name of a task; if that is too long, its last characters."""
    text = str(name).encode(errors="replace").decode()
    return text[-_event.MAX_TYPE_CHARACTERS :] or "task"


def failure_of(error: str | BaseException, code: str | None) -> tuple[str, str | None]:
    """Return message and code of a failure; the default code of an exception is its class name."""
    if not isinstance(error, BaseException):
        return presentable(error), code  # of a queue, which takes texts that JSON can't carry
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


COMPLETED: Final = _event.completed(None)
UNKNOWN: Final = Answer("", False, 0, 0, "")  # noqa: FBT003 - in the order of the script's answer
"""The answer for a run that starts in the background."""
