"""``/api/v1/jobs/{id}/stream``: answers to requests whose streams end at once."""

from quart import Blueprint, Response, request
from werkzeug.exceptions import NotFound

from app.errors import ProcessFull, ServiceUnavailable, TooManyStreams
from app.openapi import EVENT_STREAM, Operation, header, query
from app.streaming.decision import NoContent, Refusal, Replay
from app.streaming.middleware import decision_of
from app.streaming.viewer import retry_block
from eventlog.errors import LogUnavailable

blueprint = Blueprint("stream", __name__, url_prefix="/api/v1/jobs")

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
_PING = query(
    "ping",
    "`1`: keepalives are events instead of comments. Any other value is ignored",
    type="string",
)


@blueprint.get("/<_job_id>/stream", strict_slashes=False)
@Operation(
    "watchJob",
    {200: EVENT_STREAM, 204: None},
    parameters=[_CURSOR, _FROM, _PING],
    errors=[TooManyStreams, ProcessFull],
)
async def stream(_job_id: str) -> Response:
    """Watch a job as Server-Sent Events.

    The first event is connected. Then comes the state as one event, or the events missed since
    Last-Event-ID, then every event live. The end of the job ends the stream.
    """
    match decision_of(request.scope):
        case Replay(body):
            return _event_stream(body)
        case NoContent():
            return _no_content()
        case Refusal(TooManyStreams() | ServiceUnavailable() | LogUnavailable() as error):
            if not request.headers.get("Last-Event-ID"):
                raise error
            return _event_stream(_UNAVAILABLE + retry_block())  # a browser gives up on any error
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
