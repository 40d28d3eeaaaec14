"""The id of a log entry, as Redis Streams write it: ``<milliseconds>-<sequence>``."""

import re
from datetime import UTC, datetime

_ENTRY_ID = re.compile(r"([0-9]{1,20})-([0-9]{1,20})")

_MAX_PART = 2**64 - 1


def position(entry_id: str) -> tuple[int, int]:
    """Return an id as a sort key.

    Raises:
        ValueError: the id is malformed.
    """
    milliseconds, _, sequence = entry_id.partition("-")
    return int(milliseconds), int(sequence)


def is_after(entry_id: str, other: str) -> bool:
    """Return whether an entry follows another, by their well-formed ids."""
    # Milliseconds have 13 digits until the year 2286; ids of equal length compare as strings.
    if len(entry_id) == len(other) and entry_id[13:14] == "-" == other[13:14]:
        return entry_id > other
    return position(entry_id) > position(other)


def parse_cursor(text: str | None) -> str | None:
    """Return a viewer's ``Last-Event-ID`` as an id that Redis accepts; None if it is invalid."""
    match = _ENTRY_ID.fullmatch(text) if text else None
    if match is None or not text or not text.isascii():
        return None
    milliseconds, sequence = int(match[1]), int(match[2])
    if max(milliseconds, sequence) > _MAX_PART:
        return None
    return f"{milliseconds}-{sequence}"


def timestamp(entry_id: str) -> str:
    """Return an id's time as ISO 8601 in UTC with milliseconds and ``Z``."""
    seconds, milliseconds = divmod(position(entry_id)[0], 1000)
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds:03d}Z"


def is_stored_id(text: str) -> bool:
    """Return whether Redis may have assigned this id, at a time that ``datetime`` can represent."""
    return parse_cursor(text) == text and position(text)[0] < 10**14
