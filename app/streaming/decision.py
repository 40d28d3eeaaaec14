"""Decides about a stream: who asks, whose job it is, what was seen of it, and whether it may open.

What the answer looks like is the business of ``app.routes.stream``; who sends it, of
``app.streaming.middleware``.
"""

import asyncio
import random
import secrets
from contextlib import AbstractContextManager
from typing import Final

import msgspec
from msgspec import Struct

from actors.directory import Directory
from actors.mailbox import Mailbox
from app.auth import Authenticator, Identity
from app.deadline import with_deadline
from app.errors import ServiceUnavailable
from app.jobs import Jobs
from app.raw_request import RawRequest
from app.settings import Settings
from app.streaming.limits import Limits, Place
from app.streaming.replay import replay
from app.streaming.viewer import COMMENT, PING_EVENT, Viewer
from app.streaming.viewers import Viewers
from eventlog.reader import Reader
from schema.events import ConnectedData
from schema.resume import Beginning, beginning
from schema.sse import OK, Frame, encode, raw_frame
from schema.state import JobState

_SPREAD: Final = 0.95
"""Least part of the maximum age that a stream gets, at random, so that a crowd comes apart."""


class LiveStream(Struct):
    """It stays open: who watches, and the place that is held until somebody frees it."""

    viewer: Viewer
    place: Place


class Replay(Struct):
    """All there is to say: the response is whole."""

    body: bytes


class NoContent(Struct):
    """The viewer has seen the end of the job."""


class Refusal(Struct):
    """It may not be; the error says why."""

    error: Exception


Decision = LiveStream | Replay | NoContent | Refusal

_OK: Final = raw_frame(OK)

_CONCURRENT_DECISIONS: Final = 500
"""Requests of a crowd. The time that one may take to be answered start when it is its turn: it is
for Redis, and would be spent in waiting for the others."""


class Streams:
    """Decides about streams."""

    def __init__(  # noqa: PLR0913 - its collaborators
        self,
        *,
        settings: Settings,
        authenticator: Authenticator,
        jobs: Jobs,
        reader: Reader,
        directory: Directory,
        viewers: Viewers,
    ) -> None:
        self._settings = settings
        self._authenticator = authenticator
        self._jobs = jobs
        self._reader = reader
        self._directory = directory
        self._viewers = viewers
        self._limits = Limits(settings)
        self._gate = asyncio.Semaphore(_CONCURRENT_DECISIONS)
        self._max_age_s = _plain(settings.stream_max_age_s)
        self._keepalive_s = _plain(settings.keepalive_s)

    async def decide(self, request: RawRequest, job_id: str) -> Decision:
        """Decide about a request.

        Args:
            request: the request.
            job_id: the job's id as it is in its address.
        """
        try:
            async with self._gate:
                return await self._decide(request, job_id)
        except Exception as error:  # noqa: BLE001 - the answer to any is made in one place
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
                return Replay(OK + self._connected(job_id).data + missed)
        if self._viewers.draining:
            raise ServiceUnavailable
        place = self._limits.reserve(job_id, identity.owner)
        if request.method == "HEAD":
            place.free()
            return Replay(OK + self._connected(job_id).data)
        return LiveStream(self._viewer(request, job_id, state, start, identity), place)

    def _viewer(
        self,
        request: RawRequest,
        job_id: str,
        state: JobState,
        start: Beginning,
        identity: Identity,
    ) -> Viewer:
        def watch(mailbox: Mailbox) -> AbstractContextManager[None]:
            mailbox.put(_OK)
            mailbox.put(self._connected(job_id))
            return self._directory.viewing(job_id, state, mailbox, start)

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

    def _connected(self, job_id: str) -> Frame:
        """Return the first event of a stream."""
        connected = ConnectedData(secrets.token_hex(16), job_id, self._max_age_s, self._keepalive_s)
        return encode("connected", msgspec.json.encode(connected))


def _plain(seconds: float) -> float:
    """Show whole seconds without a fraction."""
    return int(seconds) if seconds == int(seconds) else seconds
