"""What a connection got back, read strictly: whole answers of HTTP/1.1, errors as promised."""

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from tests.support.sse import Parser

CODES: Final = frozenset(
    {
        *("UNAUTHORIZED", "JOB_NOT_FOUND", "BAD_REQUEST", "JOB_NOT_CANCELLABLE", "JOB_NOT_FAILED"),
        *("IDEMPOTENCY_CONFLICT", "TOO_MANY_STREAMS", "SERVICE_UNAVAILABLE", "NOT_FOUND"),
        *("METHOD_NOT_ALLOWED", "FORBIDDEN", "TOO_LARGE", "JOB_EXISTS", "JOB_FINISHED"),
        *("JOB_STALLED", "JOB_SUPERSEDED", "JOB_NOT_RUNNING"),
    }
)
"""The codes of the contract, but for INTERNAL: that would be a fault of the service."""

_OF_THE_SERVER: Final = frozenset({400, 403, 405, 431, 501, 505})
"""What Hypercorn answers itself, without a body, to what is no HTTP or what it does not serve."""
_HEAD: Final = re.compile(
    rb"HTTP/1\.1 ([1-5][0-9]{2})[^\r\n]*\r\n((?:[!-9;-~]+:[^\r\n]*\r\n)*)\r\n"
)
_BLOCK: Final = re.compile(
    rb"(: [^\r\n]*\n|retry: [0-9]+\n|(id: [0-9]+-[0-9]+\n)?event: [a-z][a-z0-9-]{0,63}\n"
    rb"data: [^\r\n]*\n|: unavailable\nretry: [0-9]+\n)\n"
)


@dataclass
class Answer:
    """One answer; ``whole`` unless the connection ended within it."""

    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool


def answers(received: bytes) -> list[Answer]:
    """Return the answers that came over a connection; AssertionError where it is no HTTP/1.1."""
    found = []
    while received:
        head = _HEAD.match(received)
        if (
            head is None
            and b"\r\n\r\n" not in received
            and b"HTTP/1.1 "[:9].startswith(received[:9])
        ):
            break  # cut within its head
        assert head is not None, f"no head of an answer: {received[:200]!r}"
        status, received = int(head[1]), received[head.end() :]
        lines = head[2].decode("latin-1").split("\r\n")[:-1]
        pairs = [line.partition(":") for line in lines]
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        body, received, whole = _body(headers, received)
        if status >= 200:
            found.append(Answer(status, headers, body, whole))
    return found


def check(answer: Answer) -> None:
    """Check what is promised of every answer."""
    assert b"Traceback" not in answer.body
    kind = answer.headers.get("content-type", "")
    if kind == "text/event-stream":
        assert answer.status == 200
        check_frames(answer.body, whole=answer.whole)
    elif answer.status >= 400 and not kind:
        assert answer.status in _OF_THE_SERVER
        assert not answer.body
    elif answer.status >= 400:
        assert answer.status < 500, answer
        assert kind == "application/json"
        if answer.whole and answer.body:  # none to HEAD
            check_error(json.loads(answer.body))
    else:
        assert answer.status in {200, 201, 204, 206, 304}, answer


def check_error(body: Any, *, ours: bool = False) -> None:  # noqa: ANN401 - any JSON
    """Check that a body is an error of the contract; INTERNAL if it is ``ours`` and no caller's."""
    assert [name for name in body if name != "ids"] == ["success", "error", "message", "code"]
    assert body["success"] is False
    assert body["code"] in ({"INTERNAL"} if ours else CODES)
    assert isinstance(body["error"], str)
    assert isinstance(body["message"], str)


def check_frames(body: bytes, *, whole: bool = True) -> None:
    """Check that a body is nothing but blocks of a stream, which a browser can read."""
    end = 0
    while block := _BLOCK.match(body, end):
        end = block.end()
    assert end == len(body) or not whole, f"no block of a stream: {body[end:][:200]!r}"
    Parser().feed(body[:end])


def _body(headers: dict[str, str], received: bytes) -> tuple[bytes, bytes, bool]:
    """Return a body, what comes after it, and whether it is whole."""
    if headers.get("transfer-encoding") == "chunked":
        return _chunks(received)
    length = headers.get("content-length")
    if length is not None:
        if received.startswith(b"HTTP/1.1 "):
            return b"", received, True  # an answer to HEAD
        return received[: int(length)], received[int(length) :], len(received) >= int(length)
    if received.startswith(b"HTTP/1.1 "):
        return b"", received, True
    return received, b"", False  # until the connection ends


def _chunks(received: bytes) -> tuple[bytes, bytes, bool]:
    body = b""
    if received.startswith(b"HTTP/1.1 "):
        return b"", received, True
    while received:
        size, line_end, rest = received.partition(b"\r\n")
        if not line_end:
            break
        length = int(size, 16)
        chunk, after = rest[:length], rest[length:]
        body += chunk
        if not after.startswith(b"\r\n"):
            assert b"\r\n".startswith(after[:2]), f"a chunk is longer than it says: {after[:50]!r}"
            return body, b"", False
        received = after[2:]
        if length == 0:
            return body, received, True
    return body, b"", False
