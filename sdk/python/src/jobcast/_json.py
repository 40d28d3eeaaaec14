"""JSON: parses what any language writes, and writes compact text."""

import json
import math
from typing import Final

from jobcast._errors import InvalidEvent
from jobcast._failure import text_of

MAX_EVENT_BYTES: Final = 1024 * 1024


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


_decode: Final = json.JSONDecoder(
    strict=False, parse_float=_finite, parse_constant=lambda _: None
).decode
# Built once: building one for each call would double the time to encode a short text.
_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def from_json(text: bytes) -> object:
    """Parse JSON that any language may have written. Raises ValueError if it is not JSON.

    As in the service, a lone surrogate becomes U+FFFD, and NaN or an infinity becomes None, so
    `to_json` accepts the value.
    """
    try:
        value = _decode(text.decode("utf-8-sig", errors="replace"))
        if b"\\u" not in text:
            return value
        written = json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass")
        return json.loads(written.decode("utf-16", "replace"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def to_json(value: object, what: str) -> str:
    """Return one line of compact JSON, UTF-8 unescaped.

    Raises `InvalidEvent`, which names ``what``, if the value contains NaN, an infinity, a lone
    surrogate or anything else that JSON lacks, or is more than 1 MiB.
    """
    try:
        text = _encode(value)
        size = len(text.encode())
    except Exception as error:  # custom container classes may raise anything
        raise InvalidEvent(f"{what} can't be written as JSON: {text_of(error)}") from error
    if size > MAX_EVENT_BYTES:
        raise too_large(what, size)
    return text


def too_large(what: str, size: int) -> InvalidEvent:
    """Return the exception for JSON of ``size`` bytes, which is too large."""
    return InvalidEvent(f"{what} has {size} bytes of JSON, more than {MAX_EVENT_BYTES}")
