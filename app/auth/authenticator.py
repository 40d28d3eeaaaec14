"""Finds out who asks."""

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
from app.errors import CrossOrigin, ServiceUnavailable, Unauthorized
from app.raw_request import RawRequest
from app.settings import InvalidSettings, Settings, variable
from schema.owner import Owner

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})

MOST_TOKENS: Final = 10
"""How many values of one source are tried: a header has room for a thousand."""


class Authenticator:
    """Finds out who asks.

    Args:
        settings: keys and rules.

    Attributes:
        key_set: the keys that are published at a URL, if there are any.

    Raises:
        InvalidSettings: a key can't be read; the message names the variable.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        keys = _keys(settings)
        self.key_set = keys if isinstance(keys, KeySet) else None
        self._tokens = Tokens(settings, keys)

    @property
    def ready(self) -> bool:
        """Whether tokens can be judged: the keys that are published have been had once."""
        return self.key_set is None or self.key_set.keys is not None

    async def run(self) -> None:
        """Keep the keys fresh, until cancelled; return at once if there is nothing to do."""
        if self.key_set is not None:
            await self.key_set.run()

    async def identify(self, asked: RawRequest, body_session: str | None = None) -> Identity:
        """Return who asks.

        Args:
            asked: the request.
            body_session: ``sessionId`` of the body, where there is one.

        Raises:
            Unauthorized: neither a token that verifies nor a session.
            CrossOrigin: an unsafe request that only has a cookie came from elsewhere.
            ServiceUnavailable: whether a token is good can't be told now. It may be good, so
                nothing that comes after it counts.
        """
        session = body_session and session_id(body_session)
        session = session or session_of(asked)
        refused: Exception | None = None
        for token, is_cookie in self._offered(asked):
            try:
                verified = await self._tokens.verify(token)
            except ServiceUnavailable:
                if not is_cookie or self._may_use_cookie(asked):
                    raise
                refused = CrossOrigin()
                continue
            if verified is None:
                continue
            if is_cookie and not self._may_use_cookie(asked):
                refused = CrossOrigin()
                continue
            return Identity(Owner(verified.user_id, session), verified.expires)
        if session is not None:
            return Identity(Owner(None, session))
        raise refused or Unauthorized

    def _offered(self, asked: RawRequest) -> Iterator[tuple[str, bool]]:
        """Yield the tokens of a request, as they count, and whether they are a cookie's."""
        if headers := asked.headers.getlist("Authorization"):
            for token in _some(map(_bearer, headers)):
                yield token, False
        if self._settings.cookie_name:
            for token in _some(asked.cookies.getlist(self._settings.cookie_name)):
                yield token, True
        if parameters := asked.args.getlist("token"):
            for token in _some(parameters):
                yield token, False

    def _may_use_cookie(self, asked: RawRequest) -> bool:
        if asked.method in _SAFE:
            return True
        origin, host = asked.headers.get("Origin"), asked.host
        if not origin:
            return False
        own = {f"http://{host.removesuffix(':80')}", f"https://{host.removesuffix(':443')}"}
        return (bool(host) and origin in own) or origin in self._settings.cors_origins


def _bearer(header: str) -> str:
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _some(tokens: Iterable[str]) -> Iterable[str]:
    """Return the first few different ones."""
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
    return read_pem(pem, algorithms)


def _key_set(source: str, algorithms: frozenset[str]) -> Keys | KeySet:
    if is_url(source):
        server = KeyServer(source, algorithms)
        return KeySet(server.name, server.fetch)
    keys = read_key_set(Path(source).read_bytes(), algorithms)
    log_unreadable(source, keys)
    return keys
