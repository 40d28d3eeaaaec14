"""Where a viewer's events begin, and whether it can go on from what it has seen."""

from enum import Enum

from schema.entry_id import parse_cursor, position
from schema.state import JobState


class From(Enum):
    """What a viewer that has seen nothing may ask for, as it says it in the query string."""

    START = "start"
    """Every entry of the current attempt, from its first."""


class Reason(Enum):
    """Why a viewer can't go on from what it has seen, as a ``reset`` says it."""

    ATTEMPT = "attempt"
    """The entry belongs to an earlier attempt."""

    TRIMMED = "trimmed"
    """The entry belongs to the current attempt, and is older than the oldest that the log has."""

    UNKNOWN = "unknown"
    """There is no such entry, or none any more: invented, malformed, or lost with its log's end."""


Beginning = str | From | Reason | None
"""Where a viewer's events begin: after the entry that it has seen last, whose id this is; with the
first of the attempt; with a ``reset`` and the snapshot, because what it has seen is void; or, None,
with the snapshot alone, because it has seen nothing."""


def beginning(last_event_id: str | None, wanted: str | None) -> Beginning:
    """Return where the events of a request's viewer begin.

    Args:
        last_event_id: its ``Last-Event-ID``; empty is as good as none, for no browser sends that.
        wanted: its ``?from=``, of which any value but ``start`` is ignored. The header wins.
    """
    if last_event_id:
        return parse_cursor(last_event_id) or Reason.UNKNOWN
    return From.START if wanted == From.START.value else None


def may_have_been(cursor: str, state: JobState) -> bool:
    """Say whether an entry that the log has not may have been in it: the oldest one will tell."""
    return position(state.created) <= position(cursor) <= position(state.last)


def reset_reason(cursor: str, state: JobState, oldest: str | None, *, found: bool) -> Reason | None:
    """Say why a viewer can't go on from an entry; None if it can.

    Args:
        cursor: id of the last entry that it has seen, well formed.
        state: of the job, read before the log or with it.
        oldest: id of the oldest entry that the log still has; None if that is not known. It need be
            only of an entry that is not found and ``may_have_been``.
        found: whether the entry is in the log.
    """
    at = position(cursor)
    is_earlier = at < position(state.attempt_id)
    if found:
        return Reason.ATTEMPT if is_earlier else None
    if oldest is None or at >= position(oldest) or not may_have_been(cursor, state):
        return Reason.UNKNOWN
    return Reason.ATTEMPT if is_earlier else Reason.TRIMMED
