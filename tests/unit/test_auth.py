"""Whose token counts, and whose session: the rules without a socket."""

import base64
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest

from app.auth import Authenticator, Identity, body_session, session_id
from app.errors import Unauthorized
from app.settings import InvalidSettings, settings_from
from schema.owner import Owner
from tests.support.asking import asks
from tests.support.keys import PAIRS, KeyPair, key_set, new_pair
from tests.support.service import SECRET, token

ALL = "RS256 ES256 EdDSA"


def authenticator(**variables: str) -> Authenticator:
    return Authenticator(settings_from({"JWT_SECRET": SECRET, **variables}))


async def user_of(given: str, authenticator: Authenticator) -> str | None:
    try:
        identity = await authenticator.identify(asks([("Authorization", f"Bearer {given}")]))
    except Unauthorized:
        return None
    return identity.owner.user_id


def of_key(pair: KeyPair, form: str, folder: Path) -> dict[str, str]:
    """Return the variables that give the public key to a service in one of the forms."""
    file = folder / "key"
    if form == "PEM text":
        return {"JOBCAST_JWT_PUBLIC_KEY": pair.pem}
    if form == "PEM file":
        file.write_text(pair.pem)
        return {"JOBCAST_JWT_PUBLIC_KEY": str(file)}
    others = [other for other in PAIRS.values() if other is not pair]
    file.write_text(key_set(*others, pair))
    return {"JOBCAST_JWT_JWKS": str(file)}


def forged(secret: bytes, algorithm: str = "HS256") -> str:
    """Return a token that is signed with any bytes, public keys too: PyJWT would not make it."""
    parts = ({"alg": algorithm, "typ": "JWT"}, {"userId": "user-1"})
    text = b".".join(encoded(json.dumps(part).encode()) for part in parts)
    return b".".join((text, encoded(hmac.digest(secret, text, hashlib.sha256)))).decode()


def encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


@pytest.mark.parametrize("algorithm", PAIRS)
@pytest.mark.parametrize("form", ["PEM text", "PEM file", "JWKS file"])
async def test_a_public_key_verifies_tokens_in_each_form(
    algorithm: str, form: str, tmp_path: Path
) -> None:
    pair, stranger = PAIRS[algorithm], new_pair(algorithm)
    configured = authenticator(JOBCAST_JWT_ALGORITHMS=algorithm, **of_key(pair, form, tmp_path))
    assert await user_of(pair.token(), configured) == "user-1"
    assert await user_of(stranger.token(), configured) is None
    assert await user_of(pair.token(exp=int(time.time()) - 1), configured) is None


@pytest.mark.parametrize("form", ["PEM text", "PEM file", "JWKS file"])
@pytest.mark.parametrize("allowed", ["RS256", "RS256,HS256"])
async def test_a_public_key_is_never_taken_for_a_shared_secret(
    form: str, allowed: str, tmp_path: Path
) -> None:
    pair = PAIRS["RS256"]
    configured = authenticator(JOBCAST_JWT_ALGORITHMS=allowed, **of_key(pair, form, tmp_path))
    for text in (pair.pem, pair.pem.strip(), json.dumps(pair.jwk), key_set(pair)):
        assert await user_of(forged(text.encode()), configured) is None
        assert await user_of(forged(text.encode(), "RS256"), configured) is None


async def test_a_shared_secret_and_a_public_key_can_be_used_side_by_side(tmp_path: Path) -> None:
    key = of_key(PAIRS["ES256"], "PEM text", tmp_path)
    configured = authenticator(JOBCAST_JWT_ALGORITHMS="HS256 ES256", **key)
    assert await user_of(token(), configured) == "user-1"
    assert await user_of(PAIRS["ES256"].token(), configured) == "user-1"
    assert await user_of(PAIRS["RS256"].token(), configured) is None


async def test_without_a_shared_secret_an_empty_one_is_none(tmp_path: Path) -> None:
    key = of_key(PAIRS["RS256"], "PEM text", tmp_path)
    configured = authenticator(JWT_SECRET="", JOBCAST_JWT_ALGORITHMS="HS256,RS256", **key)
    for secret in (b"", b"None"):
        assert await user_of(forged(secret), configured) is None


async def test_the_key_of_a_set_is_found_by_its_id(tmp_path: Path) -> None:
    pair = PAIRS["ES256"]
    configured = authenticator(JOBCAST_JWT_ALGORITHMS=ALL, **of_key(pair, "JWKS file", tmp_path))
    claims = {"userId": "user-1"}
    for key_id, expected in (("ES256", "user-1"), ("RS256", None), ("unheard of", None)):
        given = jwt.encode(claims, pair.private, "ES256", headers={"kid": key_id})
        assert await user_of(given, configured) == expected


