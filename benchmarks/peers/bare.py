"""A stream route and nothing else, no framework, auth or Redis: it sends one state and waits."""

import gc
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]

_BODY = (
    b": ok\n\n"
    b'event: connected\ndata: {"connectionId":"0123456789abcdef0123456789abcdef","jobId":"job-0",'
    b'"maxAgeSeconds":600,"keepaliveSeconds":15}\n\n'
    b'id: 1732382400000-0\nevent: progress-update\ndata: {"progress":0,"currentStep":null,'
    b'"estimatedTimeRemaining":null}\n\n'
)


async def app(
    scope: Message,
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """Answer every request with the same stream."""
    if scope["type"] == "lifespan":
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)  # as Jobcast does
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{message['type']}.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": _BODY, "more_body": True})
    while (await receive())["type"] != "http.disconnect":
        pass
