"""The ASGI wrapper that serves open streams without Quart.

Quart creates a request context, two tasks and a response for each viewer, and keeps some of that
while the stream is open. So streams are decided on before Quart: it responds if a stream ends at
once, and all others are served here.
"""

import asyncio
import re
from typing import Any, Final, cast
from urllib.parse import urlsplit

from app.asgi import Application, Receive, Scope, Send
from app.prefix import Prefix
from app.raw_request import RawRequest, utf8_query
from app.server.repairs import at_lifespan
from app.server.transport import outlet_for
from app.streaming.decision import MANY, Decision, LiveStream, Refusal, Streams
from app.streaming.head import StreamHead
from app.streaming.viewers import Viewers

READ_TIMEOUT_S: Final = 60.0
"""Time for a viewer to read the replay of a finished job; a slower one is cut off and resumes."""

_KEY: Final = "jobcast.decision"
_PATH: Final = re.compile(r"/*api/v1/(?:jobs/([^/]+)/)?stream/?")
"""The paths that Quart routes to ``app.routes.stream``; a test compares them."""

_METHODS: Final = frozenset({"GET", "HEAD"})


def decision_of(scope: object) -> Decision | None:
    """Return the decision about a request; None if it is not for a stream."""
    return cast("dict[str, Any]", scope).get(_KEY)


class StreamMiddleware:
    """Serves the streams of a wrapped application.

    Args:
        application: responds to all other requests.
        streams: decides on streams.
        viewers: the open streams.
        head: builds the first message of their responses.
        prefix: normalizes the paths of a service that may be mounted below a prefix.
    """

    def __init__(
        self,
        application: Application,
        streams: Streams,
        viewers: Viewers,
        head: StreamHead,
        prefix: Prefix | None = None,
    ) -> None:
        self._application = application
        self._prefix = prefix
        self._streams = streams
        self._viewers = viewers
        self._head = head

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the lifespan protocol."""
        if scope["type"] == "lifespan":
            await self._application(scope, receive, at_lifespan(receive, send))
            return
        job_id = self._job_of(scope)
        if job_id is None:
            await self._application(scope, receive, send)
            return
        request = RawRequest(scope)
        decision = await self._streams.decide(request, job_id)
        if not isinstance(decision, LiveStream):
            scope[_KEY] = decision
            # Replays are not limited in number, so they are limited in time.
            outlet = outlet_for(send)
            timeout = asyncio.get_running_loop().call_later(READ_TIMEOUT_S, outlet.abort)
            try:
                await self._application(scope, receive, send)
            finally:
                timeout.cancel()
                _release(scope)
            return
        head = self._head.of(scope["http_version"], request.headers.get("Origin"))
        del request  # or it would take memory while the stream is open
        self._viewers.add(decision.viewer)
        try:
            await decision.viewer.serve(scope, receive, send, head)
        finally:
            self._viewers.remove(decision.viewer)
            decision.place.free()

    def _job_of(self, scope: Scope) -> str | None:
        """Return the job's id in the path of a stream, or ``MANY``; None for other requests.

        Also normalizes the scope: its path begins with ``root_path``, and its query is ASCII.
        """
        path = scope["path"]
        if not path.startswith("/"):
            path = scope["path"] = _path_of(path)
        if self._prefix is not None and (scope.get("root_path") or self._prefix.trusts_forwarded):
            self._prefix.normalize(scope)
        if not scope["query_string"].isascii():
            scope["query_string"] = utf8_query(scope["query_string"])
        if scope["type"] != "http" or scope["method"] not in _METHODS:
            return None
        path, root = scope["path"], scope.get("root_path", "")
        match = _PATH.fullmatch(path.removeprefix(root)) if path.startswith(root) else None
        return None if match is None else match[1] or MANY


def _release(scope: Scope) -> None:
    """Remove the decision from a scope, and the traceback of its error: both form cycles."""
    decision = scope.pop(_KEY)
    if isinstance(decision, Refusal):
        decision.error.__traceback__ = None


def _path_of(target: str) -> str:
    """Return the path of a request target in absolute form (RFC 9112 §3.2.2).

    Quart raises an error on a target without a path.
    """
    try:
        return urlsplit(target).path or "/"
    except ValueError:
        return f"/{target}"  # there is no such route
