"""The jobs of one stream of many: who joins, who leaves, and why.

The stored owner of each job decides on access, as on a stream of its own. A live job gets a seat in
its actor's audience; for a finished one the terminal event is sent at once. Jobs join as fast as
the viewer reads, so even two hundred large results are never in memory together.

To judge a job is to read its state, and to let it join or leave accordingly.
"""

import asyncio
import itertools
import logging
import random
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial
from types import TracebackType
from typing import Final, Literal

from msgspec import Struct

from actors.directory import Directory
from actors.mailbox import Ending, Mailbox
from actors.seat import Labeller, Seat
from app.errors import JobNotFound, TooManyStreams
from app.jobs import Jobs
from app.streaming.limits import Limits
from app.streaming.selection import MOST_JOBS
from eventlog.active_jobs import ActiveJobs
from eventlog.announcements import Announcements
from eventlog.backoff import until_answered
from eventlog.errors import UnreadableJob
from eventlog.pace import Pages
from schema.entry_id import position
from schema.events import Departure
from schema.owner import Owner
from schema.resume import Reason
from schema.sse import encode_left, encode_reset, encode_snapshot, label_end, raw_frame, retry
from schema.state import JobState

_log = logging.getLogger("jobcast.streaming")

_GROUP: Final = 16
"""Jobs whose states are read together."""

_MOST_ANNOUNCED: Final = 2 * MOST_JOBS
"""Maximum of pending jobs. Beyond it announced ones are dropped, and found by a search instead."""

_AGAIN_S: Final = 5.0
"""Longest pause before judging a job again whose actor has sent its viewers back twice."""

_MOST_ENDED: Final = 2 * MOST_JOBS
"""Maximum of ended jobs that are remembered."""


class Cause(Struct, frozen=True):
    """Why a job is judged.

    Attributes:
        absent: reason of the ``left`` to send if the owner has no such job; None to send none.
        created: first entry of the job that had a seat before; None if none had.
    """

    absent: Departure | None = None
    created: str | None = None


_Absent = Literal["not-found", "unreadable"]

_REQUESTED: Final = Cause("not-found")
_FOUND: Final = Cause("gone")
_ANNOUNCED: Final = Cause()


class Dependencies(Struct, frozen=True):
    """What all rosters of a process share."""

    jobs: Jobs
    directory: Directory
    limits: Limits
    active_jobs: ActiveJobs
    announcements: Announcements
    labeller: Labeller


