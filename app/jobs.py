"""Operations on jobs: create, look up, list, cancel, retry. No HTTP here."""

import asyncio
import base64
import binascii
import hashlib
from contextlib import suppress

import msgspec

from app.errors import BadRequest, JobNotFound
from app.queues import FIRST_ATTEMPT, JobQueue
from app.settings import Settings
from eventlog.append import Appender, NewJob
from eventlog.creation_records import Claim, CreationRecords
from eventlog.errors import JobExists, NotFailed, UnreadableJob
from eventlog.index import IndexEntry, OwnerIndex, parse_member
from eventlog.reader import Reader
from jobcast.protocol.append import Answer, Bounds
from jobcast.protocol.names import new_job_id, parse_job_id
from schema.http import CreateJob, CreateJobAsWorker, JobList, JobSummary
from schema.owner import Owner
from schema.state import JobState


class Jobs:
    """The jobs of all owners; each owner sees only their own."""

    def __init__(  # noqa: PLR0913 - its collaborators
        self,
        *,
        settings: Settings,
        appender: Appender,
        reader: Reader,
        index: OwnerIndex,
        records: CreationRecords,
        queue: JobQueue,
    ) -> None:
        self._settings = settings
        self._appender = appender
        self._reader = reader
        self._index = index
        self._records = records
        self._queue = queue

    async def create(self, owner: Owner, request: CreateJob, idempotency_key: str | None) -> str:
        """Create a job and queue it. Each step is idempotent.

        Returns:
            The job's id; with an idempotency key, that of the first call.

        Raises:
            IdempotencyConflict: the key was used for another request.
            ApiError: the queue does not take jobs of this type.
            LogUnavailable: Redis is unavailable; the sweeper fails the job if it was created.
        """
        self._queue.check(request.type)
        if idempotency_key is None:
            return await self._create(new_job_id(), owner, request)
        name = f"user:{owner.user_id}" if owner.user_id else f"session:{owner.session_id}"
        fresh = Claim(new_job_id(), digest_of(request))
        claim = await self._records.claim(name, idempotency_key, fresh)
        if not claim.queued:
            if claim.job_id != fresh.job_id:
                await self._queue.remove_finished(claim.job_id, FIRST_ATTEMPT)
            await self._create(claim.job_id, owner, request)
            await self._records.fulfil(name, idempotency_key, claim)
        return claim.job_id

    async def _create(self, job_id: str, owner: Owner, request: CreateJob) -> str:
        state = await self._reader.load(job_id)
        if state is not None and (state.status != "queued" or not state.owner.shares_with(owner)):
            return job_id
        await self._records.begin(job_id)
        if state is None:
            with suppress(JobExists):  # a concurrent call with the same key
                await self.begin_log(job_id, owner, request)
            state = await self._reader.load(job_id)
        if state is not None:
            await self.list_job(job_id, state.created, state.owner)
            await self._queue.add(job_id, state.attempt, request.type)
        await self._records.confirm(job_id)
        return job_id

    async def owned(self, owner: Owner, text: str) -> tuple[str, JobState]:
        """Return the id and state of an owner's job.

        Raises:
            JobNotFound: it does not exist, or has another owner.
            UnreadableJob: its state is corrupt.
            LogUnavailable: Redis is unavailable.
        """
        job_id = parse_job_id(text)
        try:
            state = None if job_id is None else await self._reader.load(job_id)
        except UnreadableJob as error:
            its_owner = error.owner or await self._reader.owner_in_log(job_id or "")
            if its_owner.shares_with(owner):
                raise
            raise JobNotFound from error
        if job_id is None or state is None or not state.owner.shares_with(owner):
            raise JobNotFound
        return job_id, state

    async def page(self, owner: Owner, limit: int, cursor: str | None) -> JobList:
        """List the owner's jobs, newest first.

        Raises:
            BadRequest: the cursor is invalid.
            LogUnavailable: Redis is unavailable.
        """
        after = last = None if cursor is None else _decode(cursor)
        found: list[JobSummary] = []
        while len(found) < limit:
            missing = limit - len(found)
            page = await self._index.page(owner.user_id, owner.session_id, missing + 1, after)
            members = page[:missing]
            jobs = [parse_member(member) for member in members]
            states = await asyncio.gather(*map(self._state_of, jobs))
            stale = []
            for member, job, state in zip(members, jobs, states, strict=True):
                if job is not None:
                    last = member
                if job is None or state is None:
                    stale.append(member)
                elif state.owner is None or state.owner.shares_with(owner):
                    found.append(_summary(job, state))
            if stale:
                await self._index.remove(stale, owner.user_id, owner.session_id)
            if page == members:
                return JobList(found, None)
            after = members[-1]
        return JobList(found, None if last is None else _encode(last))

    async def _state_of(self, job: IndexEntry | None) -> JobState | UnreadableJob | None:
        """Return a listed job's state: the error if it is unreadable, None if the entry is stale.

        The error is returned, so that one unreadable job does not spoil the list.
        """
        if job is None:
            return None
        try:
            state = await self._reader.load(job.job_id)
        except UnreadableJob as error:
            return error
        return state if state is not None and job.is_of(state.created) else None

    async def cancel(self, job_id: str) -> None:
        """Fail a queued job, or ask a running one to stop.

        Raises:
            NotCancellable: it has finished.
            LogUnavailable: Redis is unavailable.
        """
        answer = await self._appender.cancel(job_id)
        if answer.status_before == "queued":
            await self._queue.remove(job_id, answer.attempt)

    async def retry(self, job_id: str, state: JobState) -> None:
        """Queue a failed job again.

        Args:
            job_id: the job.
            state: its state when the request was authorized.

        Raises:
            NotFailed: it has not failed.
            ApiError: the queue does not take jobs of this type.
            UnreadableJob: the job's input is corrupt.
            LogUnavailable: Redis is unavailable; the sweeper fails the attempt if it was begun.
        """
        if state.status != "failed":
            raise NotFailed
        self._queue.check(state.type)
        await self._queue.check_input(job_id)
        await self._records.begin(job_id)
        try:
            answer = await self._appender.retry(job_id)
        except NotFailed:
            await self._confirm(job_id)
            raise
        await self.list_job(job_id, state.created, state.owner)
        await self._queue.remove_finished(job_id, answer.attempt)
        await self._queue.add(job_id, answer.attempt, state.type)
        await self._records.confirm(job_id)

    async def _confirm(self, job_id: str) -> None:
        """Confirm a job whose retry was refused.

        A queued job is added to the queue first: another retry is running, and shares the record.
        """
        state = await self._reader.load(job_id)
        if state is not None and state.status == "queued":
            await self._queue.add(job_id, state.attempt, state.type)
        await self._records.confirm(job_id)

    async def list_job(self, job_id: str, created: str, owner: Owner) -> None:
        """Add a job to its owner's index and announce it; idempotent.

        Raises:
            LogUnavailable: Redis is unavailable.
        """
        await self._index.add(job_id, created, owner, self._settings.retention_s)

    async def begin_log(
        self, job_id: str, owner: Owner, request: CreateJob | CreateJobAsWorker, token: str = ""
    ) -> Answer:
        """Create a job's log.

        Args:
            job_id: the job.
            owner: its owner.
            request: its type and input.
            token: identifies this creation, so that its repeat succeeds; empty for none.

        Raises:
            JobExists: the job exists already.
            UnreadableJob: the job is corrupt.
            LogUnavailable: Redis is unavailable.
        """
        settings = self._settings
        bounds = Bounds(settings.retention_s, settings.log_entries, settings.event_bytes)
        new = NewJob(request.type, request.input, owner.user_id, owner.session_id, bounds)
        return await self._appender.create(job_id, new, token)


def digest_of(request: CreateJob | CreateJobAsWorker) -> str:
    """Return a digest of a request, to recognize a repeat."""
    canonical = msgspec.json.encode(request, order="sorted")
    return hashlib.sha256(canonical).hexdigest()


def _summary(job: IndexEntry, state: JobState | UnreadableJob) -> JobSummary:
    if isinstance(state, JobState):
        return JobSummary.of(job.job_id, state)
    return JobSummary.of_unreadable(job.job_id, job.created, state.fields)


def _encode(member: bytes) -> str:
    return base64.urlsafe_b64encode(member).decode().rstrip("=")


def _decode(cursor: str) -> bytes:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        member = base64.b64decode(padded, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        member = b""
    if parse_member(member) is None:
        raise BadRequest("cursor: not one that a listing gave")
    return member
