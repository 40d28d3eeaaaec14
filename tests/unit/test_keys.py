"""Which keys of a set count, and for which tokens."""

import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448

from app.auth.keys import read_key_set
from tests.support.keys import PAIRS, key_set, new_pair

ALL = frozenset({"RS256", "RS384", "ES256", "ES384", "EdDSA"})
RSA, EC, ED = (PAIRS[name].jwk for name in ("RS256", "ES256", "EdDSA"))


def read(*keys: Any, algorithms: frozenset[str] = ALL) -> Any:  # noqa: ANN401 - any JSON
    return read_key_set(json.dumps({"keys": list(keys)}).encode(), algorithms)


def without(key: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in key.items() if name not in names}


def test_without_a_key_id_every_key_that_fits_the_algorithm_counts() -> None:
    keys = read(RSA, EC, {**new_pair("ES256").jwk, "kid": "2"}, without(EC, "kid"))
    assert len(keys.candidates("ES256", None)) == 3
    assert len(keys.candidates("ES256", "")) == 3
    assert len(keys.candidates("RS256", None)) == 1
    assert len(keys.candidates("EdDSA", None)) == 0
    assert len(keys.candidates("HS256", None)) == 0


def test_with_a_key_id_all_that_bear_it_count() -> None:
    keys = read(*({**new_pair("ES256").jwk, "kid": "1"} for _ in range(2)), {**RSA, "kid": "1"}, EC)
    assert len(keys.candidates("ES256", "1")) == 2
    assert len(keys.candidates("RS256", "1")) == 1
    assert len(keys.candidates("ES256", "ES256")) == 1
    assert len(keys.candidates("ES256", "another")) == 0


def test_a_key_says_what_it_is_for() -> None:
    others: tuple[dict[str, Any], ...] = (
        {"use": "enc"},
        {"use": "other"},
        {"key_ops": ["encrypt", "wrapKey"]},
        {"key_ops": []},
        {"alg": "RSA-OAEP"},
        {"alg": "HS256"},
    )
    for odd in others:
        keys = read({**RSA, **odd}, EC)
        assert (len(keys.candidates("RS256", None)), len(keys.unreadable)) == (0, 0)
    for fine in ({"use": "sig"}, {"key_ops": ["verify"]}, {"alg": None}, {"further": [1]}):
        assert len(read({**RSA, **fine}).candidates("RS256", None)) == 1


def test_a_key_with_an_algorithm_of_its_own_is_for_no_other() -> None:
    assert len(read(RSA, EC).candidates("RS384", None)) == 0
    free = read(without(RSA, "alg"))
    assert len(free.candidates("RS256", None)) == len(free.candidates("RS384", None)) == 1
    assert len(free.candidates("RS512", None)) == 0  # not allowed by the settings


def test_a_curve_has_its_algorithm() -> None:
    algorithm: Any = jwt.get_algorithm_by_name("ES384")
    wide = json.loads(algorithm.to_jwk(ec.generate_private_key(ec.SECP384R1()).public_key()))
    keys = read(wide, EC)
    assert len(keys.candidates("ES384", None)) == len(keys.candidates("ES256", None)) == 1
    algorithm = jwt.get_algorithm_by_name("EdDSA")
    large = json.loads(algorithm.to_jwk(ed448.Ed448PrivateKey.generate().public_key()))
    assert len(read(large, ED).candidates("EdDSA", None)) == 2


@pytest.mark.parametrize(
    "key",
    [
        None,
        7,
        "key",
        [],
        {},
        {"kty": "RSA"},
        {"kty": ["RSA"]},
        {"kty": "new", "x": "AA"},
        {"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"},
        {"kty": "OKP", "crv": "X25519", "x": "AA"},
        {"kty": "OKP", "crv": "Ed25519", "x": 7},
        {"kty": "OKP", "crv": "Ed25519", "x": "AA"},
        {**EC, "x": EC["y"]},
        {**EC, "crv": "P-384", "alg": "ES384"},
        {**RSA, "n": "", "e": "AQAB"},
        {**RSA, "n": "!!!!"},
        {**RSA, "e": None},
        {**RSA, "alg": ["RS256"]},
        {**RSA, "key_ops": 7},
    ],
)
def test_a_key_that_cant_be_read_does_not_spoil_the_others(key: object) -> None:
    keys = read(key, ED)
    assert len(keys.candidates("EdDSA", "EdDSA")) == 1
    assert len(keys.unreadable) == 1


def test_a_symmetric_key_of_a_set_never_counts() -> None:
    oct_key = {"kty": "oct", "k": "c2VjcmV0", "alg": "HS256", "kid": "1", "use": "sig"}
    keys = read(oct_key, EC, algorithms=ALL | {"HS256"})
    assert len(keys.candidates("HS256", "1")) == len(keys.candidates("HS256", None)) == 0


@pytest.mark.parametrize("key_id", [7, None, ["1"], "", True])
def test_a_key_without_a_proper_id_has_none(key_id: object) -> None:
    assert len(read({**EC, "kid": key_id}).candidates("ES256", None)) == 1


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"keys":null}',
        b'{"keys":{}}',
        b'{"keys":[]}',
        b'{"keys":[7]}',
        b'{"keys":[{"kty":"oct","k":"AA"}]}',
        b"<html>",
        b'{"keys":["\xff"]}',
        key_set(PAIRS["ES256"]).encode()[:-1],
        b'{"keys":' + b"[" * 100_000,
    ],
    ids=lambda document: document[:30],
)
def test_what_holds_no_key_is_no_key_set(document: bytes) -> None:
    with pytest.raises(ValueError, match=r"keys|Key Set"):
        read_key_set(document, ALL)


@pytest.mark.parametrize("odd", [b'"\\ud83d"', b'"caf\xe9"', b"NaN", b"1e999"])
def test_a_member_that_is_no_strict_json_does_not_spoil_the_others(odd: bytes) -> None:
    document = key_set(PAIRS["ES256"]).encode()
    first = b'{"keys":[{"kty":"oct","kid":' + odd + b"},"
    keys = read_key_set(first + document.removeprefix(b'{"keys": ['), ALL)
    assert len(keys.candidates("ES256", "ES256")) == 1


def test_keys_that_no_token_may_be_signed_with_make_no_set() -> None:
    with pytest.raises(ValueError, match="none of its 1 keys verifies RS256"):
        read_key_set(key_set(PAIRS["ES256"]).encode(), frozenset({"RS256", "HS256"}))


def test_a_byte_order_mark_is_no_part_of_a_set() -> None:
    keys = read_key_set(b"\xef\xbb\xbf" + key_set(PAIRS["ES256"]).encode(), ALL)
    assert len(keys.candidates("ES256", None)) == 1
