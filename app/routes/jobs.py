"""``/api/v1/jobs``: create, list, poll, cancel and retry jobs."""

from quart import Blueprint, Response, request

from app.deadline import with_deadline
from app.errors import BadRequest, Forbidden, NoQueue
from app.openapi import EVERYBODY, WORKER, Operation, header, query
from app.prefix import public_path
from app.requests import as_json, body_as, identify, service, worker_grant
from eventlog.errors import IdempotencyConflict, JobExists, NotCancellable, NotFailed
from jobcast._settings import parse_whole
from schema.http import (
    CreateJob,
    CreateJobAsWorker,
    JobCancelled,
    JobCreated,
    JobList,
    JobRetried,
    JobStatus,
)

blueprint = Blueprint("jobs", __name__, url_prefix="/api/v1/jobs")

_MAX_PAGE = 100
_PAGE = 20
_MAX_KEY = 255

_KEY = header(
    "Idempotency-Key",
    "Makes the call idempotent for 24 hours: the same key and body get the same job",
    maxLength=_MAX_KEY,
    pattern="[!-~]",
)
_LIMIT = query(
    "limit", "Maximum number of jobs", type="integer", minimum=1, maximum=_MAX_PAGE, default=_PAGE
)
_CURSOR = query("cursor", "Of the previous page; none for the first page", type="string")


@blueprint.post("")
@Operation(
    "createJob",
    {201: JobCreated},
    body=(CreateJob, CreateJobAsWorker),
    parameters=[_KEY],
    errors=[BadRequest, Forbidden, IdempotencyConflict, JobExists, NoQueue],
    security=(*EVERYBODY, *WORKER),
)
async def create() -> Response:
    """Create a job and queue it.

    With a worker token the body names the owner, and may name the id or keep the job off the queue.
    """
    await request.get_data()  # before the deadline: the client decides how fast it sends
    return await _create()


@with_deadline
async def _create() -> Response:
    grant = await worker_grant()
    if grant is not None:
        by_worker = await body_as(CreateJobAsWorker, nested="input")
        job_id = await service().worker_jobs.create(grant, by_worker, _idempotency_key())
    else:
        identity = await identify(with_body=True)
        job = await body_as(CreateJob, nested="input")
        job_id = await service().jobs.create(identity.owner, job, _idempotency_key())
    url = public_path(request.root_path, f"/api/v1/jobs/{job_id}")
    response = as_json(JobCreated(job_id, f"{url}/status", f"{url}/stream"), 201)
    response.headers["Location"] = f"{url}/status"
    return response


def _idempotency_key() -> str | None:
    keys = {key.strip() for key in request.headers.getlist("Idempotency-Key")}
    if not keys:
        return None
    if len(keys) > 1:
        raise BadRequest("Idempotency-Key: one, not several")
    (key,) = keys
    if not 0 < len(key) <= _MAX_KEY:
        raise BadRequest(f"Idempotency-Key: 1 to {_MAX_KEY} characters")
    return key


@blueprint.get("")
@Operation("listJobs", {200: JobList}, parameters=[_LIMIT, _CURSOR], errors=[BadRequest])
@with_deadline
async def listing() -> Response:
    """List the caller's jobs, newest first."""
    identity = await identify()
    try:
        limit = parse_whole(request.args.get("limit", str(_PAGE)), 1, _MAX_PAGE)
    except ValueError:
        raise BadRequest(f"limit: a whole number from 1 to {_MAX_PAGE}") from None
    cursor = request.args.get("cursor")
    return as_json(await service().jobs.page(identity.owner, limit, cursor or None))


@blueprint.get("/<job_id>/status")
@Operation("getStatus", {200: JobStatus})
@with_deadline
async def status(job_id: str) -> Response:
    """Return the state of a job, read from Redis."""
    identity = await identify()
    job_id, state = await service().jobs.owned(identity.owner, job_id)
    return as_json(JobStatus.of(job_id, state))


@blueprint.post("/<job_id>/cancel")
@Operation("cancelJob", {200: JobCancelled}, errors=[NotCancellable])
@with_deadline
async def cancel(job_id: str) -> Response:
    """Cancel a job: fail a queued one, or ask the worker of a running one to stop."""
    identity = await identify()
    job_id, _ = await service().jobs.owned(identity.owner, job_id)
    await service().jobs.cancel(job_id)
    return as_json(JobCancelled())


@blueprint.post("/<job_id>/retry")
@Operation("retryJob", {200: JobRetried}, errors=[BadRequest, NotFailed, NoQueue])
@with_deadline
async def retry(job_id: str) -> Response:
    """Queue a failed job again."""
    identity = await identify()
    job_id, state = await service().jobs.owned(identity.owner, job_id)
    await service().jobs.retry(job_id, state)
    return as_json(JobRetried(job_id))
