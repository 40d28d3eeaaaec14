"""The session ids of a request."""

from typing import Any, Final

import msgspec
from msgspec import Struct

from app.raw_request import RawRequest
from schema.http import MAX_ID

_NO_SESSION: Final = frozenset({"", "null", "undefined"})


class _Body(Struct, rename="camel"):
    session_id: Any = None


def session_id(text: object) -> str | None:
    """Return a session id, normalized; None if it is invalid."""
    if not isinstance(text, str):
        return None
    trimmed = text.strip()
    if trimmed in _NO_SESSION or len(trimmed) > MAX_ID:
        return None
    return trimmed


def body_session(body: bytes) -> str | None:
    """Return the ``sessionId`` of a request body; None if it has no valid one."""
    try:
        return session_id(msgspec.json.decode(body, type=_Body).session_id)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def session_of(request: RawRequest) -> str | None:
    """Return the first valid session id of the header, else of the query; None without one."""
    for text in request.headers.getlist("x-session-id"):
        if (found := session_id(text if text.isascii() else _decode_header(text))) is not None:
            return found
    for name in ("sessionId", "sessionid"):
        for text in request.args.getlist(name):
            if (found := session_id(text)) is not None:
                return found
    return None


def _decode_header(text: str) -> str:
    """Decode a header as UTF-8, else as Latin-1, which ``fetch`` in a browser sends."""
    try:
        return text.encode("latin-1").decode()
    except UnicodeDecodeError:
        return text
