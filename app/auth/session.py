"""The session ids of a request."""

from typing import Any, Final

import msgspec
from msgspec import Struct

from app.raw_request import RawRequest

MAX_ID: Final = 255
"""The longest id of a session or a user, in characters."""

_NO_SESSION: Final = frozenset({"", "null", "undefined"})


class _Body(Struct, rename="camel"):
    session_id: Any = None


def session_id(text: object) -> str | None:
    """Return a session id as it counts, or None where the text is no session at all."""
    if not isinstance(text, str):
        return None
    trimmed = text.strip()
    if trimmed in _NO_SESSION or len(trimmed) > MAX_ID:
        return None
    return trimmed


def body_session(body: bytes) -> str | None:
    """Return the ``sessionId`` of a JSON body that may be anything."""
    try:
        return session_id(msgspec.json.decode(body, type=_Body).session_id)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def session_of(asked: RawRequest) -> str | None:
    """Return the first session id of the header, else of the query."""
    for text in asked.headers.getlist("x-session-id"):
        if (found := session_id(text if text.isascii() else _of_header(text))) is not None:
            return found
    for name in ("sessionId", "sessionid"):
        for text in asked.args.getlist(name):
            if (found := session_id(text)) is not None:
                return found
    return None


def _of_header(text: str) -> str:
    """Return a header's text, whose bytes are read as UTF-8 if they are.

    Otherwise they are Latin-1, which is what ``fetch`` in a browser sends.
    """
    try:
        return text.encode("latin-1").decode()
    except UnicodeDecodeError:
        return text
