"""Publish-only workers: follows the channels of all jobs, and appends what was only published.

Redis keeps no publications. So each bridge, leader or not, holds the events that it has received
until it sees them in the log, by the append's publication on the same channel. When a leader dies,
the next one appends what is left. Before its first append to a job, a leader compares the events
that it holds with the job's log.
"""

import asyncio
import logging
from collections import OrderedDict, deque
from typing import Final

from redis.exceptions import RedisError

from jobcast import _event
from jobcast._errors import InvalidEvent, JobcastError
from jobcast.bridge.jobs import BridgedJobs, JobView
from jobcast.bridge.leadership import Deposed, Leadership
from jobcast.bridge.notices import Notices
from jobcast.bridge.pattern_subscriber import PatternSubscriber
from jobcast.bridge.presence import Presence
from jobcast.bridge.publication import PATTERN, Appended, Publication, job_of, parse
from jobcast.protocol.names import parse_job_id
from jobcast.redis.caller import Caller
from jobcast.redis.outages import Outages

_log: Final = logging.getLogger("jobcast.bridge")

MAX_HELD: Final = 20_000
"""Most events held. Above that, a leader stops reading until half are left; others drop the
oldest."""
_MAX_JOBS: Final = 20_000
"""Most jobs whose position in the log is remembered; the oldest are forgotten."""
_KEPT_LEASES: Final = 3
"""How many leases long a bridge that does not lead holds events that it has not seen in the log."""
_RUN: Final = "bridge"


class _Place:
    """A leader's position in a job: attempt, run (empty: another's), and last number."""

    def __init__(self, view: JobView) -> None:
        self.attempt = view.attempt
        self.run = view.run if view.run == self.own_run else ""
        self.seq = view.seq

    @property
    def own_run(self) -> str:
        """The run of bridges: one for each attempt, because a run can't be started again."""
        return f"{_RUN}:{self.attempt}"

    def started(self) -> None:
        """Continue in the run of bridges, which was started."""
        self.run, self.seq = self.own_run, 1


