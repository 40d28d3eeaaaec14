"""Who a job belongs to, and who may see it."""

from msgspec import Struct


class Owner(Struct, frozen=True):
    """A user, a session, or both.

    Attributes:
        user_id: a verified user.
        session_id: a session that whoever knows it may use.
    """

    user_id: str | None = None
    session_id: str | None = None

    def shares_with(self, other: "Owner") -> bool:
        """Say whether user or session are the same; being absent in both does not count."""
        same_user = self.user_id is not None and self.user_id == other.user_id
        same_session = self.session_id is not None and self.session_id == other.session_id
        return same_user or same_session
