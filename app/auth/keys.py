"""Verification keys, and the selection of those that may have signed a token.

Source: RFC 7515 §4.1.4 (``kid``), RFC 7517 (JSON Web Key), RFC 7518 §6 and RFC 8037 (kinds of key).
"""

import base64
import hashlib
import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

import jwt
import msgspec
from jwt.algorithms import HMACAlgorithm
from msgspec import Struct

from schema.salvage import salvage_object

_log = logging.getLogger("jobcast.keys")

_KINDS: Final[dict[Any, frozenset[str]]] = {
    ("RSA", None): frozenset({"RS256", "RS384", "RS512"}),
    ("EC", "P-256"): frozenset({"ES256"}),
    ("EC", "P-384"): frozenset({"ES384"}),
    ("EC", "P-521"): frozenset({"ES512"}),
    ("OKP", "Ed25519"): frozenset({"EdDSA"}),
    ("OKP", "Ed448"): frozenset({"EdDSA"}),
}
"""Algorithms by key type and curve."""

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_LONGEST_REASON: Final = 80
_PEM: Final = re.compile("-----BEGIN .*?-----END [^-]*-----", re.DOTALL)


class Key(Struct, frozen=True):
    """A verification key.

    Attributes:
        key_id: its ``kid``, if any.
        algorithms: the algorithms that it may verify.
        material: the key in the form that PyJWT takes.
    """

    key_id: str | None
    algorithms: frozenset[str]
    material: Any


class Keys:
    """A set of verification keys.

    Args:
        keys: the keys.
        match_key_id: whether a token's ``kid`` selects among them.
        unreadable: why keys of the document are unusable, one text for each.
        digest: digest of the document.
    """

    def __init__(
        self,
        keys: Iterable[Key],
        *,
        match_key_id: bool = True,
        unreadable: Sequence[str] = (),
        digest: bytes = b"",
    ) -> None:
        self.unreadable = unreadable
        self.digest = digest
        self._match_key_id = match_key_id
        self._by_id: dict[tuple[str, str], list[Any]] = defaultdict(list)
        self._by_algorithm: dict[str, list[Any]] = defaultdict(list)
        for key in keys:
            for algorithm in key.algorithms:
                self._by_algorithm[algorithm].append(key.material)
                if key.key_id:
                    self._by_id[algorithm, key.key_id].append(key.material)

    def candidates(self, algorithm: str, key_id: str | None) -> Sequence[Any]:
        """Return the material of the keys that may have signed a token.

        Args:
            algorithm: the token's ``alg``.
            key_id: its ``kid``, if any.
        """
        if key_id and self._match_key_id:
            return self._by_id.get((algorithm, key_id), ())
        return self._by_algorithm.get(algorithm, ())


def read_key_set(document: bytes, algorithms: frozenset[str]) -> Keys:
    """Parse a JSON Web Key Set. Symmetric keys are ignored, because a published one is not secret.

    Args:
        document: JSON.
        algorithms: the accepted signing algorithms.

    Raises:
        ValueError: it is not a key set, or none of its keys can verify a token.
    """
    found = _members(document.removeprefix(_BYTE_ORDER_MARK))
    keys, unreadable = [], []
    for number, member in enumerate(found, 1):
        try:
            key = _key_of(member, algorithms)
        except Exception as error:  # noqa: BLE001 - one bad key must not disable the others
            unreadable.append(f"key {number}: {str(error)[:_LONGEST_REASON]!r}")
            continue
        if key is not None:
            keys.append(key)
    if not keys:
        wanted = ", ".join(sorted(name for name in algorithms if not name.startswith("HS")))
        reasons = f" ({'; '.join(unreadable[:3])})" if unreadable else ""
        raise ValueError(f"none of its {len(found)} keys verifies {wanted}{reasons}")
    return Keys(keys, unreadable=unreadable, digest=hashlib.sha256(document).digest())


def read_secret(secret: str, algorithms: frozenset[str]) -> Keys:
    """Return the keys for a shared secret, for each algorithm.

    White space at its ends may belong to it, or be the line feed of a file that the issuer strips.
    So tokens are accepted that are signed with it or without it.

    Raises:
        ValueError: it is a public key, or otherwise unsuitable as a secret.
    """
    texts = dict.fromkeys((secret, secret.strip()))
    keys = [_hmac_key(text, name) for text in texts for name in algorithms]
    return Keys(keys, match_key_id=False)


