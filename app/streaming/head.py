"""The head of a stream's response, as Quart would send it."""

from collections.abc import Sequence
from typing import Final

from app.asgi import Message

EXPOSED: Final = ("location", "retry-after")
"""Response headers that pages of other origins may read."""

_HEADERS: Final = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
)
_EXPOSE: Final = (b"access-control-expose-headers", ", ".join(EXPOSED).encode())
_VARY: Final = (b"vary", b"Origin")


class StreamHead:
    """Builds the first message of a stream's response.

    Args:
        origins: allowed origins; ``*`` allows all, without credentials.
    """

    def __init__(self, origins: Sequence[str]) -> None:
        self._origins = frozenset(origins)
        self._is_open = "*" in self._origins

    def of(self, version: str, origin: str | None) -> Message:
        """Return the head for an HTTP version and the ``Origin`` header."""
        headers = [*_HEADERS]
        if version == "1.1":
            headers.append((b"connection", b"keep-alive"))
        if origin and self._is_open:
            headers += ((b"access-control-allow-origin", b"*"), _EXPOSE)
        elif origin is not None and origin in self._origins:
            allowed = (b"access-control-allow-origin", origin.encode())
            headers += (allowed, (b"access-control-allow-credentials", b"true"), _EXPOSE, _VARY)
        elif self._origins:
            headers.append(_VARY)
        return {"type": "http.response.start", "status": 200, "headers": headers}
