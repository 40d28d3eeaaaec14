"""The ASGI wrapper that serves streams, so that Quart need not hold them.

A crowd of viewers comes at once and stays for ten minutes. Inside Quart each of them would cost a
request context, two tasks and a response on its way in, and keep some of it. So a stream is decided
about ahead of Quart. Quart answers all that ends; the streams that stay open are served here.
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
from app.streaming.decision import Decision, LiveStream, Refusal, Streams
from app.streaming.head import StreamHead
from app.streaming.viewers import Viewers

READ_TIMEOUT_S: Final = 60.0
"""How long a viewer may take to read what there is of a finished job; it resumes after that."""

_KEY: Final = "jobcast.decision"
_PATH: Final = re.compile(r"/*api/v1/jobs/([^/]+)/stream/?")
"""The addresses that Quart routes to ``app.routes.stream``; a test compares them."""

_METHODS: Final = frozenset({"GET", "HEAD"})


def decision_of(scope: object) -> Decision | None:
    """Return what was decided about a request; None of one that asks for no stream."""
    return cast("dict[str, Any]", scope).get(_KEY)


class StreamMiddleware:
    """Serves the streams of a wrapped application.

    Args:
        application: answers everything else.
        streams: decides about them.
        viewers: counts them.
        head: makes the first message of their responses.
        prefix: finds what is request for below the prefix of the service, if there may be one.
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
        """Answer one request, or begin and end with the server."""
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
            # There is no limit to how many may read of finished jobs, so there is one to how long.
            outlet = outlet_for(send)
            patience = asyncio.get_running_loop().call_later(READ_TIMEOUT_S, outlet.abort)
            try:
                await self._application(scope, receive, send)
            finally:
                patience.cancel()
                _release(scope)
            return
        head = self._head.of(scope["http_version"], request.headers.get("Origin"))
        del request  # for all the time that the stream is open
        self._viewers.open(decision.viewer)
        try:
            await decision.viewer.serve(scope, receive, send, head)
        finally:
            self._viewers.close(decision.viewer)
            decision.place.free()

    def _job_of(self, scope: Scope) -> str | None:
        """Return the job's id in the address of a stream; None of any other request.

        The path of the scope start with its ``root_path`` from then on, and its query is ASCII.
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
        return None if match is None else match[1]


def _release(scope: Scope) -> None:
    """Part a request from what was decided: an error, and the frames that it went through."""
    decision = scope.pop(_KEY)
    if isinstance(decision, Refusal):
        decision.error.__traceback__ = None


def _path_of(target: str) -> str:
    """Return the path of what was request for, which may be a whole address: RFC 9112 §3.2.2.

    Quart, left to find it, fails with an exception where there is none.
    """
    try:
        return urlsplit(target).path or "/"
    except ValueError:
        return f"/{target}"  # where nothing is
