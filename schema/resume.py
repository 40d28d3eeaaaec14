"""Where a viewer's events begin, and whether it can resume from its cursor."""

from enum import Enum

from schema.entry_id import parse_cursor, position
from schema.state import JobState


class From(Enum):
    """Values of ``?from=``, for a viewer without a cursor."""

    START = "start"
    """Every entry of the current attempt, from its first."""


class Reason(Enum):
    """Why a viewer can't resume from its cursor, as sent in ``reset``."""

    ATTEMPT = "attempt"
    """The entry belongs to an earlier attempt."""

    TRIMMED = "trimmed"
    """The entry belongs to the current attempt, but was trimmed from the log."""

    UNKNOWN = "unknown"
    """The log has no such entry: the id is forged or malformed, or Redis lost the entry."""


Beginning = str | From | Reason | None
"""Where a viewer's events begin: after the entry with this id (its cursor), with the attempt's
first entry, with a ``reset`` and the snapshot, or (None) with the snapshot alone."""


def beginning(last_event_id: str | None, from_parameter: str | None) -> Beginning:
    """Return where a viewer's events begin, according to its request.

    Args:
        last_event_id: the ``Last-Event-ID`` header. Empty counts as absent: browsers never send
            an empty one.
        from_parameter: ``?from=``; only ``start`` counts, and only without the header.
    """
    if last_event_id:
        return parse_cursor(last_event_id) or Reason.UNKNOWN
    return From.START if from_parameter == From.START.value else None


def may_have_existed(cursor: str, state: JobState) -> bool:
    """Return whether an entry that is missing from the log may have been trimmed."""
    return position(state.created) <= position(cursor) <= position(state.last)


def reset_reason(cursor: str, state: JobState, oldest: str | None, *, found: bool) -> Reason | None:
    """Return why a viewer can't resume from its cursor; None if it can.

    Args:
        cursor: a well-formed id.
        state: the job's state, read before the log or together with it.
        oldest: id of the oldest entry in the log; only needed if the cursor's entry is not found
            and ``may_have_existed``.
        found: whether the cursor's entry is in the log.
    """
    at = position(cursor)
    is_earlier = at < position(state.attempt_id)
    if found:
        return Reason.ATTEMPT if is_earlier else None
    if oldest is None or at >= position(oldest) or not may_have_existed(cursor, state):
        return Reason.UNKNOWN
    return Reason.ATTEMPT if is_earlier else Reason.TRIMMED
