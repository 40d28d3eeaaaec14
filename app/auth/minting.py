"""Tokens for developers."""

import time

import jwt


def mint(secret: str, user_id: str, valid_s: int) -> str:
    """Return a token of a user, signed with HS256.

    Args:
        secret: shared with the service (``JWT_SECRET``).
        user_id: its ``sub``.
        valid_s: seconds until it expires.
    """
    return jwt.encode({"sub": user_id, "exp": int(time.time()) + valid_s}, secret, "HS256")
