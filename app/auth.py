"""Who is asking: a verified user, a session, or both. The only module that knows JWT."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import jwt
import msgspec
from msgspec import Struct

from app.errors import CrossOrigin, Unauthorized
from app.settings import InvalidSettings, Settings, variable
from app.shared_secret import SharedSecret
from schema.owner import Owner

_MAX_ID = 255
_NO_SESSION: Final = frozenset({"", "null", "undefined"})
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Identity(Struct, frozen=True):
    """Who asks, and until when.

    Attributes:
        owner: user, session, or both.
        expires: Unix time at which the user's token ends; None if it does not, or without one.
    """

    owner: Owner
    expires: float | None = None

    def lifetime_s(self) -> float | None:
        """Return the seconds left; None is without end."""
        return None if self.expires is None else max(0.0, self.expires - time.time())


class _Body(Struct, rename="camel"):
    session_id: Any = None


class Asked(Protocol):
    """What of a request matters here."""

    @property
    def method(self) -> str: ...  # noqa: D102
    @property
    def host(self) -> str: ...  # noqa: D102
    @property
    def headers(self) -> Any: ...  # noqa: ANN401, D102
    @property
    def args(self) -> Mapping[str, str]: ...  # noqa: D102
    @property
    def cookies(self) -> Mapping[str, str]: ...  # noqa: D102


class Authenticator:
    """Finds out who asks.

    Args:
        settings: keys and rules.

    Raises:
        InvalidSettings: a key can't be read; the message names the variable.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._algorithms = frozenset(settings.jwt_algorithms)
        self._shared_secret = _shared_secret(settings)
        self._public_key: object = None
        self._jwks: jwt.PyJWKClient | jwt.PyJWKSet | None = None
        if settings.jwt_public_key:
            algorithm = next(a for a in settings.jwt_algorithms if not a.startswith("HS"))
            self._public_key = _public_key(settings.jwt_public_key, algorithm)
        if settings.jwt_jwks:
            self._jwks = _jwks(settings.jwt_jwks)

    async def identify(self, request: Asked, body_session: str | None = None) -> Identity:
        """Return who asks.

        Args:
            request: the request.
            body_session: ``sessionId`` of the body, where there is one.

        Raises:
            Unauthorized: neither a token that verifies nor a session.
            CrossOrigin: an unsafe request that only has a cookie came from elsewhere.
        """
        session = session_id(body_session) or _session_of(request)
        refused: Exception | None = None
        for token, is_cookie in self._tokens(request):
            claims = self._verify_at_once(token) or await self._verify(token)
            if claims is None:
                continue
            if is_cookie and not self._may_use_cookie(request):
                refused = CrossOrigin()
                continue
            user, expires = claims
            return Identity(Owner(user, session), expires)
        if session is not None:
            return Identity(Owner(None, session))
        raise refused or Unauthorized

    def _tokens(self, request: Asked) -> list[tuple[str, bool]]:
        found = []
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            found.append((token.strip(), False))
        name = self._settings.cookie_name
        if name and request.cookies.get(name):
            found.append((request.cookies[name], True))
        if request.args.get("token"):
            found.append((request.args["token"], False))
        return found

    def _may_use_cookie(self, request: Asked) -> bool:
        if request.method in _SAFE:
            return True
        origin = request.headers.get("Origin")
        if not origin:
            return False
        own = {f"{scheme}://{request.host}" for scheme in ("http", "https")}
        return origin in own or origin in self._settings.cors_origins

    def _verify_at_once(self, token: str) -> tuple[str, float | None] | None:
        """Return user id and expiry of a good token of the common kind."""
        claims = None if self._shared_secret is None else self._shared_secret.claims(token)
        return None if claims is None else _user_and_expiry(claims)

    async def _verify(self, token: str) -> tuple[str, float | None] | None:
        """Return user id and expiry of a good token."""
        try:
            algorithm = jwt.get_unverified_header(token).get("alg")
            if algorithm not in self._algorithms:
                return None
            key = await self._key(token, algorithm)
            if key is None:
                return None
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                issuer=self._settings.jwt_issuer,
                audience=self._settings.jwt_audience,
                options={
                    "verify_aud": self._settings.jwt_audience is not None,
                    # An issuer whose clock is ahead, and a number as `sub`, are no offence.
                    "verify_iat": False,
                    "verify_jti": False,
                    "verify_sub": False,
                },
            )
            return _user_and_expiry(claims)
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            return None

    async def _key(self, token: str, algorithm: str) -> Any:  # noqa: ANN401 - any key of PyJWT
        if algorithm.startswith("HS"):
            return self._settings.jwt_secret
        if isinstance(self._jwks, jwt.PyJWKClient):
            return await asyncio.to_thread(self._jwks.get_signing_key_from_jwt, token)
        if self._jwks is not None:
            key_id = jwt.get_unverified_header(token).get("kid")
            keys = self._jwks.keys
            return next((k for k in keys if k.key_id == key_id), keys[0] if not key_id else None)
        return self._public_key


def session_id(text: object) -> str | None:
    """Return a session id as it counts, or None where the text is no session at all."""
    if not isinstance(text, str):
        return None
    trimmed = text.strip()
    if trimmed in _NO_SESSION or len(trimmed) > _MAX_ID:
        return None
    return trimmed


def _session_of(request: Asked) -> str | None:
    given = (
        request.headers.get("x-session-id"),
        request.args.get("sessionId"),
        request.args.get("sessionid"),
    )
    return next(filter(None, map(session_id, given)), None)


def _user_and_expiry(claims: Mapping[str, Any]) -> tuple[str, float | None] | None:
    user, expires = _user_of(claims), claims.get("exp")
    return None if user is None else (user, None if expires is None else float(expires))


def _user_of(claims: Mapping[str, Any]) -> str | None:
    for name in ("userId", "sub"):
        user = claims.get(name)
        if isinstance(user, int) and not isinstance(user, bool):
            user = str(user)
        if isinstance(user, str) and 0 < len(user) <= _MAX_ID:
            return user
    return None


def body_session(body: bytes) -> str | None:
    """Return the ``sessionId`` of a JSON body that may be anything."""
    try:
        return session_id(msgspec.json.decode(body, type=_Body).session_id)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _shared_secret(settings: Settings) -> SharedSecret | None:
    """Return what verifies tokens without the library, if the settings ask no more of them."""
    if not settings.jwt_secret or settings.jwt_issuer or settings.jwt_audience is not None:
        return None
    algorithms = [name for name in settings.jwt_algorithms if name.startswith("HS")]
    try:
        for name in algorithms:
            jwt.get_algorithm_by_name(name).prepare_key(settings.jwt_secret)
    except jwt.PyJWTError:
        return None  # no secret that the library takes, such as a public key
    return SharedSecret(settings.jwt_secret.encode(), algorithms)


def _public_key(source: str, algorithm: str) -> object:
    try:
        pem = source if "-----BEGIN" in source else Path(source).read_text()
        return jwt.get_algorithm_by_name(algorithm).prepare_key(pem)
    except (jwt.PyJWTError, ValueError, OSError) as error:
        raise InvalidSettings(f"{variable('jwt_public_key')}: {error}") from error


def _jwks(source: str) -> jwt.PyJWKClient | jwt.PyJWKSet:
    if source.startswith(("http://", "https://")):
        return jwt.PyJWKClient(source, timeout=2, lifespan=300)
    try:
        return jwt.PyJWKSet.from_json(Path(source).read_text())
    except (jwt.PyJWTError, ValueError, OSError) as error:
        raise InvalidSettings(f"{variable('jwt_jwks')}: {error}") from error
