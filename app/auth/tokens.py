"""Verifies tokens. PyJWT judges them; this chooses the keys and remembers its word for a minute."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

import jwt

from app.auth.key_set import KeySet
from app.auth.keys import Keys, read_secret
from app.auth.session import MAX_ID
from app.auth.verified_tokens import Verified, VerifiedTokens, digest_of
from app.settings import InvalidSettings, Settings, variable

_BAD: Final = (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError)
"""What PyJWT raises of a token that is not good, or is none."""

_AT_ONCE: Final = 8
"""After how many keys others get their turn: each costs a tenth of a millisecond."""


class Tokens:
    """Verifies tokens.

    Args:
        settings: secret and rules.
        keys: the public keys, if there are any.
        verified: remembers good tokens.

    Raises:
        InvalidSettings: the shared secret can't be used.
    """

    def __init__(
        self, settings: Settings, keys: Keys | KeySet | None, verified: VerifiedTokens | None = None
    ) -> None:
        self._settings = settings
        self._algorithms = frozenset(settings.jwt_algorithms)
        self._symmetric = frozenset(name for name in self._algorithms if name.startswith("HS"))
        self._secrets = _secrets(settings, self._symmetric)
        self._key_set = keys if isinstance(keys, KeySet) else None
        self._keys = keys if isinstance(keys, Keys) else None
        self._verified = VerifiedTokens() if verified is None else verified

    async def verify(self, token: str) -> Verified | None:
        """Return what a good token says; None of any other.

        Raises:
            ServiceUnavailable: whether it is good can't be told now.
        """
        if not token.isascii():
            return None
        self._take_over()
        digest = digest_of(token)
        verified = self._verified.get(digest)
        if verified is not None:
            return verified if self._is_in_force(verified) else None
        try:
            return await self._judge(token, digest)
        except _BAD:
            return None

    def _take_over(self) -> None:
        """Go on with the newest keys, which may lack one that a remembered token needs."""
        if self._key_set is not None and self._key_set.keys is not self._keys:
            self._keys = self._key_set.keys
            self._verified.clear()

    async def _judge(self, token: str, digest: bytes) -> Verified:
        if len(self._algorithms) == 1 and self._symmetric:
            (only,) = self._symmetric  # PyJWT refuses any other
            return await self._signed(token, digest, only, self._secrets.fitting(only, None))
        header = jwt.get_unverified_header(token)
        algorithm, key_id = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or algorithm not in self._algorithms:
            raise jwt.InvalidAlgorithmError
        if algorithm in self._symmetric:
            keys = self._secrets.fitting(algorithm, None)
            return await self._signed(token, digest, algorithm, keys)
        while True:
            keys = () if self._keys is None else self._keys.fitting(algorithm, key_id)
            try:
                return await self._signed(token, digest, algorithm, keys)
            except jwt.InvalidSignatureError:
                if self._key_set is None or (key_id and keys):
                    raise
            self._claims(token, signed=False)  # it may be bad whatever the keys are
            if not await self._key_set.renewed():
                raise jwt.InvalidSignatureError
            self._take_over()

    async def _signed(
        self, token: str, digest: bytes, algorithm: str, keys: Iterable[Any]
    ) -> Verified:
        """Return what a token says that one of the keys has signed.

        Raises:
            InvalidSignatureError: none of them has.
            PyJWTError: it is bad for another reason.
        """
        known = self._keys
        for number, key in enumerate(keys, 1):
            try:
                verified = self._claims(token, key, algorithm)
            except (jwt.InvalidSignatureError, jwt.InvalidKeyError):
                if number % _AT_ONCE == 0:
                    await asyncio.sleep(0)
                continue
            if known is self._keys:
                self._verified.put(digest, verified)
            return verified
        raise jwt.InvalidSignatureError

    def _claims(
        self,
        token: str,
        key: Any = "",  # noqa: ANN401 - any key of PyJWT
        algorithm: str | None = None,
        *,
        signed: bool = True,
    ) -> Verified:
        """Return what a token says.

        Raises:
            PyJWTError: it is not good; ``signed=False`` leaves out whether the key has signed it.
        """
        claims = jwt.decode(
            token,
            key,
            algorithms=None if algorithm is None else [algorithm],
            issuer=self._settings.jwt_issuer,
            audience=self._settings.jwt_audience,
            leeway=self._settings.exp_leeway_s,
            options={
                "verify_signature": signed,
                "verify_exp": True,
                "verify_iss": True,
                "verify_aud": self._settings.jwt_audience is not None,
                # An issuer whose clock is ahead, and a number as `sub`, are no offence.
                "verify_iat": False,
                "verify_jti": False,
                "verify_sub": False,
                "verify_nbf": False,  # PyJWT knows one leeway; see `_is_in_force`
            },
        )
        begins, expires = _time_of(claims, "nbf"), _time_of(claims, "exp")
        verified = Verified(
            _user_of(claims),
            begins,
            None if expires is None else float(expires) + self._settings.exp_leeway_s,
        )
        if not self._is_in_force(verified):
            raise jwt.ImmatureSignatureError
        return verified

    def _is_in_force(self, verified: Verified) -> bool:
        now = time.time()
        if verified.begins is not None and verified.begins > now + self._settings.nbf_leeway_s:
            return False
        return verified.expires is None or now < verified.expires


def _secrets(settings: Settings, algorithms: frozenset[str]) -> Keys:
    if not settings.jwt_secret:
        return Keys([])
    try:
        return read_secret(settings.jwt_secret, algorithms)
    except ValueError as error:
        raise InvalidSettings(f"{variable('jwt_secret')}: {error}") from error


def _time_of(claims: Mapping[str, Any], name: str) -> int | None:
    """Return a claim in whole seconds, as PyJWT reads it."""
    return int(claims[name]) if name in claims else None


def _user_of(claims: Mapping[str, Any]) -> str:
    for name in ("userId", "sub"):
        user = claims.get(name)
        if isinstance(user, int) and not isinstance(user, bool):
            user = str(user)
        if isinstance(user, str) and 0 < len(user) <= MAX_ID:
            user.encode()  # half of a surrogate pair is nobody's name
            return user
    raise jwt.InvalidTokenError
