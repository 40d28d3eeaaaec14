"""Lenient parsing of JSON that strict parsers reject.

The append script does not validate JSON, and JSON libraries of other languages produce lone
surrogates, where a text was truncated within a character, or NaN.
"""

import json
import math
import re
from typing import Any, Final

import msgspec

_MAX_DIGITS: Final = 300
"""Longest integer that is sure to fit into a float."""

_LONE_SURROGATE: Final = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")
"""A lone surrogate as ``surrogatepass`` encodes it."""

_REPLACEMENT: Final = "\ufffd".encode()
_BYTE_ORDER_MARK: Final = "\ufeff"


def salvage(text: str) -> bytes:
    """Return malformed JSON as one line of valid JSON.

    A lone surrogate becomes U+FFFD; NaN, infinities and numbers beyond any float become null. Of
    duplicate keys the last one counts.

    Raises:
        ValueError: the text is beyond repair, or nested too deeply.
    """
    try:
        value = _decoder.decode(text.removeprefix(_BYTE_ORDER_MARK))
        line = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return _LONE_SURROGATE.sub(_REPLACEMENT, line.encode(errors="surrogatepass"))


def salvage_value(text: str) -> Any:  # noqa: ANN401 - any JSON
    """Salvage JSON and decode it; raises the errors of ``salvage``."""
    try:
        return msgspec.json.decode(salvage(text))
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(str(error)) from error


def salvage_object(text: str) -> dict[str, Any]:
    """Salvage JSON and decode it; raises ValueError also if it is not an object."""
    value = salvage_value(text)
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004 - the text is wrong, not a type
    return value


def percent(value: object) -> int:
    """Clamp a number to an integer from 0 to 100; raises ValueError if it is no number."""
    return min(100, max(0, int(_number(value))))


def seconds(value: object) -> float:
    """Return a number of seconds; raises ValueError if it is no number or less than 0."""
    number = _number(value)
    if number < 0:
        raise ValueError(f"{number} is less than 0")
    return number


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


_decoder: Final = json.JSONDecoder(
    strict=False,
    parse_float=_finite,
    parse_int=lambda text: int(text) if len(text) <= _MAX_DIGITS else None,
    parse_constant=lambda _: None,
)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("not a number")  # noqa: TRY004 - the data is wrong, not a type
    return value
