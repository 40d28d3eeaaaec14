"""BullMQ: reads the event stream of a queue, and appends what happens to its jobs.

The stream keeps its entries, so those added while no bridge led are read later. Run and number of
an append are derived from entry ids of the stream: if a leader dies before it stores its position,
the next one reads an entry again, and its append is a repeat.
"""

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final

from redis.exceptions import RedisError

from jobcast import _event
from jobcast._errors import InvalidEvent
from jobcast._failure import MAX_MESSAGE_CHARACTERS
from jobcast._json import from_json
from jobcast._retry import Pauses, is_transient
from jobcast.bridge.jobs import BridgedJobs
from jobcast.bridge.leadership import Leadership
from jobcast.bridge.notices import Notices
from jobcast.bridge.progress import progress_of
from jobcast.protocol.append import Append
from jobcast.protocol.names import is_entry_id, parse_job_id
from jobcast.redis.caller import Caller
from jobcast.redis.connection import Reply
from jobcast.redis.outages import Outages

_log: Final = logging.getLogger("jobcast.bridge")

_BATCH: Final = 200
_PAUSE_S: Final = 0.05
"""Seconds to wait after a read that found nothing."""
_MAX_JOBS: Final = 20_000
_RUN: Final = "bull:"
_BITS_OF_COUNT: Final = 20
"""Bits for the number of an entry within its millisecond; far more than a stream needs."""
_NONE: Final = "0-0"
_FINISHED: Final = ("completed", "failed")

EntryId = tuple[int, int]


@dataclass
class _Place:
    """A leader's position in a job: the attempt, the entry that began its run, the last number."""

    attempt: int
    start: EntryId | None
    seq: int

    def number(self, entry: EntryId) -> int:
        """Return the sequence number for an entry: it rises with the entries, and the start has 1.

        It is 0 for an entry before the start.
        """
        if self.start is None or entry < self.start:
            return 0
        return ((entry[0] - self.start[0]) << _BITS_OF_COUNT) + entry[1] - self.start[1] + 2


