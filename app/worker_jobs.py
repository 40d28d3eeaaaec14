"""Operations of workers that use HTTP: create jobs for others, append events. No HTTP here."""

import secrets

import msgspec

from app.auth import Grant, session_id
from app.errors import BadRequest, Forbidden, JobNotFound
from app.jobs import Jobs, digest_of
from app.queues import FIRST_ATTEMPT, JobQueue
from app.run_events import numbered_events
from eventlog.creation_records import Claim, CreationRecords
from eventlog.errors import JobExists, UnreadableJob
from eventlog.reader import Reader
from eventlog.runs import Runs
from jobcast._json import from_json
from jobcast.protocol.append import Answer
from jobcast.protocol.names import idempotency_key, new_job_id, parse_job_id
from schema.http import (
    AppendEvents,
    CreateJobAsWorker,
    EntryIds,
    EventsAppended,
    StartedJob,
)
from schema.owner import Owner

_MS = 1000


class WorkerJobs:
    """The jobs of all owners, restricted by a grant."""

    def __init__(
        self, jobs: Jobs, records: CreationRecords, queue: JobQueue, reader: Reader, runs: Runs
    ) -> None:
        self._jobs = jobs
        self._records = records
        self._queue = queue
        self._reader = reader
        self._runs = runs

    async def create(self, grant: Grant, request: CreateJobAsWorker, key: str | None) -> str:
        """Create a job for the owner that the request names; queue it unless the worker runs it.

        Args:
            grant: what the worker may do.
            request: the job.
            key: the ``Idempotency-Key``, if any.

        Returns:
            The job's id; with an idempotency key, that of the first call.

        Raises:
            Forbidden: the grant does not cover the job.
            BadRequest: the session id is invalid.
            ApiError: the queue does not take jobs of this type.
            JobExists: the given id is taken.
            IdempotencyConflict: the key was used for another request.
            LogUnavailable: Redis is unavailable; the sweeper fails a job that was to be queued.
        """
        owner = _owner_of(request)
        given = parse_job_id(request.job_id)
        if not grant.covers_type(request.type):
            raise Forbidden("type: the token is for other types of jobs")
        if grant.job_ids is not None and (given is None or not grant.covers_id(given)):
            raise Forbidden("jobId: the token is for other jobs")
        if request.queued:
            self._queue.check(request.type)
        if key is None:
            job_id = given or new_job_id()
            await self._create(job_id, owner, request, secrets.token_hex(8))
            return job_id
        # Keys of owners have other prefixes, so no owner can take a worker's key. JSON, because ids
        # may contain colons.
        ids = msgspec.json.encode([owner.user_id, owner.session_id])
        name = f"worker:{ids.decode()}"
        fresh = Claim(given or new_job_id(), digest_of(request))
        claim = await self._records.claim(name, key, fresh)
        if not claim.queued:
            await self._create(claim.job_id, owner, request, idempotency_key(name, key))
            await self._records.fulfil(name, key, claim)
        return claim.job_id

    async def _create(
        self, job_id: str, owner: Owner, request: CreateJobAsWorker, token: str
    ) -> None:
        before = await self._reader.load(job_id)
        if request.queued and before is None:  # the sweeper must not fail an existing job
            await self._records.begin(job_id)
        try:
            answer = await self._jobs.begin_log(job_id, owner, request, token)
        except JobExists:
            if request.queued and before is None:
                await self._records.confirm(job_id)
            raise
        if before is not None and before.status != "queued":
            return
        await self._jobs.list_job(job_id, answer.entry_id, owner)
        if request.queued:
            await self._queue.remove_finished(job_id, FIRST_ATTEMPT)
            await self._queue.add(job_id, FIRST_ATTEMPT, request.type)
            await self._records.confirm(job_id)

    async def append(
        self, grant: Grant, text: str, batch: AppendEvents, path: str, ids: EntryIds
    ) -> EventsAppended:
        """Append the events of a run, or only renew its lease.

        Args:
            grant: what the worker may do.
            text: the job's id, as given.
            batch: the events.
            path: where they are in the body, see ``numbered_events``.
            ids: list to which the entry id of each written event is added.

        Raises:
            BadRequest: an event breaks the contract; nothing was written.
            JobNotFound: the grant does not cover the job, or it does not exist.
            AppendRefused: an event is illegal in the job's state; those before it are written.
            UnreadableJob: the job is corrupt.
            LogUnavailable: Redis is unavailable.
        """
        lease_ms = round(batch.lease_seconds * _MS)
        events = numbered_events(batch.events, path, lease_ms)
        job_id = parse_job_id(text)
        if job_id is None or not grant.covers_id(job_id):
            raise JobNotFound
        await self._check_type(grant, job_id)
        answer = await self._runs.append(
            job_id, batch.run, batch.attempt, events, lease_ms=lease_ms, written=ids
        )
        is_started = bool(events) and events[0].append.operation == "start"
        job = _job_of(answer) if is_started else None
        number = answer.attempt
        if events and events[-1].will_retry:
            number = await self._list_again(job_id)
        return EventsAppended(ids, answer.cancel_requested, number, job)

    async def _list_again(self, job_id: str) -> int:
        """Announce a job that is queued for its next attempt; return the number of that attempt.

        The job joins its owner's streams of active jobs again.
        """
        state = await self._reader.load(job_id)
        if state is None:
            raise JobNotFound
        await self._jobs.list_job(job_id, state.created, state.owner)
        return state.attempt

    async def _check_type(self, grant: Grant, job_id: str) -> None:
        if grant.job_types is None:
            return
        try:
            state = await self._reader.load(job_id)
        except UnreadableJob as error:
            if error.fields.get("type") in grant.job_types:
                raise
            raise JobNotFound from error
        if state is None or not grant.covers_type(state.type):
            raise JobNotFound


def _owner_of(request: CreateJobAsWorker) -> Owner:
    if request.session_id is not None and session_id(request.session_id) != request.session_id:
        raise BadRequest("sessionId: without space around it, and not the word null or undefined")
    return Owner(request.user_id, request.session_id)


def _job_of(answer: Answer) -> StartedJob:
    try:
        job_input = from_json(answer.input) if answer.input else {}
    except ValueError:
        job_input = None
    return StartedJob(answer.type, job_input if isinstance(job_input, dict) else None)
