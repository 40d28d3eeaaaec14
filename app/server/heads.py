"""Cached heads of stream responses, as Hypercorn and h11 encode them.

Building and validating a head takes 14 % of the CPU of a connect. The heads of streams differ only
by date and, with CORS, by origin; a cached head is used for one second.
"""

import time
from functools import lru_cache
from typing import Any, Final

import h11
from hypercorn.protocol.http_stream import ASGIHTTPState, HTTPStream

from app.asgi import Message

_REQUEST: Final = b"GET / HTTP/1.1\r\nHost: any\r\n\r\n"
_CHUNKED: Final = (b"transfer-encoding", b"chunked")

_MOST: Final = 64
"""Cached heads, one for each origin: few services allow as many."""


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
    response, data = _encode(protocol.config, tuple(head["headers"]), int(time.time()))
    process(h11.SERVER, response)  # what h11's ``send`` does, without the encoding
    stream.response = head  # type: ignore[assignment]  # a mapping of that shape
    stream.state = ASGIHTTPState.RESPONSE
    return data


@lru_cache(_MOST)
def _encode(
    config: Any,  # noqa: ANN401 - Hypercorn's
    headers: tuple[tuple[bytes, bytes], ...],
    _second: int,
) -> tuple[h11.Response, bytes]:
    """Return a response as h11 records it after sending, and the bytes that h11 would send.

    ``_second`` is only part of the cache key, because the head contains the date.
    """
    sent = [*headers, *config.response_headers("h11")]
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(_REQUEST)
    connection.next_event()
    data = connection.send(h11.Response(status_code=200, headers=sent)) or b""
    return h11.Response(status_code=200, headers=[*sent, _CHUNKED]), data
