"""What can be read of JSON that a strict reader refuses.

A worker in another language appends what its own JSON library writes, and the append script looks
into none of it: half an emoji of a text that was cut, a NaN.
"""

import json
import math
import re
from typing import Any, Final

import msgspec

_MOST_DIGITS: Final = 300
"""Of a whole number: one that is longer is more than a float can be."""

_LONE: Final = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")
"""A surrogate without its other half, as ``surrogatepass`` encodes it."""
_REPLACEMENT: Final = "\ufffd".encode()
_BYTE_ORDER_MARK: Final = "\ufeff"


def salvaged(text: str) -> bytes:
    """Return JSON as one line that says the same, as far as JSON and UTF-8 can.

    A lone surrogate becomes U+FFFD, and a number that JSON does not have (NaN, an infinity, one
    that is larger than any float) null. The last of several equal keys counts.

    Raises:
        ValueError: it is not JSON even so, or is nested too deeply.
    """
    try:
        value = _decoder.decode(text.removeprefix(_BYTE_ORDER_MARK))
        line = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return _LONE.sub(_REPLACEMENT, line.encode(errors="surrogatepass"))


def salvaged_value(text: str) -> Any:  # noqa: ANN401 - any JSON
    """Return the value of JSON as ``salvaged`` reads it.

    Raises:
        ValueError: it is not JSON even so, or is nested too deeply.
    """
    try:
        return msgspec.json.decode(salvaged(text))
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(str(error)) from error


def salvaged_object(text: str) -> dict[str, Any]:
    """Return the object of JSON as ``salvaged`` reads it.

    Raises:
        ValueError: it is no object even so.
    """
    value = salvaged_value(text)
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004 - the text is wrong, not a type
    return value


def percent(value: object) -> int:
    """Return the nearest percentage to any JSON value.

    Raises:
        ValueError: it is no number.
    """
    return min(100, max(0, int(_number(value))))


def seconds(value: object) -> float:
    """Return a JSON value as seconds.

    Raises:
        ValueError: it is no number, or less than 0.
    """
    number = _number(value)
    if number < 0:
        raise ValueError(f"{number} is less than 0")
    return number


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _whole(text: str) -> int | None:
    return int(text) if len(text) <= _MOST_DIGITS else None


_decoder: Final = json.JSONDecoder(
    strict=False, parse_float=_finite, parse_int=_whole, parse_constant=lambda _: None
)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("not a number")  # noqa: TRY004 - the data are wrong, not a type
    return value
