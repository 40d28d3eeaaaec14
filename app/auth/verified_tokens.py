"""Tokens that were verified a short while ago, so that polls and reconnects cost little."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from msgspec import Struct

LIFETIME_S: Final = 60.0
LIMIT: Final = 10_000


class Verified(Struct, frozen=True, gc=False):
    """What a good token says.

    Attributes:
        user_id: whose it is.
        begins: Unix time from which it is good, if it says so; the leeway is not in it.
        expires: Unix time from which it is not, its leeway included; None if it does not end.
    """

    user_id: str
    begins: int | None = None
    expires: float | None = None


class _Entry(Struct, frozen=True, gc=False):
    verified: Verified
    until: float


class VerifiedTokens:
    """A bounded cache; the token that was used longest ago makes room.

    It holds digests and never a token, and nothing of those that were refused. Whether a token is
    in force is for its reader to see each time: this knows only that it was signed.

    Args:
        limit: how many it holds.
        clock: seconds that only go forward.
    """

    def __init__(self, limit: int = LIMIT, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, digest: bytes) -> Verified | None:
        """Return what the token of a digest says, if it was verified within the last minute."""
        entry = self._entries.get(digest)
        if entry is None:
            return None
        if entry.until <= self._clock():
            del self._entries[digest]
            return None
        self._entries.move_to_end(digest)
        return entry.verified

    def put(self, digest: bytes, verified: Verified) -> None:
        """Keep what a token says that was just verified."""
        self._entries[digest] = _Entry(verified, self._clock() + LIFETIME_S)
        self._entries.move_to_end(digest)
        if len(self._entries) > self._limit:
            self._entries.popitem(last=False)

    def clear(self) -> None:
        """Forget all: the keys are other ones."""
        self._entries.clear()


def digest_of(token: str) -> bytes:
    """Return the digest by which a token is known: no token is kept."""
    return hashlib.sha256(token.encode()).digest()
