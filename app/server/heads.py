"""The head of a stream's response, as Hypercorn and h11 write it, made once a second.

For each response Hypercorn builds the head and h11 checks it, which is a seventh of the CPU that a
connect costs. The heads of streams differ by their date and, with CORS, by their origin.
"""

import time
from typing import Any, Final

import h11
from hypercorn.protocol.http_stream import ASGIHTTPState, HTTPStream

from app.asgi import Message

_REQUEST: Final = b"GET / HTTP/1.1\r\nHost: any\r\n\r\n"
_CHUNKED: Final = (b"transfer-encoding", b"chunked")

_Made = tuple[h11.Response, bytes]
_made: Final[dict[Any, _Made]] = {}
_made_in: int = 0


def begin(stream: HTTPStream, head: Message) -> bytes | None:
    """Have Hypercorn and h11 take the head of a response for sent, and return its bytes.

    Args:
        stream: Hypercorn's, of a GET over HTTP/1.1.
        head: the first ASGI message of the response: a 200 without ``Content-Length``.

    Returns:
        What has to be written; None if Hypercorn has to write this head itself: the connection
        closes after this response or is broken, or another h11 has no such way.
    """
    protocol: Any = getattr(stream.send, "__self__", None)
    connection: Any = protocol.connection
    note = getattr(connection, "_process_event", None)
    if (
        note is None
        or not getattr(getattr(connection, "_cstate", None), "keep_alive", False)
        or protocol.keep_alive_requests >= protocol.config.keep_alive_max_requests
        or connection.our_state is not h11.SEND_RESPONSE
        or stream.state is not ASGIHTTPState.REQUEST
    ):
        return None
    response, data = _head(protocol.config, tuple(head["headers"]))
    note(h11.SERVER, response)  # all that h11's ``send`` does, but for the bytes
    stream.response = head  # type: ignore[assignment]  # a mapping of that shape
    stream.state = ASGIHTTPState.RESPONSE
    return data


def _head(config: Any, headers: tuple[tuple[bytes, bytes], ...]) -> _Made:  # noqa: ANN401 - Hypercorn's
    global _made_in  # noqa: PLW0603 - the second whose heads are kept
    now = int(time.time())
    if now != _made_in:
        _made.clear()
        _made_in = now
    made = _made.get((config, headers))
    if made is None:
        made = _made[config, headers] = _make([*headers, *config.response_headers("h11")])
    return made


def _make(headers: list[tuple[bytes, bytes]]) -> _Made:
    """Return a response as h11 knows it once it is sent, and the bytes that h11 sends."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(_REQUEST)
    connection.next_event()
    data = connection.send(h11.Response(status_code=200, headers=headers)) or b""
    return h11.Response(status_code=200, headers=[*headers, _CHUNKED]), data
