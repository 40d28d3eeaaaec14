"""The ASGI wrapper that lets Quart finish while a stream stays open.

A Quart handler decides about a stream and answers with its head and first event. Held open for
ten minutes inside Quart, a response would keep a request context, two tasks and its wrappers
alive. So the handler leaves a ``Stream`` in the scope; this wrapper withholds the message that
would end the response, lets Quart finish, and serves the stream itself.
"""

from contextlib import ExitStack
from typing import Any, Final

from msgspec import Struct

from app.transport import Message, Receive, Scope, Send
from app.viewer import Viewer
from app.viewers import Viewers

_KEY: Final = "jobcast.stream"
Application = Any


class Stream(Struct):
    """What the handler leaves: who watches, and the place that is held for it."""

    viewer: Viewer
    place: ExitStack


def hand_off(scope: Scope, stream: Stream) -> None:
    """Have a stream served when Quart has sent the handler's response."""
    scope[_KEY] = stream


class StreamHandoff:
    """Serves streams that a wrapped application hands off."""

    def __init__(self, application: Application, viewers: Viewers) -> None:
        self._application = application
        self._viewers = viewers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or "/stream" not in scope["path"]:
            await self._application(scope, receive, send)
            return
        handed = gone = False

        async def withholding(message: Message) -> None:
            nonlocal handed
            ends = message["type"] == "http.response.body" and not message.get("more_body", False)
            if ends and _KEY in scope:
                handed = True
                if message.get("body"):
                    await send({**message, "more_body": True})
            else:
                await send(message)

        async def listening() -> Message:
            nonlocal gone
            message = await receive()
            gone = gone or message["type"] == "http.disconnect"
            return message

        try:
            await self._application(scope, listening, withholding)
            if handed and not gone:
                stream: Stream = scope[_KEY]
                with self._viewers.opened(stream.viewer):
                    await stream.viewer.serve(scope, receive, send)
        finally:
            if _KEY in scope:
                scope.pop(_KEY).place.close()
