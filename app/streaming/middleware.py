"""The ASGI wrapper that serves streams, so that Quart need not hold them.

A crowd of viewers comes at once and stays for ten minutes. Inside Quart each of them would cost a
request context, two tasks and a response on its way in, and keep some of it. So a stream is decided
about ahead of Quart. Quart answers all that ends, and says once for each kind of request how the
head of a stream looks, CORS headers and all; the streams themselves are served here.
"""

import asyncio
import re
from typing import Any, Final, cast
from urllib.parse import urlsplit

from app.prefix import Prefix
from app.raw_request import RawRequest, legible
from app.server.behind_send import Send
from app.server.transport import Message, Receive, Scope, outlet_for
from app.streaming.decision import Decision, Open, Refused, Streams, Told
from app.streaming.viewers import Viewers

PATIENCE_S: Final = 60.0
"""How long a viewer may take to read what there is of a finished job; it resumes after that."""

_KEY: Final = "jobcast.decision"
_PATH: Final = re.compile(r"/*api/v1/jobs/([^/]+)/stream/?")
"""The addresses that Quart routes to ``app.routes.stream``; a test compares them."""

_MOST_HEADS: Final = 100
_METHODS: Final = frozenset({"GET", "HEAD"})
Application = Any


def decision_of(scope: object) -> Decision | None:
    """Return what was decided about a request; None of one that asks for no stream."""
    return cast("dict[str, Any]", scope).get(_KEY)


class StreamMiddleware:
    """Serves the streams of a wrapped application.

    Args:
        application: answers everything else.
        streams: decides about them.
        viewers: counts them.
        prefix: finds what is asked for below the prefix of the service, if there may be one.
    """

    def __init__(
        self,
        application: Application,
        streams: Streams,
        viewers: Viewers,
        prefix: Prefix | None = None,
    ) -> None:
        self._application = application
        self._prefix = prefix
        self._streams = streams
        self._viewers = viewers
        self._heads: dict[tuple[str, str | None], Message] = {}
        self._making = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if "path" in scope:
            scope["path"] = _path_of(scope["path"])
            if self._prefix is not None:
                self._prefix.settle(scope)
            scope["query_string"] = legible(scope["query_string"])
        text = _job_of(scope)
        if text is None:
            await self._application(scope, receive, send)
            return
        asked = RawRequest(scope)
        decision = await self._streams.decide(asked, text)
        if not isinstance(decision, Open):
            scope[_KEY] = decision
            # There is no limit to how many may read of finished jobs, so there is one to how long.
            outlet = outlet_for(send)
            patience = asyncio.get_running_loop().call_later(PATIENCE_S, outlet.abort)
            try:
                await self._application(scope, receive, send)
            finally:
                patience.cancel()
                _let_go(scope)
            return
        with decision.place:
            kind = (scope["http_version"], asked.headers.get("Origin"))
            del asked  # for all the time that the stream is open
            head = self._heads.get(kind) or await self._head(kind, scope)
            self._viewers.open(decision.viewer)
            try:
                await decision.viewer.serve(scope, receive, send, head)
            finally:
                self._viewers.close(decision.viewer)

    async def _head(self, kind: tuple[str, str | None], scope: Scope) -> Message:
        """Have Quart answer with a stream of nothing, and keep its head for requests of a kind."""
        said: list[Message] = []

        async def listen(message: Message) -> None:
            said.append(message)

        async with self._making:  # the first one for a crowd that came together
            if kind not in self._heads:
                await self._application({**scope, _KEY: Told(b"")}, _nothing_more, listen)
                if len(self._heads) >= _MOST_HEADS:  # an origin may be any text
                    self._heads.clear()
                self._heads[kind] = said[0]
            return self._heads[kind]


def _let_go(scope: Scope) -> None:
    """Part a request from what was decided: an error, and the frames that it went through."""
    decision = scope.pop(_KEY)
    if isinstance(decision, Refused):
        decision.error.__traceback__ = None


def _job_of(scope: Scope) -> str | None:
    """Return what stands for the job's id in the address of a stream."""
    if scope["type"] != "http" or scope["method"] not in _METHODS:
        return None
    path, root = scope["path"], scope.get("root_path", "")
    match = _PATH.fullmatch(path.removeprefix(root)) if path.startswith(root) else None
    return None if match is None else match[1]


def _path_of(target: str) -> str:
    """Return the path of what was asked for, which may be a whole address: RFC 9112 §3.2.2.

    Quart, left to find it, fails with an exception where there is none.
    """
    if target.startswith("/"):
        return target
    try:
        return urlsplit(target).path or "/"
    except ValueError:
        return f"/{target}"  # where nothing is


async def _nothing_more() -> Message:
    never: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
    return await never
