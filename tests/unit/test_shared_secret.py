"""Tokens that are verified without the library: it would have said the same of each."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.shared_secret import SharedSecret
from tests.service import SECRET, token

LONG = SECRET * 2
NOW = int(time.time())
LIBRARY = {"verify_aud": False, "verify_iat": False, "verify_jti": False, "verify_sub": False}

verifier = SharedSecret(SECRET.encode(), ["HS256", "RS256"])


def of_library(given: str) -> dict[str, Any] | None:
    try:
        return jwt.decode(given, SECRET, algorithms=["HS256"], options=LIBRARY)  # type: ignore[arg-type]
    except (jwt.PyJWTError, ValueError, OverflowError):
        return None


def signed(header: bytes, payload: bytes, secret: str = SECRET) -> str:
    """Return what is signed as it should be, whatever it is."""
    text = b".".join(map(encoded, (header, payload)))
    signature = hmac.digest(secret.encode(), text, hashlib.sha256)
    return b".".join((text, encoded(signature))).decode()


def encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def test_the_common_kind_is_verified_here() -> None:
    for claims in ({}, {"exp": None}, {"nbf": NOW - 5}, {"iat": NOW + 60}, {"userId": 7}):
        text = token(**claims)
        assert verifier.claims(text) == of_library(text) is not None
    for name in ("HS384", "HS512"):
        longer = SharedSecret(LONG.encode(), [name])
        assert longer.claims(jwt.encode({"sub": "a"}, LONG, name)) == {"sub": "a"}


@pytest.mark.parametrize(
    "text",
    [
        token(exp=NOW - 1),
        token(exp=NOW - 0.5),
        token(exp="soon"),
        token(exp=True),
        token(exp=10**400),
        token(nbf=NOW + 3600),  # more than the tests last
        token(nbf="1"),
        jwt.encode({"userId": "a"}, LONG, "HS256"),
        jwt.encode({"userId": "a"}, LONG, "HS512"),
        jwt.encode({"userId": "a"}, SECRET, "HS256", headers={"kid": "1"}),
        jwt.encode({"userId": "a"}, "", "none"),
        signed(b'{"alg":"HS256","crit":["b64"],"b64":false}', b'{"userId":"a"}'),
        signed(b'{"alg":"RS256"}', b'{"userId":"a"}'),
        signed(b'{"alg":["HS256"]}', b'{"userId":"a"}'),
        signed(b'{"alg":"HS256"}', b'["userId"]'),
        signed(b'{"alg":"HS256"}', b'{"userId":"\xff"}'),
        signed(b'{"alg":"HS256"}', b"[" * 100_000),
        signed(b"[]", b"{}"),
        token() + "=",
        token()[:-1],
        token()[1:],
        f"{token()}.{token()}",
        *("", ".", "..", "...", "a.b.c", "é.é.é"),
    ],
)
def test_what_is_not_beyond_doubt_is_left_to_the_library(text: str) -> None:
    assert verifier.claims(text) is None


def test_a_changed_token_is_not_verified() -> None:
    text = token()
    for place in range(len(text)):
        other = "A" if text[place] != "A" else "B"
        assert verifier.claims(text[:place] + other + text[place + 1 :]) is None


numbers = st.integers(-(2**70), 2**70) | st.integers(NOW - 2, NOW + 2)
times = st.none() | st.booleans() | numbers | st.floats() | st.text(max_size=3)
values = times | st.lists(st.text(max_size=3), max_size=2)


@given(
    st.dictionaries(st.sampled_from(["exp", "nbf", "iat", "sub", "userId", "aud"]), values),
    st.dictionaries(st.sampled_from(["alg", "typ", "kid", "crit", "b64"]), values)
    | st.sampled_from([{"alg": name, "typ": "JWT"} for name in ("HS256", "HS512", "none")]),
)
def test_the_library_says_the_same_of_all_that_is_verified_here(
    claims: dict[str, object], header: dict[str, object]
) -> None:
    for head in (header, {"alg": "HS256", **header}):
        text = signed(json.dumps(head).encode(), json.dumps(claims).encode())
        verified = verifier.claims(text)
        assert verified is None or verified == of_library(text)
