"""Authentication: a verified user, a session, or both. The only package that knows JWT."""

from app.auth.authenticator import Authenticator
from app.auth.identity import Identity
from app.auth.session import body_session, session_id

__all__ = ["Authenticator", "Identity", "body_session", "session_id"]
