"""The jobs that the query of a stream of many selects."""

from typing import Final

from msgspec import Struct

from app.errors import BadRequest
from app.raw_request import Parameters
from jobcast.protocol.names import parse_job_id

MOST_JOBS: Final = 200
"""Maximum of jobs on one stream."""

_ACTIVE: Final = "active"


class Selection(Struct, frozen=True):
    """The jobs that a stream is requested for.

    Attributes:
        job_ids: distinct ids, normalized as in the keys in Redis, malformed ones as given; None
            for the caller's active jobs.
    """

    job_ids: tuple[str, ...] | None


def selection_of(parameters: Parameters) -> Selection:
    """Return the selection of a query.

    Raises:
        BadRequest: it is invalid; the message names the parameter.
    """
    lists, mine = parameters.getlist("jobs"), parameters.get("mine")
    if mine is not None:
        if lists:
            raise BadRequest("mine: not together with jobs")
        if mine != _ACTIVE:
            raise BadRequest("mine: must be active")
        return Selection(None)
    if not lists:
        raise BadRequest("jobs: job ids separated by commas, or mine=active, are required")
    given = (text for each in lists for text in each.split(",") if text)
    job_ids = tuple(dict.fromkeys(parse_job_id(text) or text for text in given))
    if not job_ids:
        raise BadRequest("jobs: at least one job id is required")
    if len(job_ids) > MOST_JOBS:
        raise BadRequest(f"jobs: at most {MOST_JOBS} job ids")
    return Selection(job_ids)
