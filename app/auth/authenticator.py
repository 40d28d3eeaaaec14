"""Authentication of requests."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from app.auth.identity import Identity
from app.auth.key_server import KeyServer, is_url
from app.auth.key_set import KeySet
from app.auth.keys import Keys, log_unreadable, read_key_set, read_pem
from app.auth.session import session_id, session_of
from app.auth.tokens import Tokens
from app.auth.verified_tokens import Claims
from app.errors import CrossOrigin, ServiceUnavailable, Unauthorized
from app.raw_request import RawRequest
from app.settings import InvalidSettings, Settings, variable
from schema.owner import Owner

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})

MOST_TOKENS: Final = 10
"""Tokens tried of each source; a request could carry a thousand."""


class Authenticator:
    """Authenticates requests by token or session id.

    Attributes:
        key_set: the key set that is fetched from a URL; None unless one is configured.

    Raises:
        InvalidSettings: a key is unreadable; the message names the variable.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        keys = _keys(settings)
        self.key_set = keys if isinstance(keys, KeySet) else None
        self._tokens = Tokens(settings, keys)

    @property
    def ready(self) -> bool:
        """Whether tokens can be verified: the key set, if any, was fetched at least once."""
        return self.key_set is None or self.key_set.keys is not None

    async def run(self) -> None:
        """Refresh the key set until cancelled; return at once without one."""
        if self.key_set is not None:
            await self.key_set.run()

    async def identify(self, request: RawRequest, body_session: str | None = None) -> Identity:
        """Return the identity of a request.

        Args:
            request: the request.
            body_session: ``sessionId`` of the body, if any.

        Raises:
            Unauthorized: no valid token and no session.
            CrossOrigin: only a cookie authenticates the request, which is unsafe and from another
                origin.
            ServiceUnavailable: the key set that a token needs is unavailable. Later tokens are not
                tried, since this one may be valid and would take precedence.
        """
        session = body_session and session_id(body_session)
        session = session or session_of(request)
        refused: Exception | None = None
        for token, is_cookie in self._candidates(request):
            try:
                verified = await self._tokens.verify(token)
            except ServiceUnavailable:
                if not is_cookie or self._may_use_cookie(request):
                    raise
                refused = CrossOrigin()
                continue
            if verified is None or verified.user_id is None:
                continue
            if is_cookie and not self._may_use_cookie(request):
                refused = CrossOrigin()
                continue
            return Identity(Owner(verified.user_id, session), verified.expires)
        if session is not None:
            return Identity(Owner(None, session))
        raise refused or Unauthorized

    async def bearer(self, request: RawRequest) -> Claims | None:
        """Return the claims of the first valid token in ``Authorization``; None if there is none.

        Raises:
            ServiceUnavailable: the key set is unavailable.
        """
        for token in _bearers(request):
            verified = await self._tokens.verify(token)
            if verified is not None:
                return verified
        return None

    def _candidates(self, request: RawRequest) -> Iterator[tuple[str, bool]]:
        """Yield a request's tokens in order of precedence, and whether each is from a cookie."""
        for token in _bearers(request):
            yield token, False
        if self._settings.cookie_name:
            for token in _distinct(request.cookies.getlist(self._settings.cookie_name)):
                yield token, True
        if parameters := request.args.getlist("token"):
            for token in _distinct(parameters):
                yield token, False

    def _may_use_cookie(self, request: RawRequest) -> bool:
        if request.method in _SAFE:
            return True
        origin, host = request.headers.get("Origin"), request.host
        if not origin:
            return False
        own = {f"http://{host.removesuffix(':80')}", f"https://{host.removesuffix(':443')}"}
        return (bool(host) and origin in own) or origin in self._settings.cors_origins


def _bearers(request: RawRequest) -> Iterable[str]:
    headers = request.headers.getlist("Authorization")
    return _distinct(map(_bearer, headers)) if headers else ()


def _bearer(header: str) -> str:
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _distinct(tokens: Iterable[str]) -> Iterable[str]:
    """Return the first ``MOST_TOKENS`` distinct tokens."""
    return islice(dict.fromkeys(filter(None, tokens)), MOST_TOKENS)


def _keys(settings: Settings) -> Keys | KeySet | None:
    algorithms = frozenset(name for name in settings.jwt_algorithms if not name.startswith("HS"))
    if settings.jwt_public_key:
        read, source, field = _public_key, settings.jwt_public_key, "jwt_public_key"
    elif settings.jwt_jwks:
        read, source, field = _key_set, settings.jwt_jwks, "jwt_jwks"
    else:
        return None
    try:
        return read(source, algorithms)
    except (ValueError, OSError) as error:
        raise InvalidSettings(f"{variable(field)}: {error}") from error


def _public_key(source: str, algorithms: frozenset[str]) -> Keys | KeySet:
    pem = source if "-----BEGIN" in source else Path(source).read_text()
    keys = read_pem(pem, algorithms)
    log_unreadable(variable("jwt_public_key"), keys)
    return keys


def _key_set(source: str, algorithms: frozenset[str]) -> Keys | KeySet:
    if is_url(source):
        server = KeyServer(source, algorithms)
        return KeySet(server.name, server.fetch)
    keys = read_key_set(Path(source).read_bytes(), algorithms)
    log_unreadable(source, keys)
    return keys
