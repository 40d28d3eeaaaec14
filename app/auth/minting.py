"""Tokens for developers."""

import time
from typing import Final

import jwt

from app.settings import Settings

_SYMMETRIC: Final = "HS"


def mint(settings: Settings, user_id: str, valid_s: int) -> str | None:
    """Return a user's token that a service with these settings accepts.

    It is signed with ``jwt_secret`` and the first HMAC algorithm of the settings. None if one of
    these is missing: then only the holder of the private key can sign.

    Args:
        settings: the service's settings.
        user_id: ``sub`` of the token.
        valid_s: seconds until the token expires.
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
