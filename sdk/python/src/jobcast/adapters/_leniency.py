"""What goes wrong with Jobcast is logged, and fails neither a task nor its enqueueing."""

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final

from redis.exceptions import RedisError

from jobcast._errors import BufferFull, InvalidEvent, JobcastError
from jobcast.adapters._task import End
from jobcast.protocol.refusals import is_data_error

_log: Final = logging.getLogger("jobcast.adapters")

PAUSE_S: Final = 10.0
"""For this long after an outage of Redis, nothing waits for it: runs start in the background, and
workers create the jobs of tasks that are enqueued."""


@contextmanager
def logged(job_id: str) -> Iterator[None]:
    """Log what goes wrong in the block: the queue must go on."""
    try:
        yield
    except JobcastError as refusal:
        _log.info("job %s: %s", job_id, refusal)
    except Exception as error:  # noqa: BLE001 - of any kind
        _log.warning("job %s: %s", job_id, error)


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

    @contextmanager
    def refusals(self) -> Iterator[None]:
        """Handle the refusal of an event, except the caller's mistakes: later events are fine."""
        try:
            yield
        except InvalidEvent:
            raise
        except (JobcastError, RedisError) as error:
            self.handle(error)

    @contextmanager
    def silencing(self) -> Iterator[None]:
        """Silence the run if anything goes wrong in the block: the task goes on."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - of any kind
            self.silence(error)

    def judge(self, end: End, refusal: JobcastError) -> bool | None:
        """Say after a refused start whether the task must not run; None if it is an attempt more.

        ``end`` is how its job has ended.
        """
        if end.is_cancelled:
            self.is_silenced = True
            return True
        if end.is_failed:
            return None  # the queue has redelivered the task
        self.silence(refusal)
        return False

    def silence(self, why: object) -> None:
        """Stop sending the events of the run, and log why."""
        if not self.is_silenced:
            self.is_silenced = True
            # An error of Redis concerns all jobs, so it is logged once.
            key = f"{why}" if isinstance(why, RedisError) else self._job_id
            message = "job %s is not followed any more: %s"
            self._notices.warn_once(f"silent {key}", message, self._job_id, why)


def quietly(call: Callable[..., object], *arguments: object, **named: object) -> None:
    """Call a function of the queue, and log what it raises, so that it does not fail the task."""
    try:
        call(*arguments, **named)
    except Exception:  # noqa: BLE001 - whatever the queue raises
        _log.exception("%s failed", call)
