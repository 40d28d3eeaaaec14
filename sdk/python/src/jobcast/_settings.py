"""Validation of settings: the arguments of `connect`, and numbers in variables of commands."""

import math
import re

from jobcast._errors import InvalidEvent
from jobcast._json import MAX_EVENT_BYTES
from jobcast._level import is_number
from jobcast._outbox import Limits
from jobcast._pace import PROGRESS_PER_S
from jobcast.protocol.append import Bounds
from jobcast.protocol.names import parse_job_id

DAY_SECONDS = 24 * 3600
MAX_RETENTION_S = 10 * 365 * DAY_SECONDS
MIN_ENTRIES = 2
MAX_ENTRIES = 1_000_000
MIN_EVENT_BYTES = 1024
LEASE_S = 60.0
MIN_S = 0.1
BLOCK_S = 30.0
BUFFER_EVENTS = 1000
BUFFER_BYTES = 4 * MAX_EVENT_BYTES
MIN_PER_S = 0.01
MAX_PER_S = 1000
_MAX_SHOWN = 80


def checked(  # noqa: PLR0913 - keyword-only settings
    *,
    retention_s: int,
    max_entries: int,
    max_event_bytes: int,
    lease_s: float | None,
    block_s: float | None,
    buffer_events: int,
    buffer_bytes: int,
    progress_per_s: float | None = PROGRESS_PER_S,
) -> tuple[Bounds, Limits]:
    """Return the bounds of jobs and the limits of calls.

    Raises `InvalidEvent`, which names the setting, if one is out of range.
    """
    bounds = Bounds(
        _whole("retention_s", retention_s, at_least=1, at_most=MAX_RETENTION_S),
        _whole("max_entries", max_entries, at_least=MIN_ENTRIES, at_most=MAX_ENTRIES),
        _whole(
            "max_event_bytes", max_event_bytes, at_least=MIN_EVENT_BYTES, at_most=MAX_EVENT_BYTES
        ),
    )
    if lease_s is not None:
        check_seconds("lease_s", lease_s)
    if block_s is not None:
        check_seconds("block_s", block_s)
    events = _whole("buffer_events", buffer_events, at_least=1)
    size = _whole("buffer_bytes", buffer_bytes, at_least=1)
    if progress_per_s is not None and not (
        is_number(progress_per_s) and MIN_PER_S <= progress_per_s <= MAX_PER_S
    ):
        raise InvalidEvent(
            f"progress_per_s must be a number from {MIN_PER_S} to {MAX_PER_S}, or None"
        )
    interval_s = 0.0 if progress_per_s is None else 1 / progress_per_s
    return bounds, Limits(block_s, events, size, interval_s)


def checked_attempt(attempt: int | None) -> int | None:
    """Return the number of an attempt, None for any. Raises `InvalidEvent` if it is invalid."""
    return None if attempt is None else _whole("attempt", attempt, at_least=1)


def canonical(job_id: object) -> str:
    """Return a job id as keys spell it. Raises `InvalidEvent` if it is malformed."""
    canonical = parse_job_id(job_id)
    if canonical is None:
        raise InvalidEvent("job_id must be 1 to 128 letters, digits, dots, underscores and hyphens")
    return canonical


def check_seconds(name: str, seconds: object) -> None:
    """Raise `InvalidEvent`, which names the setting, unless it is from 0.1 s to a day."""
    if (
        isinstance(seconds, bool)
        or not isinstance(seconds, int | float)
        or not MIN_S <= seconds <= DAY_SECONDS
    ):
        raise InvalidEvent(
            f"{name} must be a number of seconds from {MIN_S} to {DAY_SECONDS}, or None"
        )


def parse_seconds(text: str, least: float, most: float) -> float:
    """Return a number of seconds. Raises ValueError unless it is from ``least`` to ``most``."""
    try:  # Python also reads digits of other scripts, and 1_0 as 10
        seconds = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        seconds = math.nan
    if not least <= seconds <= most:
        raise ValueError(
            f"must be a number of seconds from {least:g} to {most:g}, not {shown(text)}"
        )
    return seconds


def parse_whole(text: str, least: int, most: int) -> int:
    """Return a whole number. Raises ValueError unless it is from ``least`` to ``most``."""
    if not re.fullmatch("[0-9]{1,10}", text) or not least <= int(text) <= most:
        raise ValueError(f"must be a whole number from {least} to {most}, not {shown(text)}")
    return int(text)


def shown(text: str) -> str:
    """Return a value for an error message: quoted, and of bounded length."""
    return repr(text[:_MAX_SHOWN])


def _whole(name: str, value: object, *, at_least: int, at_most: int | None = None) -> int:
    """Return a whole number as a plain int. Raises `InvalidEvent` if it is none or out of range."""
    if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
        raise InvalidEvent(f"{name} must be a whole number, {at_least} or more")
    if at_most is not None and value > at_most:
        raise InvalidEvent(f"{name} must be at most {at_most}")
    return int.__int__(value)
