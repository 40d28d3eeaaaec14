"""``/api/v1/jobs/{id}/stream``: decide about a stream, answer with its head, hand it off."""

import random
from contextlib import ExitStack
from functools import partial
from typing import cast
from uuid import uuid4

import msgspec
from quart import Blueprint, Response, request

from app.auth import Identity
from app.errors import JobNotFound, ServiceUnavailable, TooManyStreams
from app.handoff import Stream, hand_off
from app.replay import replay
from app.requests import identify, in_time, service
from app.transport import Scope
from app.viewer import Viewer, retry_block
from eventlog.errors import LogUnavailable
from schema.entry_id import parse_cursor
from schema.events import ConnectedData
from schema.job_id import parse_job_id
from schema.owner import Owner
from schema.sse import OK, encode
from schema.state import JobState

blueprint = Blueprint("stream", __name__, url_prefix="/api/v1/jobs")

_UNAVAILABLE = b": unavailable\n"
_NO_CONTENT = 204


@blueprint.get("/<text>/stream", strict_slashes=False)
async def stream(text: str) -> Response:
    """Open a stream, or refuse it in a way that does not make a browser give up."""
    try:
        return await _open(text)
    except (TooManyStreams, ServiceUnavailable, LogUnavailable):
        if "Last-Event-ID" not in request.headers:
            raise
        return _event_stream(_UNAVAILABLE + retry_block())


@in_time
async def _open(text: str) -> Response:
    identity = await identify()
    job_id = parse_job_id(text)
    if job_id is None:
        raise JobNotFound
    cursor = parse_cursor(request.headers.get("Last-Event-ID"))
    owner, state = await _owner_of(job_id, identity)
    if state is not None and state.finished:
        if cursor == state.last:
            return _no_content()
        missed = await replay(service().reader, job_id, cursor)
        return _event_stream(_preamble(job_id, service().settings.stream_max_age_s) + missed)
    return _hand_off(job_id, owner, identity, cursor)


async def _owner_of(job_id: str, identity: Identity) -> tuple[Owner, JobState | None]:
    """Return whose job it is; and its state, if that had to be read."""
    owner = service().directory.owner_of(job_id)
    if owner is not None:
        if not owner.shares_with(identity.owner):
            raise JobNotFound
        return owner, None
    _, state = await service().jobs.owned(identity.owner, job_id)
    return state.owner, state


def _hand_off(job_id: str, owner: Owner, identity: Identity, cursor: str | None) -> Response:
    settings = service().settings
    place = ExitStack()
    place.enter_context(service().viewers.reserved(job_id, identity.owner))
    lifetime_s = settings.stream_max_age_s * random.uniform(0.95, 1)  # noqa: S311 - spread
    token_s = identity.lifetime_s()
    if token_s is not None:
        lifetime_s = min(lifetime_s, token_s)
    if request.method == "HEAD":
        place.close()
    else:
        viewer = Viewer(
            partial(service().directory.viewing, job_id, owner, cursor=cursor),
            lifetime_s=lifetime_s,
            mailbox_bytes=settings.mailbox_bytes,
            direct=settings.direct_write,
        )
        hand_off(cast("Scope", request.scope), Stream(viewer, place))
    return _event_stream(_preamble(job_id, settings.stream_max_age_s))


def _preamble(job_id: str, max_age_s: float) -> bytes:
    keepalive_s = service().settings.keepalive_s
    connected = ConnectedData(uuid4().hex, job_id, _plain(max_age_s), _plain(keepalive_s))
    return OK + encode("connected", msgspec.json.encode(connected)).data


def _plain(seconds: float) -> float:
    """Show whole seconds without a fraction."""
    return int(seconds) if seconds == int(seconds) else seconds


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
