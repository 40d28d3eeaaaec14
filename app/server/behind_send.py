"""What is behind an ASGI ``send``: Hypercorn's parts, or those of another server.

They are private to the server, so each step is looked at, and where one is not what is expected,
there is nothing to be found.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

Send = Callable[[Any], Awaitable[None]]


def server_behind(send: Send) -> Any:  # noqa: ANN401 - Hypercorn's own
    """Find who has Hypercorn's writer: app_send, then H11Protocol.stream_send, then TCPServer."""
    stream = getattr(send, "__self__", None)
    protocol = getattr(getattr(stream, "send", None), "__self__", None)
    server = getattr(getattr(protocol, "send", None), "__self__", None)
    names = tuple(type(owner).__name__ for owner in (stream, protocol, server))
    if names != ("HTTPStream", "H11Protocol", "TCPServer"):
        return None
    return server if isinstance(getattr(server, "writer", None), asyncio.StreamWriter) else None


def abort_behind(send: Send) -> Callable[[], None] | None:
    """Find how to close a connection of Uvicorn: ``send`` belongs to a cycle with a transport."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    abort: Callable[[], None] | None = getattr(transport, "abort", None)
    return abort


def is_chunked(stream: Any) -> bool:  # noqa: ANN401 - Hypercorn's own
    """Say whether a response that has a body was begun in HTTP/1.1's chunked coding."""
    response = getattr(stream, "response", None)
    if not isinstance(response, dict) or response.get("status") != 200:  # noqa: PLR2004
        return False
    return all(name.lower() != b"content-length" for name, _ in response.get("headers", ()))


def socket_of(transport: asyncio.WriteTransport) -> int | None:
    """Return the file descriptor behind a transport; None if it is no socket, or speaks TLS."""
    socket = transport.get_extra_info("socket")
    if socket is None or transport.get_extra_info("sslcontext") is not None:
        return None
    number: int = socket.fileno()
    return number