class BullMQ:
    """Appends what happens to the jobs of one queue: ``render``, or with prefix ``app:render``."""

    def __init__(
        self,
        queue: str,
        caller: Caller,
        jobs: BridgedJobs,
        leadership: Leadership,
        notices: Notices,
    ) -> None:
        prefix, _, name = queue.rpartition(":")
        self._queue = name
        self._prefix = f"{prefix or 'bull'}:{name}:"
        self._caller = caller
        self._jobs = jobs
        self._leadership = leadership
        self._notices = notices
        self._places: OrderedDict[str, _Place] = OrderedDict()
        self._at = _NONE
        self._outages = Outages(_log)
        self.name = f"bullmq {queue}"

    async def follow(self) -> None:
        """Do nothing: the stream keeps its entries."""

    async def lead(self) -> None:
        """Read the stream from the previous leader's position, until cancelled."""
        self._places.clear()
        self._at = await self._former_position() or await self._begin()
        _log.info("%s: reading from %s", self.name, self._at)
        read = ("XREAD", "COUNT", str(_BATCH), "STREAMS", self._stream)
        while True:
            found = await self._call(*read, self._at)
            for entry_id, fields in found[0][1] if found else ():
                named = dict(zip(fields[::2], fields[1::2], strict=True))
                await self._handle(entry_id.decode(), _texts(named))
                self._at = entry_id.decode()
            if found:
                await self._leadership.keep_position(self.name, self._at)
            else:
                self._leadership.check()
                await asyncio.sleep(_PAUSE_S)

    @property
    def _stream(self) -> str:
        return f"{self._prefix}events"

    async def _former_position(self) -> str | None:
        """Return the previous leader's position; None if there is none that Redis can read from."""
        position = await self._leadership.position(self.name)
        if position is None or _is_readable(position):
            return position
        _log.error("%s: the stored position is %.80r, no entry", self.name, position)
        return None

    async def _begin(self) -> str:
        """Return the end of the stream: what happened before the first bridge is ignored."""
        last = await self._call("XREVRANGE", self._stream, "+", "-", "COUNT", "1")
        at: str = last[0][0].decode() if last else _NONE
        await self._leadership.keep_position(self.name, at)
        return at

    async def _call(self, *command: str) -> Reply:
        """Call the queue's Redis; retry while it is unavailable."""
        pauses = Pauses()
        while True:
            self._leadership.check()
            try:
                return await self._caller.call(self._stream, *command)
            except RedisError as error:
                if not is_transient(error):
                    raise
                self._outages.add(f"{self.name}: Redis is unavailable: {error}")
            await asyncio.sleep(pauses.next())

    async def _handle(self, entry_id: str, fields: dict[str, str]) -> None:
        kind, bull_id = fields.get("event", ""), fields.get("jobId", "")
        if kind not in _KINDS or (kind == "removed" and fields.get("prev") in _FINISHED):
            return
        job_id = self._job_id(bull_id)
        if job_id is None:
            self._notices.add("malformed", f"{self.name} job {bull_id}", "not an id of a job")
            return
        with self._jobs.logging_refusals(job_id, self._places):
            await self._apply(kind, job_id, bull_id, _parsed(entry_id), fields)

    async def _apply(
        self, kind: str, job_id: str, bull_id: str, entry: EntryId, fields: dict[str, str]
    ) -> None:
        place = await self._place(job_id, bull_id, is_new=kind == "added")
        if place is None or kind == "added":
            return
        if place.start is not None and place.number(entry) <= place.seq:
            return  # a repeat
        if kind == "waiting":
            if fields.get("prev") in _FINISHED:
                await self._retry(job_id, entry)
        elif kind == "active":
            await self._start(place, job_id, entry)
        else:
            event = self._event(kind, job_id, fields)
            if place.start is None and not event.is_end:
                await self._start(place, job_id, entry)
            await self._append(place, job_id, event, entry)

    def _event(self, kind: str, job_id: str, fields: dict[str, str]) -> Append:
        if kind != "progress":
            return _append_of(kind, fields)

        def complain(what: str) -> None:
            self._notices.add("left out", f"job {job_id}", what)

        return progress_of(_value(fields.get("data", "")), complain)

    async def _start(self, place: _Place, job_id: str, entry: EntryId) -> None:
        run = _run_of(entry)
        await self._jobs.append(job_id, _event.started(None), place.attempt, run, 1)
        place.start, place.seq = entry, 1

    async def _append(self, place: _Place, job_id: str, event: Append, entry: EntryId) -> None:
        run = "" if place.start is None else _run_of(place.start)
        number = place.number(entry) if run else None
        await self._jobs.append(job_id, event, place.attempt, run, number)
        place.seq = number or 0
        if event.is_end:
            del self._places[job_id]

    async def _retry(self, job_id: str, entry: EntryId) -> None:
        """Begin the next attempt of a job that the queue runs again.

        A retry has no number, so the position is stored right before and right after it. Otherwise
        the next leader could take entries of the earlier attempt for those of the new one, or retry
        a job that has failed again in the meantime.
        """
        await self._leadership.keep_position(self.name, self._at)
        view = await self._jobs.view(job_id)
        if view is not None and view.status == "failed":
            await self._jobs.retry(job_id)
        self._at = _id_of(entry)
        await self._leadership.keep_position(self.name, self._at)
        self._places.pop(job_id, None)

    async def _place(self, job_id: str, bull_id: str, *, is_new: bool) -> _Place | None:
        place = self._places.get(job_id)
        if place is not None:
            return place

        async def create() -> None:
            if not is_new:
                await self._create(job_id, bull_id)

        if is_new:
            await self._create(job_id, bull_id)  # it may exist without being listed yet
        view = await self._jobs.find(job_id, _RUN, create)
        if view is None:
            return None
        start = _parsed(view.run.removeprefix(_RUN)) if view.run else None
        place = _Place(view.attempt, start, view.seq if start else 0)
        self._places[job_id] = place
        if len(self._places) > _MAX_JOBS:
            self._places.popitem(last=False)
        return place

    async def _create(self, job_id: str, bull_id: str) -> None:
        stored: list[bytes | None] = await self._call_of_job(bull_id, "name", "data")
        name, data = ((each or b"") for each in stored)
        if not data:
            self._notices.add("gone", f"job {job_id}", "the queue does not have it any more")
            return
        try:
            job_type = name.decode(errors="replace") or self._queue
            payload = {"name": job_type, "data": from_json(data)}
        except ValueError as error:
            raise InvalidEvent(f"its data are not JSON: {error}") from None
        await self._jobs.create(job_id, payload, job_type)

    async def _call_of_job(self, bull_id: str, *fields: str) -> Any:  # noqa: ANN401 - an answer
        return await self._call("HMGET", f"{self._prefix}{bull_id}", *fields)

    def _job_id(self, bull_id: str) -> str | None:
        """Return Jobcast's id of a job: BullMQ's own, prefixed by the queue if it is a number."""
        return parse_job_id(f"{self._queue}-{bull_id}" if bull_id.isdecimal() else bull_id)


_KINDS: Final = frozenset(
    {"added", "waiting", "active", "progress", "completed", "failed", "stalled", "removed"}
)


def _append_of(kind: str, fields: dict[str, str]) -> Append:
    if kind == "completed":
        try:
            return _event.completed(_value(fields.get("returnvalue", "null")))
        except InvalidEvent:
            return _event.completed(None)
    if kind == "failed":
        reason = fields.get("failedReason", "")[:MAX_MESSAGE_CHARACTERS]
        return _event.failed(reason or "The job failed", None)
    if kind == "removed":
        return _event.failed("Removed from the queue", "REMOVED")
    return _event.logged("The worker stalled, and the queue runs the job again", "warning", {})


def _value(text: str) -> object:
    try:
        return from_json(text.encode())
    except ValueError as error:
        raise InvalidEvent(f"not JSON: {error}") from None


def _parsed(entry_id: str) -> EntryId:
    if not is_entry_id(entry_id):
        return (0, 0)
    milliseconds, _, count = entry_id.partition("-")
    return int(milliseconds), int(count)


def _is_readable(position: str) -> bool:
    return is_entry_id(position) is not None and _parsed(position)[1] < 2**64


def _id_of(entry: EntryId) -> str:
    return f"{entry[0]}-{entry[1]}"


def _run_of(entry: EntryId) -> str:
    return f"{_RUN}{_id_of(entry)}"


def _texts(fields: dict[bytes, bytes]) -> dict[str, str]:
    return {
        name.decode(errors="replace"): value.decode(errors="replace")
        for name, value in fields.items()
    }
