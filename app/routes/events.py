"""``/api/v1/jobs/{id}/events``: events of workers without access to Redis."""

from msgspec import UNSET, Raw, Struct, UnsetType
from quart import Blueprint, Response, request
from werkzeug.exceptions import RequestEntityTooLarge

from app.deadline import with_deadline
from app.errors import (
    BadRequest,
    BatchStopped,
    Forbidden,
    ServiceUnavailable,
    TooLarge,
)
from app.openapi import WORKER, Operation
from app.requests import as_json, body_as, grant, service
from eventlog.errors import (
    AppendRefused,
    JobFinished,
    JobStalled,
    LogUnavailable,
    NotRunning,
    Superseded,
    UnknownJob,
)
from schema.http import AppendEvent, AppendEvents, EntryIds, EventsAppended

blueprint = Blueprint("events", __name__, url_prefix="/api/v1/jobs")


class _Form(Struct):
    events: Raw | UnsetType = UNSET


@blueprint.post("/<job_id>/events")
@Operation(
    "appendEvents",
    {200: EventsAppended},
    body=(AppendEvent, AppendEvents),
    errors=[
        *(BadRequest, Forbidden, TooLarge),
        *(JobFinished, JobStalled, Superseded, NotRunning),
    ],
    security=WORKER,
)
async def append(job_id: str) -> Response:
    """Append events of a run, in order, and renew its lease.

    For workers without access to Redis. A repeat writes nothing and gets the same ids.
    """
    try:
        await request.get_data()  # before the deadline: the client decides how fast it sends
    except RequestEntityTooLarge:
        raise TooLarge from None
    ids: EntryIds = []
    try:
        return await _append(job_id, ids)
    except UnknownJob:
        raise
    except (AppendRefused, LogUnavailable, ServiceUnavailable) as error:
        raise BatchStopped(error, ids) from error


@with_deadline
async def _append(job_id: str, ids: EntryIds) -> Response:
    allowed = await grant()
    if (await body_as(_Form)).events is UNSET:
        batch, path = (await body_as(AppendEvent, nested="data")).as_batch(), ""
    else:
        batch, path = await body_as(AppendEvents, nested="events"), "events[{}]."
    return as_json(await service().worker_jobs.append(allowed, job_id, batch, path, ids))
