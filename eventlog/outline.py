"""The few fields by which a change of a job is detected, read without its possibly large result."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from schema.entry_id import is_stored_id
from schema.owner import Owner
from schema.state import JobState
from schema.state_hash import STATUSES

MARK_FIELDS: Final = ("last", "status", "created", "userId", "sessionId")


def mark(state: JobState) -> list[str | None]:
    """Return ``MARK_FIELDS`` of a state, by which a change is detected.

    The status is included because others than the append script may change it.
    """
    return [state.last, state.status, *state.creation]


class Outline(Struct, frozen=True):
    """What ``MARK_FIELDS`` say of a job, without its result, which may be large.

    Attributes:
        last: id of its last entry.
        created: id of its first entry.
        owner: its owner.
        finished: whether its attempt succeeded or failed.
    """

    last: str
    created: str
    owner: Owner
    finished: bool

    @classmethod
    def of(cls, fields: Sequence[str | None]) -> "Outline | None":
        """Read the fields; None if the job is missing or unreadable."""
        last, status, created, user_id, session_id = fields
        if status not in STATUSES or not (last and created):
            return None
        if not (is_stored_id(last) and is_stored_id(created)):
            return None
        return cls(last, created, Owner(user_id, session_id), status in {"succeeded", "failed"})
