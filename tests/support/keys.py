"""Key pairs for signing tokens, and the forms of their public keys that a service takes."""

import json
import time
from dataclasses import dataclass
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)


@dataclass(frozen=True)
class KeyPair:
    """A key pair for one algorithm, whose name is also the key id."""

    algorithm: str
    private: Any

    @property
    def pem(self) -> str:
        """Return the public key as PEM text."""
        info = PublicFormat.SubjectPublicKeyInfo
        text: bytes = self.private.public_key().public_bytes(Encoding.PEM, info)
        return text.decode()

    @property
    def private_pem(self) -> str:
        """Return both keys as PEM text."""
        text: bytes = self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return text.decode()

    @property
    def jwk(self) -> dict[str, Any]:
        """Return the public key as a JSON Web Key."""
        algorithm: Any = jwt.get_algorithm_by_name(self.algorithm)
        key = json.loads(algorithm.to_jwk(self.private.public_key()))
        return {**key, "kid": self.algorithm, "alg": self.algorithm, "use": "sig"}

    def token(self, user: str = "user-1", **claims: Any) -> str:  # noqa: ANN401 - any JSON
        """Return a token that is signed with the private key and has its ``kid``."""
        given = {"userId": user, "exp": int(time.time()) + 3600, **claims}
        return jwt.encode(given, self.private, self.algorithm, headers={"kid": self.algorithm})


def key_set(*pairs: KeyPair) -> str:
    """Return the public keys as a JSON Web Key Set."""
    return json.dumps({"keys": [pair.jwk for pair in pairs]})


def new_pair(algorithm: str) -> KeyPair:
    """Generate a key pair."""
    makers: dict[str, Any] = {
        "RS256": lambda: rsa.generate_private_key(65537, 2048),
        "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate,
    }
    return KeyPair(algorithm, makers[algorithm]())


PAIRS: Final = {name: new_pair(name) for name in ("RS256", "ES256", "EdDSA")}
"""A pair for each algorithm, shared by all tests of a process."""
