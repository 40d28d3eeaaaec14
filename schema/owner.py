"""Ownership of jobs."""

from msgspec import Struct


class Owner(Struct, frozen=True):
    """A user, a session, or both.

    Attributes:
        user_id: a user whose token was verified.
        session_id: a secret that the client chose: whoever knows it may see the job.
    """

    user_id: str | None = None
    session_id: str | None = None

    def shares_with(self, other: "Owner") -> bool:
        """Return whether both have the same user or the same session; None never matches."""
        same_user = self.user_id is not None and self.user_id == other.user_id
        same_session = self.session_id is not None and self.session_id == other.session_id
        return same_user or same_session
