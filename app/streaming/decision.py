"""The decision about a stream: identity, ownership, where its events begin, and limits.

The ownership of the jobs of a stream of many is checked later, by its ``Roster``.

``app.routes.stream`` responds if a stream ends at once; ``app.streaming.middleware`` serves others.
"""

import asyncio
import random
import secrets
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Final

from msgspec import Struct

from actors.directory import Directory
from actors.mailbox import Mailbox
from actors.seat import Labeller
from app.auth import Authenticator, Identity
from app.deadline import with_deadline
from app.errors import ServiceUnavailable
from app.jobs import Jobs
from app.raw_request import RawRequest
from app.settings import Settings
from app.streaming.limits import Limits, Place
from app.streaming.replay import replay
from app.streaming.roster import Dependencies, Roster
from app.streaming.selection import Selection, selection_of
from app.streaming.viewer import COMMENT, PING_EVENT, Viewer, Watch
from app.streaming.viewers import Viewers
from eventlog.active_jobs import ActiveJobs
from eventlog.announcements import Announcements
from eventlog.reader import Reader
from schema.events import ConnectedData, ManyConnectedData
from schema.owner import Owner
from schema.resume import Beginning, beginning
from schema.sse import Frame, encode_greeting
from schema.state import JobState

_SPREAD: Final = 0.95
"""Lower bound of a stream's random age limit, as a share of ``stream_max_age_s``: viewers who
connected together don't reconnect together."""


class LiveStream(Struct):
    """An open stream: its viewer, and its place within the limits, to be freed when it ends."""

    viewer: Viewer
    place: Place


class WholeStream(Struct):
    """A complete response body."""

    body: bytes


class NoContent(Struct):
    """The viewer already has the terminal event of the job."""


class Refusal(Struct):
    """The stream is refused with an error."""

    error: Exception


Decision = LiveStream | WholeStream | NoContent | Refusal

MANY: Final = ""
"""Stands for the job id of a stream of many jobs."""

_CONCURRENT_DECISIONS: Final = 500
"""Requests decided at the same time. Others wait, and only then does their deadline start: it
limits the time that Redis takes."""


class Streams:
    """Decides on requests for streams."""

    def __init__(  # noqa: PLR0913 - its collaborators
        self,
        *,
        settings: Settings,
        authenticator: Authenticator,
        jobs: Jobs,
        reader: Reader,
        directory: Directory,
        viewers: Viewers,
        active_jobs: ActiveJobs,
        announcements: Announcements,
    ) -> None:
        self._settings = settings
        self._authenticator = authenticator
        self._jobs = jobs
        self._reader = reader
        self._directory = directory
        self._viewers = viewers
        self._active_jobs = active_jobs
        self._limits = Limits(settings)
        self._dependencies = Dependencies(
            jobs, directory, self._limits, active_jobs, announcements, Labeller()
        )
        self._gate = asyncio.Semaphore(_CONCURRENT_DECISIONS)
        self._max_age_s = _plain(settings.stream_max_age_s)
        self._keepalive_s = _plain(settings.keepalive_s)

    async def decide(self, request: RawRequest, job_id: str) -> Decision:
        """Decide on a request for the stream of a job, given the id in its path, or of ``MANY``."""
        try:
            async with self._gate:
                if job_id == MANY:
                    return await self._decide_on_many(request)
                return await self._decide(request, job_id)
        except Exception as error:  # noqa: BLE001 - ``app.errors`` translates all of them
            return Refusal(error)

    @with_deadline
    async def _decide(self, request: RawRequest, job_id: str) -> Decision:
        identity = await self._authenticator.identify(request)
        job_id, state = await self._jobs.owned(identity.owner, job_id)
        start = beginning(request.headers.get("Last-Event-ID"), request.args.get("from"))
        if state.finished:
            if start == state.last:
                return NoContent()
            missed = await replay(self._reader, job_id, state, start)
            if missed is not None:
                return WholeStream(self._greeting(job_id).data + missed)
        if self._viewers.draining:
            raise ServiceUnavailable
        place = self._limits.reserve(job_id, identity.owner)
        if request.method == "HEAD":
            place.free()
            return WholeStream(self._greeting(job_id).data)
        watch = partial(self._watch, job_id, state, start)
        return LiveStream(self._viewer(watch, request, identity), place)

    def _watch(
        self, job_id: str, state: JobState, start: Beginning, mailbox: Mailbox
    ) -> AbstractContextManager[None]:
        mailbox.put(self._greeting(job_id))
        return self._directory.viewing(job_id, state, mailbox, start)

    @with_deadline
    async def _decide_on_many(self, request: RawRequest) -> Decision:
        identity = await self._authenticator.identify(request)
        selection = selection_of(request.args)
        job_ids = await self._jobs_of(selection, identity.owner)
        if self._viewers.draining:
            raise ServiceUnavailable
        place = self._limits.reserve(None, identity.owner)
        if request.method == "HEAD":
            place.free()
            return WholeStream(self._greeting_of_many(job_ids).data)
        is_open = selection.job_ids is None
        watch = partial(self._watch_many, identity.owner, job_ids, is_open=is_open)
        return LiveStream(self._viewer(watch, request, identity), place)

    def _watch_many(
        self, owner: Owner, job_ids: Sequence[str], mailbox: Mailbox, *, is_open: bool
    ) -> AbstractContextManager[None]:
        mailbox.put(self._greeting_of_many(job_ids))
        return_ms = int(1000 * self._settings.stream_max_age_s)
        return Roster(
            self._dependencies, owner, job_ids, mailbox, is_open=is_open, return_ms=return_ms
        )

    async def _jobs_of(self, selection: Selection, owner: Owner) -> Sequence[str]:
        """Return the jobs of a selection.

        Redis is read even for listed jobs, so that an outage is an error before the stream begins.
        """
        if selection.job_ids is None:
            return list(await self._active_jobs.newest(owner))
        await self._reader.outline(selection.job_ids[0])
        return selection.job_ids

    def _viewer(self, watch: Watch, request: RawRequest, identity: Identity) -> Viewer:
        settings = self._settings
        lifetime_s = settings.stream_max_age_s * random.uniform(_SPREAD, 1)  # noqa: S311 - spread
        token_s = identity.lifetime_s()
        return Viewer(
            watch,
            lifetime_s=lifetime_s if token_s is None else min(lifetime_s, token_s),
            mailbox_bytes=settings.mailbox_bytes,
            direct=settings.direct_write,
            keepalive=PING_EVENT if request.args.get("ping") == "1" else COMMENT,
        )

    def _greeting(self, job_id: str) -> Frame:
        return encode_greeting(
            ConnectedData(secrets.token_hex(16), job_id, self._max_age_s, self._keepalive_s)
        )

    def _greeting_of_many(self, job_ids: Sequence[str]) -> Frame:
        return encode_greeting(
            ManyConnectedData(
                secrets.token_hex(16), list(job_ids), self._max_age_s, self._keepalive_s
            )
        )


def _plain(seconds: float) -> float:
    """Return whole seconds as an int, which JSON shows without a fraction."""
    return int(seconds) if seconds == int(seconds) else seconds
