"""Tokens that are signed with a shared secret: the common ones are verified here, at a low cost.

A crowd that comes at once brings thousands of tokens, and a general library spends most of its time
on what they do not use. What is verified here is exactly one kind: HMAC, a header of ``alg`` and
``typ`` alone, times that are whole numbers. Nothing is refused here: whatever is not verified
beyond doubt is for the library to judge.

Source: RFC 7515 (JWS compact serialization), RFC 7518 §3.2 (HMAC), RFC 7519 §4.1.4 and §4.1.5.
"""

import hmac
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

_FOREVER: Final = 2**53
"""A time that a float still holds to the second."""

_DIGESTS: Final = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}


class _Header(Struct, forbid_unknown_fields=True):
    alg: str
    typ: Literal["JWT"] = "JWT"


_header: Final = msgspec.json.Decoder(_Header)
_claims: Final = msgspec.json.Decoder(dict[str, Any])


class SharedSecret:
    """Verifies tokens.

    Args:
        secret: shared with who signs.
        algorithms: that are allowed; others than HMAC's do not matter here.
    """

    def __init__(self, secret: bytes, algorithms: Iterable[str]) -> None:
        self._secret = secret
        self._digests = {name: _DIGESTS[name] for name in algorithms if name in _DIGESTS}

    def claims(self, token: str) -> dict[str, Any] | None:
        """Return the claims of a token that is certainly good now, or None."""
        try:
            signed, _, signature = token.encode("ascii").rpartition(b".")
            header, _, payload = signed.partition(b".")
            digest = self._digests.get(_header.decode(_decoded(header)).alg)
            if digest is None or not self._made(signed, signature, digest):
                return None
            claims = _claims.decode(_decoded(payload))
        except (UnicodeError, Base64Error, msgspec.MsgspecError, RecursionError):
            return None
        return claims if _in_force(claims) else None

    def _made(self, signed: bytes, signature: bytes, digest: str) -> bool:
        made = urlsafe_b64encode(hmac.digest(self._secret, signed, digest)).rstrip(b"=")
        return hmac.compare_digest(made, signature)


def _decoded(segment: bytes) -> bytes:
    return urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))


def _in_force(claims: dict[str, Any]) -> bool:
    now = int(time.time())
    begins, ends = claims.get("nbf", now), claims.get("exp", now + 1)
    return type(begins) is int and type(ends) is int and begins <= now < ends < _FOREVER