def _hmac_key(secret: str, name: str) -> Key:
    algorithm: Any = jwt.get_algorithm_by_name(name)
    try:
        algorithm.prepare_key(secret)
        encoded = base64.urlsafe_b64encode(secret.encode()).decode()
        material = jwt.PyJWK({"kty": "oct", "k": encoded}, name)
    except (jwt.PyJWTError, TypeError) as error:
        raise ValueError(str(error)) from error
    material.Algorithm = _PreparedHmac(algorithm.hash_alg)
    return Key(None, frozenset({name}), material)


class _PreparedHmac(HMACAlgorithm):
    """Skips PyJWT's check that the secret is no public key, which takes half of a verification.

    ``read_secret`` has checked it already.
    """

    def prepare_key(self, key: str | bytes) -> bytes:
        return key.encode() if isinstance(key, str) else key


def read_pem(pem: str, algorithms: frozenset[str]) -> Keys:
    """Parse PEM public keys, which verify tokens whatever their ``kid``.

    Args:
        pem: one key, or several one after the other.
        algorithms: the accepted signing algorithms.

    Raises:
        ValueError: no key fits any of the algorithms.
    """
    keys, unreadable = [], []
    for number, block in enumerate(_PEM.findall(pem) or [pem], 1):
        found, reasons = [], []
        for name in sorted(algorithms):
            try:
                material = _public(jwt.get_algorithm_by_name(name).prepare_key(block))
            except (jwt.PyJWTError, ValueError, TypeError) as error:
                is_other = str(error).startswith("Expected")  # names a generator, no kind of key
                reasons.append(f"no key for {name}" if is_other else str(error))
            else:
                found.append(Key(None, frozenset({name}), material))
        keys += found
        if not found:
            unreadable.append(f"key {number}: {reasons[0]}")
    if not keys:
        raise ValueError("; ".join(unreadable))
    return Keys(keys, match_key_id=False, unreadable=unreadable)


class _Document(Struct):
    keys: list[Any]


def _members(document: bytes) -> list[Any]:
    """Return the members of a key set. A text that strict parsers reject spoils only its own key.

    Raises:
        ValueError: it is not a key set.
    """
    try:
        return msgspec.json.decode(document, type=_Document).keys
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        try:
            lenient = salvage_object(document.decode(errors="replace"))
            return msgspec.convert(lenient, _Document).keys
        except (msgspec.MsgspecError, ValueError):
            raise ValueError(f"no JSON Web Key Set: {error}") from None


def _key_of(member: Any, algorithms: frozenset[str]) -> Key | None:  # noqa: ANN401 - any JSON
    """Parse a member of a key set; None if it is not for verifying an accepted algorithm."""
    if not isinstance(member, dict):
        raise TypeError("no object")
    kind, curve = member.get("kty"), member.get("crv")
    if kind == "oct" or not _is_for_signatures(member):
        return None
    verifies = _KINDS.get((kind, None if kind == "RSA" else curve))
    if verifies is None:
        raise ValueError(f"kty {kind!r}, crv {curve!r}")
    if member.get("alg") is not None:
        verifies &= {member["alg"]}
    verifies &= algorithms
    if not verifies:
        return None
    algorithm: Any = jwt.get_algorithm_by_name(min(verifies))
    material = _public(algorithm.from_jwk(member))
    key_id = member.get("kid")
    return Key(key_id if isinstance(key_id, str) else None, verifies, material)


def _is_for_signatures(member: dict[str, Any]) -> bool:
    if member.get("use", "sig") != "sig":
        return False
    operations = member.get("key_ops", ["verify"])
    if not isinstance(operations, list):
        raise TypeError("key_ops is no list")
    return "verify" in operations


def _public(material: Any) -> Any:  # noqa: ANN401 - any key of PyJWT
    """Return the public part of a key pair; other keys unchanged."""
    return material.public_key() if hasattr(material, "public_key") else material


def log_unreadable(source: str, keys: Keys) -> None:
    """Warn about the unusable keys of a set."""
    if keys.unreadable:
        reasons = "; ".join(keys.unreadable)
        _log.warning("the key set %s has keys that can't be used: %s", source, reasons)
