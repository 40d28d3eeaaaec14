"""RQ: watches the keys of its jobs by keyspace notifications, and appends what has changed.

A notification says only that a job has changed; the difference between RQ's job and Jobcast's is
appended. So a missed notification loses nothing: a leader begins by comparing all jobs.
"""

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from redis.exceptions import RedisError, ResponseError

from jobcast import _event
from jobcast._errors import InvalidEvent
from jobcast._retry import Pauses, is_transient
from jobcast.adapters._report import differ
from jobcast.bridge.jobs import BridgedJobs
from jobcast.bridge.leadership import Leadership
from jobcast.bridge.notices import Notices
from jobcast.bridge.pattern_subscriber import PatternSubscriber
from jobcast.bridge.progress import progress_of
from jobcast.bridge.rq_job import (
    ENDS,
    FIELDS,
    PREFIX,
    RqJob,
    end_of,
    results_key,
)
from jobcast.protocol.names import parse_job_id
from jobcast.redis.caller import Caller
from jobcast.redis.connection import Reply
from jobcast.redis.outages import Outages

_log: Final = logging.getLogger("jobcast.bridge")

_PAUSE_S: Final = 0.05
"""Seconds for which changes are collected; several of one job count as one."""
_CHECK_S: Final = 5.0
"""Seconds between two checks whether Redis sends notifications."""
_ALL: Final = ("MATCH", f"{PREFIX}*", "COUNT", "500")
_MAX_JOBS: Final = 20_000
_RUN: Final = "rq:"
_MARGIN_S: Final = 60
_SECOND: Final = len("2026-11-29T20:38:30")
_WAITING: Final = ("queued", "deferred", "scheduled", "created")
_HOW: Final = "notifies of no changes of hashes: CONFIG SET notify-keyspace-events Kghx"


@dataclass
class _Place:
    """A job as last appended: its attempt, status, run and last number, and RQ's ``meta`` then.

    ``rq_id`` is its id as RQ spells it.
    """

    rq_id: str
    attempt: int
    status: str
    run: str
    seq: int
    meta: dict[str, object] | None = None


