"""JSON text: of any language that is read, compact what is written."""

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
# Made once: an encoder a call is half of what a short text takes.
_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def from_json(text: bytes) -> object:
    """Return the value of JSON that any language may have written; ValueError if it is none.

    A lone surrogate is U+FFFD, as in the service, and NaN or an infinity is None: `to_json` takes
    the value back.
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
    """Return one line of compact JSON, UTF-8 unescaped; InvalidEvent, naming ``what``, otherwise.

    Refused are values that JSON lacks (NaN and infinity among them), text that is not Unicode
    (lone surrogates), and what is more than 1 MiB.
    """
    try:
        text = _encode(value)
        size = len(text.encode())
    except Exception as error:  # containers of a class of their own may raise any
        raise InvalidEvent(f"{what} can't be written as JSON: {text_of(error)}") from error
    if size > MAX_EVENT_BYTES:
        raise too_large(what, size)
    return text


def too_large(what: str, size: int) -> InvalidEvent:
    """Return the refusal of what has so many bytes."""
    return InvalidEvent(f"{what} has {size} bytes of JSON, more than {MAX_EVENT_BYTES}")
