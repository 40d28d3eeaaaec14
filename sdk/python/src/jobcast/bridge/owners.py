"""Who owns a job, by a rule: the paths in a payload at which the owner is found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from jobcast import _event
from jobcast._owner import Owner
from jobcast.protocol.append import Append, Bounds

Path = tuple[str, ...]
Paths = tuple[Path, ...]

MAX_STEPS: Final = 20


class NewJob(NamedTuple):
    """A job to create: the event that creates it, and its owner."""

    event: Append
    owner: Owner


@dataclass(frozen=True)
class OwnerRule:
    """Paths in a payload to a job's user, session and type; the first path with a text counts."""

    user: Paths = ()
    session: Paths = ()
    type: Paths = ()

    def owner_of(self, payload: object) -> Owner | None:
        """Return the owner that a payload names; None if it names none."""
        owner = Owner(text_at(payload, self.user), text_at(payload, self.session))
        return None if owner.is_nobody else owner

    def new_job(self, payload: object, default_type: str, bounds: Bounds) -> NewJob | None:
        """Return the creation of a payload's job; None if the payload names no owner.

        Raises `InvalidEvent` if the owner or the type is invalid.
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


def parse_paths(text: str) -> Paths:
    """Parse paths separated by commas or spaces. Raises ValueError if one is malformed."""
    return tuple(_parse_path(each) for each in text.replace(",", " ").split())


def text_at(payload: object, paths: Paths) -> str | None:
    """Return the text, or an integer as text, at the first path that has one; None if none has."""
    texts = (_text_at(payload, path) for path in paths)
    return next((text for text in texts if text is not None), None)


def _parse_path(text: str) -> Path:
    """Parse a path: keys, or indexes into a list, separated by dots (``data.user.id``)."""
    steps = tuple(text.split("."))
    if not all(steps) or len(steps) > MAX_STEPS:
        raise ValueError(
            f"{text!r} is no path: 1 to {MAX_STEPS} names with dots between, as in data.userId"
        )
    return steps


def _text_at(payload: object, path: Path) -> str | None:
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