class RQ:
    """Appends what happens to the jobs of RQ in one Redis."""

    name = "rq"

    def __init__(
        self, caller: Caller, jobs: BridgedJobs, leadership: Leadership, notices: Notices
    ) -> None:
        self._caller = caller
        self._jobs = jobs
        self._leadership = leadership
        self._notices = notices
        self._changed: dict[str, None] = {}
        self._places: OrderedDict[str, _Place] = OrderedDict()
        self._compared = 0
        self._since = ""
        self._outages = Outages(_log, "rq: Redis is unavailable: %s")
        self._subscriber = PatternSubscriber(
            self.name, caller, _pattern, self._receive, lambda: None
        )

    async def follow(self) -> None:
        """Receive notifications, leader or not, until cancelled."""
        await self._subscriber.run()

    async def lead(self) -> None:
        """Append what has changed, until cancelled."""
        self._places.clear()
        await self._wait_for_notifications()
        now = await self._now()
        self._since = await self._leadership.position(self.name) or now
        self._compared, kept = -1, ""
        while True:
            # Once a second is often enough to store the position.
            if (now := await self._now())[:_SECOND] != kept:
                kept = now[:_SECOND]
                await self._leadership.keep_position(self.name, now)
            if self._compared != self._subscriber.connections:
                self._compared = self._subscriber.connections
                await self._compare_all()
            changed, self._changed = self._changed, {}
            for rq_id in changed:
                await self._handle(rq_id)
            await asyncio.sleep(_PAUSE_S)

    async def _now(self) -> str:
        """Return the time one minute ago, as RQ writes times; the minute allows for clock skew."""
        time: Any = await self._call("TIME")
        return datetime.fromtimestamp(int(time[0]) - _MARGIN_S, UTC).isoformat()

    def _receive(self, channel: bytes, _event_name: bytes) -> None:
        rq_id = channel.decode(errors="replace").partition(PREFIX)[2]
        if ":" not in rq_id:
            self._changed[rq_id] = None
            if len(self._changed) > _MAX_JOBS:  # not leading; a new leader compares all jobs
                self._changed.clear()

    async def _wait_for_notifications(self) -> None:
        while True:
            try:
                answer: Any = await self._call("CONFIG", "GET", "notify-keyspace-events")
            except ResponseError as error:
                _log.warning("rq: whether Redis notifies of changes can't be told: %s", error)
                return
            flags = answer[1].decode() if len(answer) > 1 else ""
            if "K" in flags and ("A" in flags or {"h", "g", "x"} <= set(flags)):
                return
            _log.error("rq: this Redis %s", _HOW)
            await asyncio.sleep(_CHECK_S)

    async def _compare_all(self) -> None:
        """Mark all jobs as changed: those that RQ has, and those that it had."""
        self._changed |= {place.rq_id: None for place in self._places.values()}
        cursor = b"0"
        while True:
            cursor, keys = await self._call("SCAN", cursor.decode(), *_ALL)
            for key in keys:
                self._receive(key, b"")
            if cursor == b"0":
                return

    async def _call(self, *command: str) -> Reply:
        """Call RQ's Redis; retry while it is unavailable."""
        pauses = Pauses()
        while True:
            self._leadership.check()
            try:
                return await self._caller.call(PREFIX, *command)
            except RedisError as error:
                if not is_transient(error):
                    raise
                self._outages.add(error)
            await asyncio.sleep(pauses.next())

    async def _handle(self, rq_id: str) -> None:
        job_id = parse_job_id(rq_id)
        if job_id is None:
            self._notices.add("malformed", f"rq job {rq_id}", "not an id of a job")
            return
        with self._jobs.logging_refusals(job_id, self._places):
            job = RqJob.from_fields(await self._call("HMGET", f"{PREFIX}{rq_id}", *FIELDS))
            if job is not None and job.meta is None:
                self._notices.add("left out", f"job {job_id}", "its meta can't be read")
            if job is None:
                await self._removed(job_id)
            else:
                await self._apply(job_id, rq_id, job)

    async def _apply(self, job_id: str, rq_id: str, job: RqJob) -> None:
        place = await self._place(job_id, rq_id, job)
        if place is None:
            return
        if place.status not in {"queued", "running"}:
            # A job that was cancelled before its start has no run, and stays cancelled.
            if place.status != "failed" or not place.run:
                return
            if job.status in ENDS and place.run.startswith(f"{_RUN}{job.enqueued_at}:"):
                return  # else RQ has run it again since the last comparison
            await self._jobs.retry(job_id)  # RQ runs it again
            place = self._places[job_id] = _Place(rq_id, place.attempt + 1, "queued", "", 0)
        run = f"{_RUN}{job.enqueued_at}:{place.attempt}"
        if job.status not in _WAITING and job.started_at and place.run != run:
            await self._jobs.append(job_id, _event.started(None), place.attempt, run, 1)
            place.status, place.run, place.seq, place.meta = "running", run, 1, {}
        progress = job.progress()
        if place.run and progress and differ(place.meta, progress):
            try:
                await self._report(job_id, place, progress)
            except InvalidEvent as refusal:  # it must not keep the job from ending
                self._notices.add("malformed", f"job {job_id}", str(refusal))
        if job.status in ENDS:
            results: Any = await self._call("XREVRANGE", results_key(rq_id), "+", "-", "COUNT", "1")
            await self._append(job_id, place, end_of(job, results))
            del self._places[job_id]

    async def _report(self, job_id: str, place: _Place, progress: dict[str, object]) -> None:
        is_first = place.meta is None
        place.meta = progress
        event = progress_of(
            progress, lambda what: self._notices.add("left out", f"job {job_id}", what)
        )
        if not is_first or not await self._jobs.is_applied(job_id, event):
            await self._append(job_id, place, event)

    async def _append(self, job_id: str, place: _Place, event: Any) -> None:  # noqa: ANN401
        number = place.seq + 1 if place.run else None
        await self._jobs.append(job_id, event, place.attempt, place.run, number)
        place.seq += 1

    async def _removed(self, job_id: str) -> None:
        view = await self._jobs.view(job_id)
        self._places.pop(job_id, None)
        if view is None or view.has_ended:
            return
        if not view.run:  # never started, so its removal cancels it
            await self._jobs.append(job_id, _event.CANCELLED, view.attempt, "", None)
        elif view.run.startswith(_RUN):
            event = _event.failed("Removed from the queue", "REMOVED")
            await self._jobs.append(job_id, event, view.attempt, view.run, view.seq + 1)

    async def _place(self, job_id: str, rq_id: str, job: RqJob) -> _Place | None:
        place = self._places.get(job_id)
        if place is not None:
            return place

        async def create() -> None:
            if job.meta is None:  # which may name another owner than the rest does
                raise InvalidEvent("its meta can't be read")
            # Jobs that ended before the first bridge are ignored.
            if job.status not in ENDS or job.enqueued_at > self._since:
                await self._jobs.create(job_id, job.payload(), job.function())

        view = await self._jobs.find(job_id, _RUN, create)
        if view is None:
            return None
        place = _Place(rq_id, view.attempt, view.status, view.run, view.seq)
        self._places[job_id] = place
        if len(self._places) > _MAX_JOBS:
            self._places.popitem(last=False)
        return place


def _pattern(database: int) -> str:
    return f"__keyspace@{database}__:{PREFIX}*"