async def test_an_algorithm_that_is_not_allowed_is_refused_although_its_key_is_known() -> None:
    claims = {"userId": "user-1"}
    secret = SECRET * 3
    given = {name: jwt.encode(claims, secret, name) for name in ("HS256", "HS384", "HS512")}
    for name in given:
        configured = authenticator(JWT_SECRET=secret, JOBCAST_JWT_ALGORITHMS=name)
        users = [await user_of(text, configured) for text in given.values()]
        assert users == ["user-1" if other == name else None for other in given]


@pytest.mark.parametrize(
    ("claims", "user"),
    [
        ({"userId": "a", "sub": "b"}, "a"),
        ({"sub": "b"}, "b"),
        ({"userId": 7}, "7"),
        ({"sub": 7}, "7"),
        ({"userId": "ü"}, "ü"),
        ({"userId": "u" * 255}, "u" * 255),
        ({"userId": "a", "exp": None}, "a"),
        ({"userId": "a", "iat": time.time() + 60, "jti": 5}, "a"),
        ({}, None),
        ({"userId": ""}, None),
        ({"userId": True}, None),
        ({"userId": ["a"]}, None),
        ({"userId": {"a": 1}}, None),
        ({"userId": "u" * 256}, None),
        ({"userId": "a", "exp": time.time() - 1}, None),
        ({"userId": "a", "exp": "soon"}, None),
        ({"userId": "a", "nbf": time.time() + 3600}, None),
    ],
)
async def test_the_user_is_the_claim_user_id_else_sub(
    claims: dict[str, Any], user: str | None
) -> None:
    assert await user_of(token(**{"user": None, **claims}), authenticator()) == user


@pytest.mark.parametrize(
    ("claims", "accepted"),
    [
        ({"iss": "us", "aud": "jobs"}, True),
        ({"iss": "us", "aud": ["others", "jobs"]}, True),
        ({"iss": "them", "aud": "jobs"}, False),
        ({"iss": "us", "aud": "others"}, False),
        ({"aud": "jobs"}, False),
        ({"iss": "us"}, False),
    ],
)
async def test_issuer_and_audience_count_when_configured(
    claims: dict[str, Any], *, accepted: bool
) -> None:
    configured = authenticator(JOBCAST_JWT_ISSUER="us", JOBCAST_JWT_AUDIENCE="jobs")
    assert await user_of(token(**claims), configured) == ("user-1" if accepted else None)
    assert await user_of(token(**claims), authenticator()) == "user-1"


async def test_an_identity_lasts_as_long_as_its_token() -> None:
    now = int(time.time())
    for claims, bounds in (({"exp": now + 100}, (90, 100)), ({"exp": None}, None)):
        asked = asks([("x-session-id", "s")], [("token", token(**claims))])
        identity = await authenticator().identify(asked)
        assert identity.owner == Owner("user-1", "s")
        lifetime_s = identity.lifetime_s()
        if bounds is None:
            assert lifetime_s is None
        else:
            assert lifetime_s is not None
            assert bounds[0] < lifetime_s <= bounds[1]
    assert Identity(Owner("user-1"), now - 5).lifetime_s() == 0


async def test_what_is_no_token_at_all_is_nobody() -> None:
    for text in ("x", "a.b", "a.b.c", "a.b.c.d", "é.é.é", ".", "..", "eyJhbGciOiJIUzI1NiJ9.e30."):
        assert await user_of(text, authenticator()) is None
    for header in (b'{"alg":[]}', b'{"alg":null}', b"{}", b"[]", b"1", b'{"alg":"none"}', b"\xff"):
        given = b".".join((encoded(header), encoded(b'{"userId":"user-1"}'), b"")).decode()
        assert await user_of(given, authenticator()) is None


@pytest.mark.parametrize(
    ("text", "session"),
    [
        ("s", "s"),
        ("  s \t", "s"),
        ("s" * 255, "s" * 255),
        ("Null", "Null"),
        ("s" * 256, None),
        ("", None),
        ("  ", None),
        ("null", None),
        (" undefined ", None),
        (None, None),
        (5, None),
        (["s"], None),
    ],
)
def test_a_session_is_a_text_that_means_something(text: object, session: str | None) -> None:
    assert session_id(text) == session


