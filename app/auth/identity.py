"""Who asks, and until when."""

import time

from msgspec import Struct

from schema.owner import Owner


class Identity(Struct, frozen=True):
    """Who asks, and until when.

    Attributes:
        owner: user, session, or both.
        expires: Unix time at which the user's token ends, its leeway included; None if it does
            not, or without one.
    """

    owner: Owner
    expires: float | None = None

    def lifetime_s(self) -> float | None:
        """Return the seconds left; None is without end."""
        return None if self.expires is None else max(0.0, self.expires - time.time())
