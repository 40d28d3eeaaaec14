"""Whose a job is, by a rule: where in a payload the owner stands."""

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
    """A job that a payload asks for: the event that creates it, and its owner."""

    event: Append
    owner: Owner


@dataclass(frozen=True)
class OwnerRule:
    """Where user, session and type of a job may stand in a payload; the first place counts."""

    user: Paths = ()
    session: Paths = ()
    type: Paths = ()

    def owner_of(self, payload: object) -> Owner | None:
        """Return the owner that a payload names, None if it names none."""
        owner = Owner(text_at(payload, self.user), text_at(payload, self.session))
        return None if owner.is_nobody else owner

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


def parse_paths(text: str) -> Paths:
    """Read paths with commas or spaces between them."""
    return tuple(_parse_path(each) for each in text.replace(",", " ").split())


def text_at(payload: object, paths: Paths) -> str | None:
    """Return the text at the first path that has one, a whole number as text; else None."""
    texts = (_text_at(payload, path) for path in paths)
    return next((text for text in texts if text is not None), None)


def _parse_path(text: str) -> Path:
    """Read a path: names, or numbers of a list, with dots between them (``data.user.id``)."""
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
