"""A cache of verified tokens, which makes polls and reconnects cheap."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from app.auth.grant import Grant

LIFETIME_S: Final = 60.0
LIMIT: Final = 10_000


class Claims(Struct, frozen=True, gc=False):
    """The claims of a verified token.

    Attributes:
        user_id: the user; None in a worker token.
        not_before: Unix time from which it is valid, leeway excluded; None without ``nbf``.
        expires: Unix time at which it expires, leeway included; None without ``exp``.
        grant: what it allows a worker; None in a user's token.
    """

    user_id: str | None
    not_before: int | None = None
    expires: float | None = None
    grant: Grant | None = None


class _CacheEntry(Struct, frozen=True, gc=False):
    claims: Claims
    expires: float


class VerifiedTokens:
    """A bounded LRU cache of claims, by the digests of tokens; the tokens are not kept.

    An entry only means that the signature was valid; callers check ``nbf`` and ``exp`` each time.

    Args:
        limit: maximum number of entries.
        clock: monotonic seconds.
    """

    def __init__(self, limit: int = LIMIT, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._entries: OrderedDict[bytes, _CacheEntry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, digest: bytes) -> Claims | None:
        """Return the claims of a token that was verified within the last ``LIFETIME_S``."""
        entry = self._entries.get(digest)
        if entry is None:
            return None
        if entry.expires <= self._clock():
            del self._entries[digest]
            return None
        self._entries.move_to_end(digest)
        return entry.claims

    def put(self, digest: bytes, claims: Claims) -> None:
        """Cache the claims of a token that was just verified."""
        self._entries[digest] = _CacheEntry(claims, self._clock() + LIFETIME_S)
        self._entries.move_to_end(digest)
        if len(self._entries) > self._limit:
            self._entries.popitem(last=False)

    def clear(self) -> None:
        """Remove all entries."""
        self._entries.clear()


def digest_of(token: str) -> bytes:
    """Return the cache key of a token."""
    return hashlib.sha256(token.encode()).digest()
