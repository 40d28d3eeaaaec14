"""Cached heads of stream responses, as Hypercorn and h11 encode them.

Building and validating a head takes a seventh of the CPU of a connect. The heads of streams differ
only by date and, with CORS, by origin; the cache is valid for one second.
"""

import time
from typing import Any, Final

import h11
from hypercorn.protocol.http_stream import ASGIHTTPState, HTTPStream

from app.asgi import Message

_REQUEST: Final = b"GET / HTTP/1.1\r\nHost: any\r\n\r\n"
_CHUNKED: Final = (b"transfer-encoding", b"chunked")

_Head = tuple[h11.Response, bytes]
_heads: Final[dict[Any, _Head]] = {}
_second: int = 0


def begin_response(stream: HTTPStream, head: Message) -> bytes | None:
    """Mark the head of a response as sent in Hypercorn and h11, and return its bytes.

    Args:
        stream: Hypercorn's stream of a GET over HTTP/1.1.
        head: the first ASGI message of the response: a 200 without ``Content-Length``.

    Returns:
        The bytes to write; None if Hypercorn must send this head itself: the connection closes
        after this response or is broken, or h11 lacks the private method.
    """
    protocol: Any = getattr(stream.send, "__self__", None)
    connection: Any = protocol.connection
    process = getattr(connection, "_process_event", None)
    if (
        process is None
        or not getattr(getattr(connection, "_cstate", None), "keep_alive", False)
        or protocol.keep_alive_requests >= protocol.config.keep_alive_max_requests
        or connection.our_state is not h11.SEND_RESPONSE
        or stream.state is not ASGIHTTPState.REQUEST
    ):
        return None
    response, data = _head(protocol.config, tuple(head["headers"]))
    process(h11.SERVER, response)  # h11's ``send`` without the encoding
    stream.response = head  # type: ignore[assignment]  # a mapping of that shape
    stream.state = ASGIHTTPState.RESPONSE
    return data


def _head(config: Any, headers: tuple[tuple[bytes, bytes], ...]) -> _Head:  # noqa: ANN401 - Hypercorn's
    global _second  # noqa: PLW0603 - the second for which the cache is valid
    now = int(time.time())
    if now != _second:
        _heads.clear()
        _second = now
    head = _heads.get((config, headers))
    if head is None:
        head = _heads[config, headers] = _encode([*headers, *config.response_headers("h11")])
    return head


def _encode(headers: list[tuple[bytes, bytes]]) -> _Head:
    """Return a response as h11 records it once sent, and the bytes that h11 sends."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(_REQUEST)
    connection.next_event()
    data = connection.send(h11.Response(status_code=200, headers=headers)) or b""
    return h11.Response(status_code=200, headers=[*headers, _CHUNKED]), data
