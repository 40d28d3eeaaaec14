"""Verification of tokens: selects the keys, verifies with PyJWT, and caches the claims."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

import jwt

from app.auth.grant import grant_of
from app.auth.key_set import KeySet
from app.auth.keys import Keys, read_secret
from app.auth.verified_tokens import Claims, VerifiedTokens, digest_of
from app.errors import ServiceUnavailable
from app.settings import InvalidSettings, Settings, variable
from schema.http import MAX_ID

_INVALID: Final = (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError)
"""What PyJWT raises on an invalid token."""

_KEYS_PER_TURN: Final = 8
"""Keys tried before yielding to the event loop; each takes 0.1 ms."""


class Tokens:
    """Verifies tokens.

    Args:
        settings: the shared secret, algorithms, issuer, audience and leeways.
        keys: the public keys, if any.
        cache: cache of verified tokens; a new one by default.

    Raises:
        InvalidSettings: the shared secret is unusable.
    """

    def __init__(
        self, settings: Settings, keys: Keys | KeySet | None, cache: VerifiedTokens | None = None
    ) -> None:
        self._settings = settings
        self._algorithms = frozenset(settings.jwt_algorithms)
        self._symmetric = frozenset(name for name in self._algorithms if name.startswith("HS"))
        self._secrets = _secrets(settings, self._symmetric)
        self._key_set = keys if isinstance(keys, KeySet) else None
        self._keys = keys if isinstance(keys, Keys) else None
        self._cache = VerifiedTokens() if cache is None else cache
        self._jwt = jwt.PyJWT(
            {
                "verify_exp": True,
                "verify_iss": True,
                "verify_aud": settings.jwt_audience is not None,
                # Accept an issuer whose clock is ahead, and a number as `sub`.
                "verify_iat": False,
                "verify_jti": False,
                "verify_sub": False,
                "verify_nbf": False,  # PyJWT has one leeway for both; see `_is_in_force`
            }
        )

    async def verify(self, token: str) -> Claims | None:
        """Return a token's claims; None if it is invalid.

        Raises:
            ServiceUnavailable: the key set is unavailable.
        """
        if not token.isascii():
            return None
        self._use_newest_keys()
        digest = digest_of(token)
        claims = self._cache.get(digest)
        if claims is not None:
            return claims if self._is_in_force(claims) else None
        try:
            return await self._verify_signature(token, digest)
        except _INVALID:
            return None

    def _use_newest_keys(self) -> None:
        """Switch to the newest keys; clear the cache, as its tokens' keys may have been removed."""
        if self._key_set is not None and self._key_set.keys is not self._keys:
            self._keys = self._key_set.keys
            self._cache.clear()

    async def _verify_signature(self, token: str, digest: bytes) -> Claims:
        if len(self._algorithms) == 1 and self._symmetric:
            (only,) = self._symmetric  # PyJWT rejects tokens with other algorithms
            keys = self._secrets.candidates(only, None)
            return await self._verify_with(token, digest, only, keys)
        header = jwt.get_unverified_header(token)
        algorithm, key_id = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or algorithm not in self._algorithms:
            raise jwt.InvalidAlgorithmError
        if algorithm in self._symmetric:
            keys = self._secrets.candidates(algorithm, None)
            return await self._verify_with(token, digest, algorithm, keys)
        while True:
            keys = () if self._keys is None else self._keys.candidates(algorithm, key_id)
            try:
                return await self._verify_with(token, digest, algorithm, keys)
            except jwt.InvalidSignatureError:
                if self._key_set is None:
                    raise
            self._decode(token, signed=False)  # raises if it is invalid whatever the keys: expired
            if not await self._is_newer(self._key_set, known=bool(key_id and keys)):
                raise jwt.InvalidSignatureError
            self._use_newest_keys()

    @staticmethod
    async def _is_newer(key_set: KeySet, *, known: bool) -> bool:
        """Fetch newer keys for a token; return False if the current ones are decisive.

        Args:
            key_set: the keys.
            known: whether one of them has the token's ``kid``. A newer key may have replaced it,
                but while none can be fetched it is the key of that id.

        Raises:
            ServiceUnavailable: the set is unavailable, and the key is unknown.
        """
        if known and not key_set.available:
            return False
        try:
            return await key_set.refresh()
        except ServiceUnavailable:
            if known:
                return False
            raise

    async def _verify_with(
        self, token: str, digest: bytes, algorithm: str, keys: Iterable[Any]
    ) -> Claims:
        """Return a token's claims, verified with the first matching key, and cache them.

        Raises:
            InvalidSignatureError: none of the keys verifies the signature.
            PyJWTError: the token is invalid for another reason.
        """
        known = self._keys
        for number, key in enumerate(keys, 1):
            try:
                claims = self._decode(token, key, algorithm)
            except (jwt.InvalidSignatureError, jwt.InvalidKeyError):
                if number % _KEYS_PER_TURN == 0:
                    await asyncio.sleep(0)
                continue
            if known is self._keys:
                self._cache.put(digest, claims)
            return claims
        raise jwt.InvalidSignatureError

    def _decode(
        self,
        token: str,
        key: Any = "",  # noqa: ANN401 - any key of PyJWT
        algorithm: str | None = None,
        *,
        signed: bool = True,
    ) -> Claims:
        """Decode and validate a token; ``signed=False`` skips the check of the signature.

        Raises:
            PyJWTError: it is invalid.
        """
        payload = self._jwt.decode(
            token,
            key,
            algorithms=None if algorithm is None else [algorithm],
            issuer=self._settings.jwt_issuer,
            audience=self._settings.jwt_audience,
            leeway=self._settings.exp_leeway_s,
            options=None if signed else {**self._jwt.options, "verify_signature": False},
        )
        expires = _time_of(payload, "exp")
        grant = grant_of(payload)
        claims = Claims(
            # A worker token has no user: its `sub` is the worker.
            _user_of(payload) if grant is None else None,
            _time_of(payload, "nbf"),
            None if expires is None else float(expires) + self._settings.exp_leeway_s,
            grant,
        )
        if not self._is_in_force(claims):
            raise jwt.ImmatureSignatureError
        return claims

    def _is_in_force(self, claims: Claims) -> bool:
        now = time.time()
        if claims.not_before is not None and claims.not_before > now + self._settings.nbf_leeway_s:
            return False
        return claims.expires is None or now < claims.expires


def _secrets(settings: Settings, algorithms: frozenset[str]) -> Keys:
    if not settings.jwt_secret:
        return Keys([])
    try:
        return read_secret(settings.jwt_secret, algorithms)
    except ValueError as error:
        raise InvalidSettings(f"{variable('jwt_secret')}: {error}") from error


def _time_of(payload: Mapping[str, Any], name: str) -> int | None:
    return int(payload[name]) if name in payload else None  # whole seconds, as PyJWT reads them


def _user_of(payload: Mapping[str, Any]) -> str:
    for name in ("userId", "sub"):
        user = payload.get(name)
        if isinstance(user, int) and not isinstance(user, bool):
            user = str(user)
        if isinstance(user, str) and 0 < len(user) <= MAX_ID:
            user.encode()  # raises on a lone surrogate
            return user
    raise jwt.InvalidTokenError
