"""The id of a log entry, as Redis Streams write it: ``<milliseconds>-<sequence>``."""

import re
from datetime import UTC, datetime

_ENTRY_ID = re.compile(r"([0-9]{1,20})-([0-9]{1,20})")

_MAX_PART = 2**64 - 1


def position(entry_id: str) -> tuple[int, int]:
    """Return what two ids are compared by.

    Args:
        entry_id: a well-formed id, such as Redis gives.

    Raises:
        ValueError: it is not well formed.
    """
    milliseconds, _, sequence = entry_id.partition("-")
    return int(milliseconds), int(sequence)


def is_after(entry_id: str, other: str) -> bool:
    """Say whether an id is above another; both are well formed."""
    # Thirteen digits last until the year 2286: ids of one length are compared as they stand.
    if len(entry_id) == len(other) and entry_id[13:14] == "-" == other[13:14]:
        return entry_id > other
    return position(entry_id) > position(other)


def parse_cursor(text: str | None) -> str | None:
    """Return a ``Last-Event-ID`` as an id that Redis takes, or None when it can't be one.

    Args:
        text: what a viewer sent; anything.
    """
    match = _ENTRY_ID.fullmatch(text) if text else None
    if match is None or not text or not text.isascii():
        return None
    milliseconds, sequence = int(match[1]), int(match[2])
    if max(milliseconds, sequence) > _MAX_PART:
        return None
    return f"{milliseconds}-{sequence}"


def timestamp(entry_id: str) -> str:
    """Return when an entry was made, as ISO 8601 in UTC with milliseconds and ``Z``."""
    seconds, milliseconds = divmod(position(entry_id)[0], 1000)
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds:03d}Z"


def is_stored_id(text: str) -> bool:
    """Say whether a text is an id that Redis can have given, of a time that a date can say."""
    return parse_cursor(text) == text and position(text)[0] < 10**14
