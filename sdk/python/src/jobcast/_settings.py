"""What `connect` is given, checked; for both forms of the library."""

from jobcast._errors import InvalidEvent
from jobcast._json import MAX_EVENT_BYTES
from jobcast._outbox import Limits
from jobcast.protocol.append import Bounds
from jobcast.protocol.names import parse_job_id

DAY_SECONDS = 24 * 3600
MIN_ENTRIES = 2
MIN_EVENT_BYTES = 1024
LEASE_S = 60.0
MIN_S = 0.1
BLOCK_S = 30.0
BUFFER_EVENTS = 1000
BUFFER_BYTES = 4 * MAX_EVENT_BYTES


def checked(  # noqa: PLR0913 - settings, each by name
    *,
    retention_s: int,
    max_entries: int,
    max_event_bytes: int,
    lease_s: float | None,
    block_s: float | None,
    buffer_events: int,
    buffer_bytes: int,
) -> tuple[Bounds, Limits]:
    """Return what bounds a job and what bounds its calls; `InvalidEvent` that names the setting."""
    _check_number("retention_s", retention_s, at_least=1)
    _check_number("max_entries", max_entries, at_least=MIN_ENTRIES)
    _check_number("max_event_bytes", max_event_bytes, at_least=MIN_EVENT_BYTES)
    if max_event_bytes > MAX_EVENT_BYTES:
        raise InvalidEvent(f"max_event_bytes must be at most {MAX_EVENT_BYTES}")
    if lease_s is not None:
        check_seconds("lease_s", lease_s)
    if block_s is not None:
        check_seconds("block_s", block_s)
    _check_number("buffer_events", buffer_events, at_least=1)
    _check_number("buffer_bytes", buffer_bytes, at_least=1)
    bounds = Bounds(retention_s, max_entries, max_event_bytes)
    return bounds, Limits(block_s, buffer_events, buffer_bytes)


def checked_attempt(attempt: int | None) -> int | None:
    """Return the number of an attempt, None for any; `InvalidEvent` if it is no number."""
    if attempt is not None:
        _check_number("attempt", attempt, at_least=1)
    return attempt


def canonical(job_id: object) -> str:
    """Return a job id as keys spell it; `InvalidEvent` if it is none."""
    canonical = parse_job_id(job_id)
    if canonical is None:
        raise InvalidEvent("job_id must be 1 to 128 letters, digits, dots, underscores and hyphens")
    return canonical


def check_seconds(name: str, seconds: object) -> None:
    """Raise `InvalidEvent`, which names the setting, unless this is a number of seconds."""
    if (
        isinstance(seconds, bool)
        or not isinstance(seconds, int | float)
        or not MIN_S <= seconds <= DAY_SECONDS
    ):
        raise InvalidEvent(
            f"{name} must be a number of seconds from {MIN_S} to {DAY_SECONDS}, or None"
        )


def _check_number(name: str, value: object, *, at_least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
        raise InvalidEvent(f"{name} must be a whole number, {at_least} or more")
