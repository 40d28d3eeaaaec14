"""The jobs that a bridge appends to while it leads."""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager, suppress
from typing import Any, Final, NamedTuple, TypeVar

from redis.exceptions import RedisError, ResponseError

from jobcast._connection import Connection
from jobcast._errors import InvalidEvent, JobcastError, JobExists, JobNotFailed
from jobcast._retry import Pauses, is_transient
from jobcast.bridge.leadership import Deposed, Leadership
from jobcast.bridge.notices import Notices
from jobcast.bridge.owners import OwnerRule
from jobcast.protocol.append import RETRY, Answer, Append, Bounds, shortened
from jobcast.protocol.names import log_key, state_key, stored_number
from jobcast.protocol.refusals import is_data_error
from jobcast.redis.outages import Outages

T = TypeVar("T")

_log: Final = logging.getLogger("jobcast.bridge")

Entry = tuple[str, str, str]
"""Id, name and data of an entry."""

_PAGE: Final = 1000


class JobView(NamedTuple):
    """What a bridge needs to know about a job; ``seq`` is the last number of its run."""

    status: str
    attempt: int
    run: str
    seq: int

    @property
    def has_ended(self) -> bool:
        """Whether it has succeeded or failed."""
        return self.status in {"succeeded", "failed"}


class BridgedJobs:
    """Reads, creates and appends to jobs; retries each call while Redis is unavailable.

    Every call raises `Deposed` before it sends anything if this bridge does not lead: a leader that
    was suspended must not continue. An append that is sent at that moment nevertheless has the same
    number as the next leader's append of the same event, so it is written once.
    """

    def __init__(
        self,
        connection: Connection,
        leadership: Leadership,
        rule: OwnerRule,
        bounds: Bounds,
        notices: Notices,
    ) -> None:
        self._rule = rule
        self._notices = notices
        self._connection = connection
        self._leadership = leadership
        self._bounds = bounds
        self._outages = Outages(_log, "Redis is unavailable: %s")
        self.appended = 0

    @contextmanager
    def logging_refusals(self, job_id: str, places: MutableMapping[str, Any]) -> Iterator[None]:
        """Log what is malformed or refused in the block, and continue.

        After a refusal the job's entry in ``places`` is outdated: it is dropped, to be found again.
        Anything unexpected would recur when the same record is read again, so it is logged, too:
        one job must not keep a source from all others. Only a lost lead and an unavailable Redis
        end the block with their exception.
        """
        try:
            yield
        except InvalidEvent as refusal:
            self._notices.add("malformed", f"job {job_id}", str(refusal))
        except JobcastError as refusal:
            places.pop(job_id, None)
            self._notices.add("refused", f"job {job_id}", str(refusal), logging.INFO)
        except ResponseError as refusal:
            if not is_data_error(str(refusal)):
                raise
            self._notices.add("malformed", f"job {job_id}", str(refusal))
        except (Deposed, RedisError, OSError):
            raise
        except Exception as error:  # noqa: BLE001 - of one job, whatever it is
            places.pop(job_id, None)
            _log.exception("job %s: left out for an unexpected reason", job_id)
            self._notices.add("failed", f"job {job_id}", type(error).__name__)

    async def view(self, job_id: str) -> JobView | None:
        """Return the current view of a job; None if there is no such job."""
        key = state_key(job_id)
        fields: list[bytes | None] = await self._repeated(
            lambda: self._connection.call(key, "HMGET", key, "status", "attempt", "run", "seq")
        )
        status, attempt, run, seq = [(each or b"").decode(errors="replace") for each in fields]
        return (
            JobView(status, stored_number(attempt, 1), run, stored_number(seq, 0))
            if status
            else None
        )

    async def find(
        self, job_id: str, run_prefix: str, create: Callable[[], Awaitable[None]]
    ) -> JobView | None:
        """Return the view of a job that a queue runs; call ``create`` if there is no such job.

        None if it could not be created, or if its worker reports by itself: then the job has a run
        that does not begin with ``run_prefix``; those of the queue's bridge do.
        """
        view = await self.view(job_id)
        if view is None:
            await create()
            view = await self.view(job_id)
        if view is not None and view.run and not view.run.startswith(run_prefix):
            self._notices.add("reported by their workers", f"job {job_id}", "left to its run")
            return None
        return view

    async def is_applied(self, job_id: str, event: Append) -> bool:
        """Return whether a job's state already reflects an event; its progress may be higher."""
        key = state_key(job_id)
        names = (*event.fields, *event.cleared)
        stored: list[bytes | None] = await self._repeated(
            lambda: self._connection.call(key, "HMGET", key, "progress", *names)
        )
        percent, *values = map(_decoded, stored)
        expected = [*event.fields.values(), *(None for _ in event.cleared)]
        return values == expected and stored_number(event.number, 0) <= stored_number(
            percent or "", 0
        )

    async def entries(self, job_id: str, after: str) -> list[Entry]:
        """Return the first 1000 entries of a job's log after an entry or a time."""
        key = log_key(job_id)
        found: Any = await self._repeated(
            lambda: self._connection.call(key, "XRANGE", key, f"({after}", "+", "COUNT", str(_PAGE))
        )
        return [_entry(entry_id, fields) for entry_id, fields in found]

    async def create(self, job_id: str, payload: object, default_type: str) -> None:
        """Create a job for the owner that a payload names; do nothing if it names none.

        Raises `InvalidEvent` if the owner or the type is invalid.
        """
        new = self._rule.new_job(payload, default_type, self._bounds)
        if new is None:
            self._notices.add("without owner", f"job {job_id}", "it is not created")
            return
        token = secrets.token_hex(8)

        async def create() -> None:
            await self._connection.create(
                job_id,
                new.event,
                token,
                user_id=new.owner.user_id,
                session_id=new.owner.session_id,
                retention_s=self._bounds.retention_s,
            )

        with suppress(JobExists):
            await self._repeated(create)
            _log.info("job %s: created", job_id)

    async def append(
        self, job_id: str, event: Append, attempt: int, run: str, seq: int | None
    ) -> Answer:
        """Append an event with ``seq`` as its number within ``run``; None if it has no number.

        An end that is too large for the job is appended without its result, or with less text: the
        job must end.

        Raises a `JobcastError` if it is refused. Without a number only an end is retried; any other
        event without an answer may have been written or not, which raises a `JobcastError`, too.
        """
        number = "" if seq is None else str(seq)

        async def append() -> Answer:
            try:
                return await self._connection.append(job_id, event, attempt, run, number)
            except RedisError as error:
                if number:
                    raise
                raise JobcastError(f"not acknowledged: {error}") from error

        is_end = event.is_end and not (run or number)
        repeatable = self._connection.repeatable(job_id, event, attempt) if is_end else append
        try:
            answer = await self._repeated(repeatable)
        except InvalidEvent:
            smaller = shortened(event) if event.is_end else event
            if smaller == event:
                raise
            return await self.append(job_id, smaller, attempt, run, seq)
        self.appended += 1
        return answer

    async def retry(self, job_id: str) -> None:
        """Queue a failed job for its next attempt, unless that was done already.

        Raises a `JobcastError` or ``RedisError`` if the retry is refused.
        """
        with suppress(JobNotFailed):  # retried by an unanswered try, or by an earlier leader
            await self._repeated(lambda: self._connection.append(job_id, RETRY))
        await self._repeated(lambda: self._connection.reindex(job_id, self._bounds.retention_s))

    async def _repeated(self, call: Callable[[], Awaitable[T]]) -> T:
        pauses = Pauses()
        while True:
            self._leadership.check()
            try:
                return await call()
            except RedisError as error:
                if not is_transient(error):
                    raise
                self._outages.add(error)
            await asyncio.sleep(pauses.next())


def _decoded(stored: bytes | None) -> str | None:
    return None if stored is None else stored.decode(errors="replace")


def _entry(entry_id: bytes, fields: list[bytes]) -> Entry:
    named = dict(zip(fields[::2], fields[1::2], strict=True))
    name, data = named.get(b"event", b""), named.get(b"data", b"")
    return entry_id.decode(), name.decode(errors="replace"), data.decode(errors="replace")
