"""Whose a job is, by a rule: where in a payload the owner stands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from jobcast import _event
from jobcast.protocol.append import Append, Bounds

Path = tuple[str, ...]

MAX_STEPS: Final = 20


class Owner(NamedTuple):
    """A user, a session, or both."""

    user_id: str | None
    session_id: str | None


class NewJob(NamedTuple):
    """A job that a payload asks for: the event that creates it, and its owner."""

    event: Append
    owner: Owner


@dataclass(frozen=True)
class OwnerRule:
    """Where user, session and type of a job stand in a payload; None: nowhere."""

    user: Path | None = None
    session: Path | None = None
    type: Path | None = None

    def owner_of(self, payload: object) -> Owner | None:
        """Return the owner that a payload names, None if it names none."""
        owner = Owner(text_at(payload, self.user), text_at(payload, self.session))
        return owner if any(owner) else None

    def new_job(self, payload: object, default_type: str, bounds: Bounds) -> NewJob | None:
        """Return the creation of the job of a payload, None if it names no owner.

        `InvalidEvent` if what stands there can't be an owner or a type.
        """
        owner = self.owner_of(payload)
        if owner is None:
            return None
        event = _event.created(
            job_type=text_at(payload, self.type) or default_type,
            user_id=owner.user_id,
            session_id=owner.session_id,
            job_input=None,
            bounds=bounds,
        )
        return NewJob(event, owner)


def parse_path(text: str) -> Path:
    """Read a path: names, or numbers of a list, with dots between them (``data.user.id``)."""
    steps = tuple(text.split("."))
    if not all(steps) or len(steps) > MAX_STEPS:
        raise ValueError(
            f"{text!r} is no path: 1 to {MAX_STEPS} names with dots between, as in data.userId"
        )
    return steps


def text_at(payload: object, path: Path | None) -> str | None:
    """Return the text at a path, a whole number as text; None if there is none."""
    if path is None:
        return None
    value = payload
    for step in path:
        if isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(value, Sequence) and not isinstance(value, str) and step.isdecimal():
            value = value[int(step)] if int(step) < len(value) else None
        else:
            return None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value.strip() or None if isinstance(value, str) else None