class Roster(AbstractContextManager[None]):
    """Delivers the events of many jobs to one mailbox while its context lasts.

    Args:
        dependencies: what all rosters share.
        owner: owner of the stream, who may see only their own jobs.
        job_ids: the jobs at the beginning.
        mailbox: the viewer's mailbox.
        is_open: whether the owner's other jobs join as they are created or retried.
        return_ms: ``retry:`` delay when all listed jobs have left.
    """

    def __init__(  # noqa: PLR0913 - what the request says
        self,
        dependencies: Dependencies,
        owner: Owner,
        job_ids: Sequence[str],
        mailbox: Mailbox,
        *,
        is_open: bool,
        return_ms: int,
    ) -> None:
        self._dependencies = dependencies
        self._owner = owner
        self._mailbox = mailbox
        self._is_open = is_open
        self._return_ms = return_ms
        self._pending = dict.fromkeys(job_ids, _FOUND if is_open else _REQUESTED)
        self._must_search = False
        self._seats: dict[str, Seat] = {}
        self._ended: dict[str, str | None] = {}  # last entry sent of each; only if open
        self._delayed = 0
        self._task: asyncio.Task[None] | None = None
        self._has_left = False

    def __enter__(self) -> None:
        if self._is_open:
            self._dependencies.announcements.listen(self._owner, self)
        self._work_soon()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._has_left = True
        if self._is_open:
            self._dependencies.announcements.leave(self._owner, self)
        if self._task is not None:
            self._task.cancel()
        self._mailbox.when_empty(None)
        for seat in list(self._seats.values()):
            self._remove(seat)

    def announced(self, job_ids: Sequence[str]) -> None:
        """Judge jobs that were created or retried."""
        for job_id in job_ids:
            seat = self._seats.get(job_id)
            if seat is not None:
                seat.is_announced = True  # perhaps a retry, and the end before it has yet to come
            else:
                self._pending.setdefault(job_id, _ANNOUNCED)
        if len(self._pending) > _MOST_ANNOUNCED:
            self._pending = {
                job_id: cause for job_id, cause in self._pending.items() if cause is not _ANNOUNCED
            }
            self._must_search = True
        self._work_soon()

    def missed(self) -> None:
        """Search for jobs whose announcements were missed."""
        self._must_search = True
        self._work_soon()

    def seat_ended(self, seat: Seat, ending: Ending) -> None:
        """Send ``left`` for a job that has ended; judge one again that its actor sent back."""
        if self._has_left:
            return
        self._remove(seat)
        if ending is Ending.FINISHED:
            if not seat.has_left:
                self._leave(seat.job_id, "ended")
            self._note_end(seat.job_id, seat.last)
            if seat.is_announced:
                self._judge_soon(seat.job_id, _ANNOUNCED)
            self._end_if_done()
        elif seat.is_again:
            self._delayed += 1
            delay_s = random.uniform(0.5, 1) * _AGAIN_S  # noqa: S311 - spread, not secrecy
            judge = partial(self._judge_again, seat.job_id, Cause("gone", seat.created))
            asyncio.get_running_loop().call_later(delay_s, judge)
        else:
            self._judge_soon(seat.job_id, Cause("gone", seat.created))

    def _judge_soon(self, job_id: str, cause: Cause) -> None:
        self._pending[job_id] = cause
        self._work_soon()

    def _judge_again(self, job_id: str, cause: Cause) -> None:
        self._delayed -= 1
        self._judge_soon(job_id, cause)

    def _work_soon(self) -> None:
        if self._task is None and not self._has_left:
            self._task = asyncio.create_task(self._work())

    async def _work(self) -> None:
        """Judge all pending jobs."""
        try:
            while self._must_search or self._pending:
                if self._must_search:
                    await self._search()
                group = list(itertools.islice(self._pending.items(), _GROUP))
                for job_id, _ in group:
                    del self._pending[job_id]
                job_ids = [job_id for job_id, _ in group]
                found = await until_answered(partial(self._read, job_ids))
                await Pages.here().turn()
                for (job_id, cause), state in zip(group, found, strict=True):
                    await self._wait_for_room()
                    self._judge(job_id, cause, state)
        except Exception:  # noqa: BLE001 - the viewer reconnects, and gets all states
            _log.exception("a stream of many jobs failed")
            self._mailbox.end(Ending.RETRY)
        finally:
            self._task = None
        self._end_if_done()

    async def _search(self) -> None:
        """Add the owner's active jobs that are not on the stream to the pending ones."""
        self._must_search = False
        search = partial(self._dependencies.active_jobs.newest, self._owner)
        for job_id, last in (await until_answered(search)).items():
            if job_id not in self._seats and self._ended.get(job_id) != last:
                self._pending.setdefault(job_id, _ANNOUNCED)

    async def _read(self, job_ids: Sequence[str]) -> Sequence[JobState | _Absent]:
        return await asyncio.gather(*map(self._state_of, job_ids))

    async def _state_of(self, job_id: str) -> JobState | _Absent:
        try:
            _, state = await self._dependencies.jobs.owned(self._owner, job_id)
        except JobNotFound:
            return "not-found"
        except UnreadableJob:
            return "unreadable"
        return state

    async def _wait_for_room(self) -> None:
        """Wait until the mailbox is empty, or accepts no more."""
        if len(self._mailbox) and self._mailbox.ending is None:
            empty: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._mailbox.when_empty(partial(empty.set_result, None))
            await empty

    def _judge(self, job_id: str, cause: Cause, found: JobState | _Absent) -> None:
        if job_id in self._seats:
            self._seats[job_id].is_announced = True
        elif found == "unreadable" and cause.absent is not None:
            self._leave(job_id, "unreadable")
        elif not isinstance(found, JobState) or cause.created not in {None, found.created}:
            self._ended.pop(job_id, None)
            if cause.absent is not None:
                self._leave(job_id, cause.absent)
            if self._is_open and isinstance(found, JobState):
                self._pending[job_id] = _ANNOUNCED
        elif found.finished:
            self._send_end(job_id, found)
        else:
            self._seat(job_id, found, cause)

    def _send_end(self, job_id: str, state: JobState) -> None:
        if self._ended.get(job_id) == state.last:
            return
        is_other = job_id in self._ended
        frame = encode_reset(state, Reason.ATTEMPT) if is_other else encode_snapshot(state)
        self._mailbox.put(label_end(frame, job_id))
        self._note_end(job_id, state.last)

    def _seat(self, job_id: str, state: JobState, cause: Cause) -> None:
        if self._is_open and len(self._seats) >= MOST_JOBS and not self._displace(state):
            return
        dependencies = self._dependencies
        try:
            dependencies.limits.add(job_id)
        except TooManyStreams:
            self._leave(job_id, "too-many-streams")
            return
        start = Reason.UNKNOWN if cause.created else None
        if job_id in self._ended:
            start = Reason.ATTEMPT
            del self._ended[job_id]
        seat = Seat(job_id, state, dependencies.labeller, self._mailbox, self)
        seat.is_again = cause.created is not None
        self._seats[job_id] = seat
        seat.take(dependencies.directory.inbox_of, state, start)

    def _displace(self, state: JobState) -> bool:
        """Let the oldest job leave for a newer one; return whether it did."""
        oldest = min(self._seats.values(), key=lambda seat: position(seat.created))
        if position(oldest.created) >= position(state.created):
            return False
        self._remove(oldest)
        self._leave(oldest.job_id, "displaced")
        return True

    def _remove(self, seat: Seat) -> None:
        del self._seats[seat.job_id]
        self._dependencies.limits.remove(seat.job_id)
        seat.leave()

    def _leave(self, job_id: str, reason: Departure) -> None:
        self._mailbox.put(encode_left(job_id, reason))

    def _note_end(self, job_id: str, last: str | None) -> None:
        if self._is_open:
            self._ended[job_id] = last
            if len(self._ended) > _MOST_ENDED:
                del self._ended[next(iter(self._ended))]

    def _end_if_done(self) -> None:
        """End a stream of listed jobs once all have left."""
        if self._is_open or self._has_left or self._task is not None:
            return
        if self._seats or self._pending or self._delayed:
            return
        if len(self._mailbox):  # perhaps a large end, beside which it takes no other frame
            again = partial(asyncio.get_running_loop().call_soon, self._end_if_done)
            self._mailbox.when_empty(again)
            return
        self._mailbox.put(raw_frame(retry(self._return_ms)))
        self._mailbox.end(Ending.FINISHED)
