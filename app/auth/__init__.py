"""Authentication of users, sessions and workers. The only package that handles JWTs."""

from app.auth.authenticator import Authenticator
from app.auth.grant import Grant
from app.auth.identity import Identity
from app.auth.session import body_session, session_id
from app.auth.verified_tokens import Claims

__all__ = ["Authenticator", "Claims", "Grant", "Identity", "body_session", "session_id"]
