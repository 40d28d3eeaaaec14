"""The owner of the jobs that are created in a block of code."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, NamedTuple


class Owner(NamedTuple):
    """The user, the session, or both that may watch a job; with neither, it is not followed."""

    user_id: str | None = None
    session_id: str | None = None

    @property
    def is_nobody(self) -> bool:
        """Whether it names neither a user nor a session."""
        return self.user_id is None and self.session_id is None


def owner_by(user_id: object, session_id: object) -> Owner:
    """Return an owner; ids that are integers become text."""
    texts = [str(each) if type(each) is int else each for each in (user_id, session_id)]
    return Owner(*texts)  # type: ignore[arg-type]  # the creation refuses other types


current_owner: Final[ContextVar[Owner | None]] = ContextVar("jobcast_owner", default=None)
"""The owner of what is enqueued in this context; None if no block has set one."""


@contextmanager
def owner(*, user_id: str | int | None = None, session_id: str | None = None) -> Iterator[None]:
    """Set the owner of tasks enqueued in this block, in queues followed by `jobcast.adapters`.

        with jobcast.owner(user_id="u1"):
            resize.delay("photos")

    ``user_id``, ``session_id`` or both may watch the jobs: see `Jobs.create`. An integer as user id
    equals its text, as in tokens. With neither, tasks enqueued in the block are not followed. The
    innermost block applies. It belongs to the context (`contextvars`): asyncio's tasks inherit it,
    threads started in it do not. Tasks that a followed task enqueues have the same owner, unless a
    block there sets another.
    """
    before = current_owner.set(owner_by(user_id, session_id))
    try:
        yield
    finally:
        current_owner.reset(before)