@pytest.mark.parametrize(
    "body",
    [
        *(
            b"",
            b"nope",
            b"[]",
            b"null",
            b"\xff",
            b'{"sessionId":5}',
            b'{"sessionId":"\xff"}',
            b"{}",
        ),
        b'{"input":' + b"[" * 100_000 + b"]" * 100_000 + b',"sessionId":"s"}',
    ],
)
def test_a_body_that_may_be_anything_has_no_session(body: bytes) -> None:
    assert body_session(body) is None


def test_a_body_names_its_session_whatever_else_is_wrong_with_it() -> None:
    assert body_session(b'{"sessionId":" s ","type":5,"further":[1]}') == "s"


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("JOBCAST_JWT_PUBLIC_KEY", "-----BEGIN PUBLIC KEY-----\nnope\n-----END PUBLIC KEY-----"),
        ("JOBCAST_JWT_PUBLIC_KEY", "{file}"),
        ("JOBCAST_JWT_PUBLIC_KEY", PAIRS["ES256"].pem),
        ("JOBCAST_JWT_JWKS", "{file}"),
        ("JOBCAST_JWT_JWKS", "http://"),
        ("JOBCAST_JWT_JWKS", "https://[::1/keys"),
        ("JOBCAST_JWT_JWKS", "https://issuer.example:port/keys"),
        ("JOBCAST_JWT_JWKS", "https://issuer.example:0/keys"),
        ("JOBCAST_JWT_JWKS", "https://issuer.example/the keys"),
        ("JOBCAST_JWT_JWKS", "https://user:password@issuer.example/keys"),
    ],
)
def test_a_key_that_cant_be_read_is_named(variable: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("no key")
    with pytest.raises(InvalidSettings, match=f"^{variable}: "):
        authenticator(
            JOBCAST_JWT_ALGORITHMS="RS256", **{variable: text.replace("{file}", str(file))}
        )


@pytest.mark.parametrize("text", [PAIRS["RS256"].pem, json.dumps(PAIRS["RS256"].jwk)])
def test_a_public_key_as_shared_secret_is_named(text: str) -> None:
    with pytest.raises(InvalidSettings, match=r"^JWT_SECRET: "):
        authenticator(JWT_SECRET=text)


def test_a_key_of_several_algorithms_counts_for_those_that_it_fits() -> None:
    for algorithms in ("RS256 ES256", "ES256 RS256"):
        assert authenticator(
            JOBCAST_JWT_ALGORITHMS=algorithms, JOBCAST_JWT_PUBLIC_KEY=PAIRS["ES256"].pem
        ).ready


async def test_each_of_several_public_keys_counts(caplog: pytest.LogCaptureFixture) -> None:
    first, second = PAIRS["ES256"], new_pair("ES256")
    texts = [first.pem, "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", second.pem]
    both = authenticator(
        JOBCAST_JWT_ALGORITHMS="HS256 ES256", JOBCAST_JWT_PUBLIC_KEY="".join(texts)
    )
    for pair in (first, second):
        assert await user_of(pair.token(), both) == "user-1"
    assert await user_of(new_pair("ES256").token(), both) is None
    assert ["JOBCAST_JWT_PUBLIC_KEY" in text and "key 2: " in text for text in caplog.messages] == [
        True
    ]


def test_a_public_key_of_another_kind_is_told_in_words() -> None:
    with pytest.raises(InvalidSettings, match=r"^JOBCAST_JWT_PUBLIC_KEY: key 1: no key for RS256$"):
        authenticator(
            JOBCAST_JWT_ALGORITHMS="HS256 RS256", JOBCAST_JWT_PUBLIC_KEY=PAIRS["ES256"].pem
        )


async def test_a_key_pair_verifies_as_its_public_key_does(tmp_path: Path) -> None:
    pair = PAIRS["RS256"]
    jwk: Any = jwt.get_algorithm_by_name("RS256")
    file = tmp_path / "keys"
    key = {**json.loads(jwk.to_jwk(pair.private)), "key_ops": ["sign", "verify"]}
    file.write_text(json.dumps({"keys": [key]}))
    for variable, source in (
        ("JOBCAST_JWT_PUBLIC_KEY", pair.private_pem),
        ("JOBCAST_JWT_JWKS", str(file)),
    ):
        configured = authenticator(JOBCAST_JWT_ALGORITHMS="RS256", **{variable: source})
        given = jwt.encode({"userId": "user-1"}, pair.private, "RS256")
        assert await user_of(given, configured) == "user-1"
        assert await user_of(new_pair("RS256").token(), configured) is None


async def test_half_of_a_character_is_nobodys_name() -> None:
    for claims in ({"userId": "a\ud83d"}, {"userId": None, "sub": "\udc00"}):
        assert await user_of(token(**claims), authenticator()) is None
