"""The identity of a request."""

import time

from msgspec import Struct

from schema.owner import Owner


class Identity(Struct, frozen=True):
    """An authenticated owner.

    Attributes:
        owner: user, session, or both.
        expires: Unix time at which the token expires, leeway included; None if it never does,
            or without a token.
    """

    owner: Owner
    expires: float | None = None

    def lifetime_s(self) -> float | None:
        """Return the seconds until the token expires; None if it never does."""
        return None if self.expires is None else max(0.0, self.expires - time.time())
