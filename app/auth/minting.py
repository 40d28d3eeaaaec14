"""Tokens for developers."""

import time
from typing import Final

import jwt

from app.settings import Settings

_SYMMETRIC: Final = "HS"


def mint(settings: Settings, user_id: str, valid_s: int) -> str | None:
    """Return a token of a user that a service with these settings accepts.

    It is signed with ``jwt_secret`` by the first of the service's algorithms that uses it. None if
    none does: then only the issuer of the public keys can sign.

    Args:
        settings: of the service.
        user_id: its ``sub``.
        valid_s: seconds until it expires.
    """
    algorithm = next((name for name in settings.jwt_algorithms if name.startswith(_SYMMETRIC)), "")
    if not (algorithm and settings.jwt_secret):
        return None
    claims: dict[str, object] = {"sub": user_id, "exp": int(time.time()) + valid_s}
    if settings.jwt_issuer:
        claims["iss"] = settings.jwt_issuer
    if settings.jwt_audience:
        claims["aud"] = settings.jwt_audience
    return jwt.encode(claims, settings.jwt_secret, algorithm)
