"""``/api/v1/jobs/{id}/stream``: the answer to what was decided about a stream."""

from quart import Blueprint, Response, request
from werkzeug.exceptions import NotFound

from app.errors import ServiceUnavailable, TooManyStreams
from app.streaming.decision import NoContent, Refusal, Replay
from app.streaming.middleware import decision_of
from app.streaming.viewer import retry_block
from eventlog.errors import LogUnavailable

blueprint = Blueprint("stream", __name__, url_prefix="/api/v1/jobs")

_UNAVAILABLE = b": unavailable\n"
_NO_CONTENT = 204


@blueprint.get("/<_job_id>/stream", strict_slashes=False)
async def stream(_job_id: str) -> Response:
    """Answer with the head of a stream and, if it does not stay open, all of its body."""
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
    response.headers["Cache-Control"] = "no-store"  # a cache may keep a 204 otherwise
    return response


def _event_stream(body: bytes) -> Response:
    response = Response(body, content_type="text/event-stream")
    response.timeout = None
    del response.headers["Content-Length"]
    response.headers["Cache-Control"] = "no-cache, no-transform"
    response.headers["X-Accel-Buffering"] = "no"
    if request.http_version == "1.1":
        response.headers["Connection"] = "keep-alive"
    return response