class Publications:
    """Appends the events of publish-only workers."""

    name = "publications"

    def __init__(  # noqa: PLR0913, PLR0917 - the components
        self,
        caller: Caller,
        jobs: BridgedJobs,
        leadership: Leadership,
        presence: Presence,
        notices: Notices,
        lease_s: float,
    ) -> None:
        self._subscriber = PatternSubscriber(
            self.name, caller, lambda _: PATTERN, self._receive, self._forget_old
        )
        self._jobs = jobs
        self._leadership = leadership
        self._presence = presence
        self._notices = notices
        self._kept_s = lease_s * _KEPT_LEASES
        self._held: dict[str, deque[Publication]] = {}
        self._count = 0
        self._outages = Outages(_log, "Redis is unavailable: %s")
        self._seen: OrderedDict[str, str] = OrderedDict()
        self._ours: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._places: dict[str, _Place] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._is_leading = False

    async def follow(self) -> None:
        """Receive publications, leader or not, until cancelled."""
        await self._subscriber.run()

    async def lead(self) -> None:
        """Append the received events, until cancelled."""
        self._places.clear()
        await self._subscriber.following.wait()
        await self._presence.announce()
        self._is_leading = True
        try:
            for job_id in tuple(self._held):
                self._begin(job_id)
            was_active = False
            while True:
                if self._presence.is_active and not was_active:
                    _log.info("publications: appending")
                was_active = self._presence.is_active
                await asyncio.sleep(self._leadership.pause_s)
                # Without a subscription the announcement expires, and the services deliver again.
                await self._subscriber.following.wait()
                await self._announce()
        finally:
            self._is_leading = False
            tasks = tuple(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _announce(self) -> None:
        try:
            await self._presence.announce()
        except RedisError as error:
            self._outages.add(error)

    def _receive(self, channel: bytes, message: bytes) -> None:
        now_s = asyncio.get_running_loop().time()
        name = job_of(channel)
        job_id = parse_job_id(name)
        if job_id is None:
            self._notices.add("malformed", f"channel {name}", "not of a job")
            return
        try:
            publication = parse(message, now_s)
        except InvalidEvent as error:
            self._notices.add("malformed", f"job {job_id}", str(error))
            return
        if isinstance(publication, Appended):
            self._appended(job_id, publication)
            return
        self._held.setdefault(job_id, deque()).append(publication)
        self._count += 1
        if self._is_leading:
            self._begin(job_id)
            if self._count > MAX_HELD:
                self._subscriber.pause()
        elif self._count > MAX_HELD:
            oldest = next(iter(self._held))
            self._notices.add("dropped", f"job {oldest}", "too many events of too short a time")
            self._release(oldest, self._held[oldest][0])

    def _appended(self, job_id: str, entry: Appended) -> None:
        """Release the event that is now in the log."""
        if (job_id, entry.entry_id) in self._ours:
            del self._ours[job_id, entry.entry_id]
            return
        self._mark_seen(job_id, entry.entry_id)
        for number, publication in enumerate(self._held.get(job_id, ())):
            # The start of a job for its first event writes such an entry, too.
            if publication.begins and number:
                continue
            if publication.is_entry(entry.name, entry.data):
                publication.entry_id = entry.entry_id
                self._release(job_id, publication)
                return

    def _mark_seen(self, job_id: str, entry_id: str) -> None:
        """Remember up to which entry the log was compared with the held events."""
        self._seen[job_id] = entry_id
        self._seen.move_to_end(job_id)
        if len(self._seen) > _MAX_JOBS:
            self._seen.popitem(last=False)

    def _release(self, job_id: str, publication: Publication) -> None:
        held = self._held.get(job_id)
        if held is None or publication not in held:
            return
        held.remove(publication)
        self._count -= 1
        if not held:
            del self._held[job_id]
        if self._count <= MAX_HELD // 2:
            self._subscriber.resume()

    def _forget_old(self) -> None:
        """Release events so old that the leader must have appended them, or was refused."""
        if self._is_leading:
            return
        now_s = asyncio.get_running_loop().time()
        for job_id, held in tuple(self._held.items()):
            while held and held[0].received_s < now_s - self._kept_s:
                self._release(job_id, held[0])

    def _begin(self, job_id: str) -> None:
        if job_id not in self._tasks:
            task = asyncio.get_running_loop().create_task(self._append_all(job_id))
            self._tasks[job_id] = task
            task.add_done_callback(lambda _: self._ended(job_id))

    def _ended(self, job_id: str) -> None:
        del self._tasks[job_id]
        if self._is_leading and job_id in self._held:
            self._begin(job_id)

    async def _append_all(self, job_id: str) -> None:
        """Append the held events of a job, in order."""
        try:
            while held := self._held.get(job_id):
                publication = held[0]
                if self._is_bridged(publication):
                    await self._append(job_id, publication)
                else:
                    self._notices.counts["delivered by the service"] += 1
                self._release(job_id, publication)
        except Deposed:
            await asyncio.sleep(self._leadership.pause_s)  # until cancelled or leading again
        except RedisError:
            _log.exception("job %s: can't be appended to", job_id)
            await asyncio.sleep(self._leadership.pause_s)

    def _is_bridged(self, publication: Publication) -> bool:
        """Return whether viewers get it by its append, not live from the services."""
        return self._presence.is_active or publication.event.is_end

    async def _append(self, job_id: str, publication: Publication) -> None:
        with self._jobs.logging_refusals(job_id, self._places):
            if job_id in self._places and await self._append_at(
                self._places[job_id], job_id, publication
            ):
                return
            place = await self._find_place(job_id, publication)
            if place is not None and not publication.entry_id:
                await self._append_at(place, job_id, publication, is_last=True)

    async def _append_at(
        self, place: _Place, job_id: str, publication: Publication, *, is_last: bool = False
    ) -> bool:
        """Append it; return False if the job has changed since its place was found."""
        event, seq = publication.event, place.seq + 1
        try:
            answer = await self._jobs.append(
                job_id, event, place.attempt, place.run, seq if place.run else None
            )
        except InvalidEvent:
            raise
        except JobcastError:
            del self._places[job_id]
            if is_last:
                raise
            return False
        place.seq = seq
        self._mark_own(job_id, publication, answer.entry_id)
        if event.is_end:
            self._places.pop(job_id, None)
        return True

    def _mark_own(self, job_id: str, publication: Publication | None, entry_id: str) -> None:
        """Remember an entry as our own, unless its publication has already arrived."""
        if publication is not None and publication.entry_id:
            return
        if publication is not None:
            publication.entry_id = entry_id
        self._mark_seen(job_id, entry_id)
        self._ours[job_id, entry_id] = None
        if len(self._ours) > _MAX_JOBS:
            self._ours.popitem(last=False)

    async def _find_place(self, job_id: str, publication: Publication) -> _Place | None:
        """Find where to append to a job; create and start the job if needed.

        None if the job can't be created, or the event is in the log already.
        """
        view = await self._jobs.view(job_id)
        if view is None:
            view = await self._create(job_id, publication)
        if view is None:
            return None
        for entry_id, name, data in await self._jobs.entries(
            job_id, self._seen.get(job_id, self._subscriber.since)
        ):
            self._appended(job_id, Appended(entry_id, name, data))
            self._ours[job_id, entry_id] = None  # its publication may still arrive
        if publication.entry_id:
            return None
        place = _Place(view)
        if view.status == "queued" and not publication.event.is_end:
            started = await self._jobs.append(
                job_id, _event.started(None), place.attempt, place.own_run, 1
            )
            place.started()
            self._mark_own(job_id, publication if publication.begins else None, started.entry_id)
        if len(self._places) >= _MAX_JOBS:
            self._places.clear()
        self._places[job_id] = place
        return place

    async def _create(self, job_id: str, publication: Publication) -> JobView | None:
        await self._jobs.create(job_id, publication.payload, "job")
        return await self._jobs.view(job_id)
