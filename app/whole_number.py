"""Whole numbers in texts that users give."""

import re
from typing import Final

_WHOLE: Final = re.compile("[0-9]{1,9}")


def whole_number(text: str, most: int) -> int:
    """Return a number from 1 to ``most``, of ASCII digits alone.

    Raises:
        ValueError: the text is none.
    """
    if _WHOLE.fullmatch(text) is None or not 1 <= int(text) <= most:
        raise ValueError(f"{text[:80]!r} is no whole number from 1 to {most}")
    return int(text)
