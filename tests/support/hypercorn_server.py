"""Hypercorn within the test's process, so that a test sees what its ASGI application gets."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

from hypercorn.asyncio import serve
from hypercorn.config import Config

from tests.support.valkey import HOST

Application = Callable[[Any, Any, Any], Awaitable[None]]


@asynccontextmanager
async def serving(application: Application, **options: object) -> AsyncIterator[str]:
    """Serve an application for the length of the block, which gets its URL.

    ``options`` are set in the server's configuration.
    """

    async def with_lifespan(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI's
        if scope["type"] != "lifespan":
            await application(scope, receive, send)
            return
        for answer in ("lifespan.startup.complete", "lifespan.shutdown.complete"):
            await receive()
            await send({"type": answer})

    listener = socket.create_server((HOST, 0))
    port = listener.getsockname()[1]
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.errorlog = config.accesslog = None
    config.graceful_timeout = 0
    for name, value in options.items():
        setattr(config, name, value)
    over = asyncio.Event()
    task = asyncio.create_task(
        serve(cast("Any", with_lifespan), config, shutdown_trigger=over.wait)
    )
    try:
        yield f"http://{HOST}:{port}"
    finally:
        over.set()
        await task
