"""``/api/v1/jobs/{id}/stream``, ``/api/v1/stream``: responses of streams that end at once."""

from quart import Blueprint, Response, request
from werkzeug.exceptions import NotFound

from app.errors import BadRequest, ProcessFull, ServiceUnavailable, TooManyStreams
from app.openapi import EVENT_STREAM, EVENTS, EVENTS_OF_MANY, Operation, header, query
from app.streaming.decision import NoContent, Refusal, WholeStream
from app.streaming.middleware import decision_of
from app.streaming.viewer import retry_block
from eventlog.errors import LogUnavailable

blueprint = Blueprint("stream", __name__, url_prefix="/api/v1")

_UNAVAILABLE = b": unavailable\n"
_NO_CONTENT = 204

_CURSOR = header(
    "Last-Event-ID",
    "Id of the last event received: the stream resumes after it, or with reset and a snapshot",
)
_FROM = query(
    "from",
    "`start`, without a Last-Event-ID: every event of the current attempt, without a snapshot. "
    "Any other value is ignored",
    type="string",
)
_JOBS = query(
    "jobs",
    "Ids of up to 200 jobs, separated by commas; either this or `mine`",
    type="string",
)
_MINE = query(
    "mine",
    "`active`: the caller's newest 200 jobs that are active or have ended in the last 5 minutes. "
    "Others join as they are created or retried",
    enum=["active"],
)
_PING = query(
    "ping",
    "`1`: keepalives are events instead of comments. Any other value is ignored",
    type="string",
)


@blueprint.get("/jobs/<_job_id>/stream", strict_slashes=False)
@Operation(
    "watchJob",
    {200: EVENTS, 204: None},
    parameters=[_CURSOR, _FROM, _PING],
    errors=[TooManyStreams, ProcessFull],
)
async def stream(_job_id: str) -> Response:
    """Watch a job as Server-Sent Events.

    The first event is connected. Then comes the state as one event, or the events missed since
    Last-Event-ID, then every event live. The end of the job ends the stream.
    """
    return _answer()


@blueprint.get("/stream", strict_slashes=False)
@Operation(
    "watchJobs",
    {200: EVENTS_OF_MANY},
    parameters=[_JOBS, _MINE, _PING],
    errors=[BadRequest, TooManyStreams, ProcessFull],
)
async def stream_of_many() -> Response:
    """Watch many jobs as Server-Sent Events.

    The first event is connected. Then comes the state of each job as one event, then its events
    live, all with jobId. No events of a job follow its left, unless it joins again. A stream of
    listed jobs ends when all have left.
    """
    return _answer()


def _answer() -> Response:
    match decision_of(request.scope):
        case WholeStream(body):
            return _event_stream(body)
        case NoContent():
            return _no_content()
        case Refusal(TooManyStreams() | ServiceUnavailable() | LogUnavailable() as error):
            if not request.headers.get("Last-Event-ID"):
                raise error
            return _event_stream(_UNAVAILABLE + retry_block())  # EventSource gives up on an error
        case Refusal(error):
            raise error
    raise NotFound


def _no_content() -> Response:
    response = Response(b"", _NO_CONTENT)
    del response.headers["Content-Length"]  # RFC 9110 §8.6: never in a 204
    del response.headers["Content-Type"]
    response.headers["Cache-Control"] = "no-store"  # a 204 is cacheable otherwise
    return response


def _event_stream(body: bytes) -> Response:
    response = Response(body, content_type=EVENT_STREAM)
    response.timeout = None
    del response.headers["Content-Length"]
    response.headers["Cache-Control"] = "no-cache, no-transform"
    response.headers["X-Accel-Buffering"] = "no"
    if request.http_version == "1.1":
        response.headers["Connection"] = "keep-alive"
    return response
