"""Which tokens are good: by which key, when, and how long that is remembered."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest

from app.auth.key_set import COOL_DOWN_S, KeySet
from app.auth.keys import Keys, read_key_set
from app.auth.tokens import Tokens
from app.auth.verified_tokens import VerifiedTokens
from app.errors import ServiceUnavailable
from app.settings import settings_from
from tests.support.keys import PAIRS, KeyPair, new_pair
from tests.support.service import SECRET, token

ALL = "HS256 RS256 ES256 EdDSA"
OLD, NEW = new_pair("ES256"), new_pair("ES256")


def signed(pair: KeyPair, key_id: object = None, **claims: Any) -> str:  # noqa: ANN401 - any JSON
    """Return a token with any ``kid``, or without one."""
    given = {"userId": "user-1", "exp": int(time.time()) + 3600, **claims}
    headers = {} if key_id is None else {"kid": key_id}
    if key_id is None or isinstance(key_id, str):
        return jwt.encode(given, pair.private, pair.algorithm, headers=headers)
    header = {"alg": pair.algorithm, **headers}  # what PyJWT would not make
    text = b".".join(encoded(json.dumps(part).encode()) for part in (header, given))
    algorithm = jwt.get_algorithm_by_name(pair.algorithm)
    return b".".join((text, encoded(algorithm.sign(text, pair.private)))).decode()


def encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def named(pair: KeyPair, key_id: str | None, **more: object) -> dict[str, Any]:
    """Return the public key under some id, or without one."""
    key = {**pair.jwk, "kid": key_id, **more}
    return {name: value for name, value in key.items() if value is not None}


def set_of(*keys: dict[str, Any]) -> Keys:
    algorithms = frozenset(ALL.split()) - {"HS256"}
    return read_key_set(json.dumps({"keys": keys}).encode(), algorithms)


class Issuer:
    """Publishes keys, unless it is away."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.keys = keys
        self.away = False
        self.fetches = 0

    async def fetch(self) -> Keys:
        self.fetches += 1
        if self.away:
            raise OSError("away")
        return set_of(*self.keys)


class Clock:
    """The time of day, and the time that goes by, of a test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = time.time()
        monkeypatch.setattr("app.auth.tokens.time.time", lambda: self.now)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def tokens(
    keys: Keys | KeySet | None = None, verified: VerifiedTokens | None = None, **variables: str
) -> Tokens:
    key = {} if keys is None else {"JOBCAST_JWT_ALGORITHMS": ALL, "JOBCAST_JWT_JWKS": "https://a"}
    given = {"JWT_SECRET": SECRET, **key, **variables}
    return Tokens(settings_from(given), keys, verified)


async def user_of(text: str, judge: Tokens) -> str | None:
    verified = await judge.verify(text)
    return None if verified is None else verified.user_id


async def word_on(text: str, judge: Tokens) -> str | None:
    """Return the user, None of a bad token, and a question mark where that can't be told."""
    try:
        return await user_of(text, judge)
    except ServiceUnavailable:
        return "?"


# The key


Source = Callable[..., Keys | KeySet]


def by_url(*keys: dict[str, Any]) -> KeySet:
    return KeySet("issuer", Issuer(*keys).fetch)


@pytest.fixture(params=[set_of, by_url], ids=["file", "URL"])
def source(request: pytest.FixtureRequest) -> Source:
    made: Source = request.param
    return made


async def test_a_token_without_a_key_id_is_tried_with_every_key(source: Source) -> None:
    others = [named(new_pair("ES256"), str(number)) for number in range(20)]
    judge = tokens(source(*others, PAIRS["RS256"].jwk, named(NEW, "new"), named(OLD, None)))
    for pair in (NEW, OLD, PAIRS["RS256"]):
        assert await user_of(signed(pair), judge) == "user-1"
    assert await user_of(signed(new_pair("ES256")), judge) is None
    assert await user_of(signed(PAIRS["EdDSA"]), judge) is None


async def test_a_token_with_a_key_id_is_tried_with_the_keys_that_bear_it(source: Source) -> None:
    judge = tokens(source(named(OLD, "1"), named(NEW, "1"), named(PAIRS["RS256"], "2")))
    assert await user_of(signed(OLD, "1"), judge) == "user-1"
    assert await user_of(signed(NEW, "1"), judge) == "user-1"
    assert await user_of(signed(NEW, "2"), judge) is None
    assert await user_of(signed(NEW, "3"), judge) is None


@pytest.mark.parametrize("odd", [{"use": "enc"}, {"key_ops": ["encrypt"]}, {"alg": "ES384"}])
async def test_a_key_for_something_else_verifies_nothing(
    source: Source, odd: dict[str, Any]
) -> None:
    judge = tokens(source(named(NEW, "new", **odd), named(OLD, "old")))
    assert await user_of(signed(OLD), judge) == "user-1"
    assert await user_of(signed(NEW), judge) is None
    assert await user_of(signed(NEW, "new"), judge) is None


@pytest.mark.parametrize("key_id", [7, True, 1.5, ["1"], {"1": 1}, "x" * 100_000, "\0", "'\""])
async def test_an_odd_key_id_is_no_good(source: Source, key_id: object) -> None:
    assert await user_of(signed(NEW, key_id), tokens(source(named(NEW, "1")))) is None


async def test_a_secret_and_a_key_set_do_not_mix(source: Source) -> None:
    secret = {"kty": "oct", "k": encoded(b"published " * 4).decode(), "alg": "HS256", "kid": "1"}
    judge = tokens(source(secret, named(NEW, "1")))
    assert await user_of(token(), judge) == "user-1"
    for key in (b"published " * 4, NEW.jwk["x"].encode() * 2):
        for headers in ({"kid": "1"}, None):
            given = jwt.encode({"userId": "user-1"}, key, "HS256", headers=headers)
            assert await user_of(given, judge) is None


@pytest.mark.parametrize("given", [f"{SECRET}\n", f"{SECRET} ", f"\t{SECRET}\r\n"])
async def test_white_space_around_a_secret_is_part_of_it_or_not(given: str) -> None:
    judge = tokens(JWT_SECRET=given)
    for secret in (given, SECRET):
        assert await user_of(jwt.encode({"sub": "user-1"}, secret, "HS256"), judge) == "user-1"
    assert await user_of(jwt.encode({"sub": "user-1"}, f"{SECRET}x", "HS256"), judge) is None
    assert await user_of(jwt.encode({"sub": "user-1"}, f"{SECRET} ", "HS256"), tokens()) is None


# Keys that change, or can't be had


async def test_a_new_key_counts_as_soon_as_a_token_names_it() -> None:
    issuer = Issuer(named(OLD, "old"))
    judge = tokens(KeySet("issuer", issuer.fetch))
    assert await user_of(signed(OLD, "old"), judge) == "user-1"
    issuer.keys = (named(NEW, "new"),)
    assert await user_of(signed(NEW, "new"), judge) == "user-1"
    assert await user_of(signed(OLD, "old"), judge) is None
    assert issuer.fetches == 2


async def test_a_new_key_without_an_id_counts_too() -> None:
    issuer = Issuer(named(OLD, None))
    judge = tokens(KeySet("issuer", issuer.fetch))
    assert await user_of(signed(OLD), judge) == "user-1"
    issuer.keys = (named(NEW, None),)
    assert await user_of(signed(NEW), judge) == "user-1"


async def test_a_new_key_may_have_the_id_of_the_one_it_replaces() -> None:
    issuer = Issuer(named(OLD, "1"))
    judge = tokens(KeySet("issuer", issuer.fetch))
    assert await user_of(signed(OLD, "1"), judge) == "user-1"
    issuer.keys = (named(NEW, "1"),)
    assert await user_of(signed(NEW, "1"), judge) == "user-1"
    for _ in range(20):
        assert await user_of(signed(OLD, "1"), judge) is None
    assert issuer.fetches == 2


async def test_a_flood_of_made_up_key_ids_is_bad_and_no_flood_of_fetches() -> None:
    issuer = Issuer(named(OLD, "old"))
    judge = tokens(KeySet("issuer", issuer.fetch))
    for number in range(200):
        assert await user_of(signed(NEW, str(number)), judge) is None
    assert issuer.fetches <= 2


async def test_while_the_set_was_never_had_nothing_can_be_told() -> None:
    issuer = Issuer(named(OLD, "old"))
    issuer.away = True
    judge = tokens(KeySet("issuer", issuer.fetch))
    for text in (signed(OLD, "old"), signed(OLD), signed(NEW, "new"), signed(PAIRS["RS256"])):
        assert await word_on(text, judge) == "?"
    assert await word_on(token(), judge) == "user-1"  # by the shared secret


async def test_while_no_newer_set_can_be_had_the_known_keys_are_the_word() -> None:
    issuer = Issuer(named(OLD, "old"))
    judge = tokens(KeySet("issuer", issuer.fetch))
    assert await word_on(signed(OLD, "old", jti=1), judge) == "user-1"
    issuer.away = True
    assert await word_on(signed(NEW, "new"), judge) == "?"
    for number in range(3):
        assert await word_on(signed(OLD, "old", jti=number), judge) == "user-1"
        assert await word_on(signed(OLD, jti=number), judge) == "user-1"
        assert await word_on(signed(NEW, "old"), judge) is None
        assert await word_on(signed(NEW, "new"), judge) == "?"
        assert await word_on(signed(NEW), judge) == "?"


@pytest.mark.parametrize(
    "text",
    [
        signed(OLD, "old", exp=1),
        signed(OLD, "old", nbf=time.time() + 3600),
        signed(OLD, "old", exp="soon"),
        signed(OLD, "old", userId=None),
        signed(OLD, "old")[:-1],
        signed(OLD, 7),
        jwt.encode({"userId": "user-1"}, "", "none"),
        jwt.encode({"userId": "user-1"}, SECRET * 2, "HS512", headers={"kid": "old"}),
        "",
        "nope",
        "a.b.c",
        "é.é.é",
    ],
)
async def test_what_is_bad_whatever_the_keys_are_can_be_told_without_them(text: str) -> None:
    issuer = Issuer(named(OLD, "old"))
    issuer.away = True
    assert await word_on(text, tokens(KeySet("issuer", issuer.fetch))) is None


# The time


@pytest.mark.parametrize(
    ("nbf", "accepted"),
    [
        (0, True),
        (29, True),
        (29.9, True),
        (31.1, False),
        (3600, False),
        (10**400, False),
        (-(10**400), True),
    ],
)
async def test_a_token_may_be_a_little_ahead(clock: Clock, nbf: float, *, accepted: bool) -> None:
    now = int(clock.now)
    clock.now = now + 0.5
    given = token(nbf=now + nbf if abs(nbf) < 10**10 else nbf)
    assert await user_of(given, tokens()) == ("user-1" if accepted else None)


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ("1", True),
        ("soon", False),
        (True, True),
        ([], False),
        ({}, False),
        (float("nan"), False),
        (float("inf"), False),
        (float("-inf"), False),
        (-1, True),
        ("9" * 5000, False),
    ],
)
async def test_an_odd_nbf_never_breaks_anything(text: object, *, accepted: bool) -> None:
    assert await user_of(token(nbf=text), tokens()) == ("user-1" if accepted else None)


@pytest.mark.parametrize(
    "text", ["soon", [], {}, True, float("nan"), float("inf"), 10**400, "9" * 5000, -1, 0]
)
async def test_an_odd_exp_is_no_good(text: object) -> None:
    assert await user_of(token(exp=text), tokens()) is None


async def test_both_leeways_are_settings() -> None:
    now = int(time.time())
    strict = tokens(JOBCAST_NBF_LEEWAY_S="0", JOBCAST_EXP_LEEWAY_S="0")
    lenient = tokens(JOBCAST_NBF_LEEWAY_S="1000", JOBCAST_EXP_LEEWAY_S="500")
    rows: list[tuple[dict[str, Any], str | None, str | None]] = [
        ({"nbf": now + 900}, None, "user-1"),
        ({"nbf": now + 1100}, None, None),
        ({"exp": now - 400}, None, "user-1"),
        ({"exp": now - 600}, None, None),
        ({"nbf": now + 900, "exp": now - 400}, None, "user-1"),
    ]
    for claims, of_strict, of_lenient in rows:
        assert await user_of(token(**claims), strict) == of_strict
        assert await user_of(token(**claims), lenient) == of_lenient
    verified = await lenient.verify(token(exp=now + 100))
    assert verified is not None
    assert verified.expires == now + 600


# The memory


def memory(clock: Clock, **more: int) -> VerifiedTokens:
    return VerifiedTokens(clock=clock, **more)


@pytest.fixture
def judgements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """List the tokens that PyJWT was asked about."""
    asked: list[str] = []
    decode = jwt.PyJWT.decode

    def watched(judge: jwt.PyJWT, text: str, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - PyJWT's
        asked.append(text)
        return decode(judge, text, *args, **options)

    monkeypatch.setattr(jwt.PyJWT, "decode", watched)
    return asked


async def test_a_good_token_is_judged_once_a_minute(clock: Clock, judgements: list[str]) -> None:
    judge, given = tokens(None, memory(clock)), token()
    for _ in range(5):
        assert await user_of(given, judge) == "user-1"
    assert len(judgements) == 1
    clock.now += 60
    assert await user_of(given, judge) == "user-1"
    assert len(judgements) == 2


async def test_a_bad_token_is_judged_each_time_and_remembered_never(
    clock: Clock, judgements: list[str]
) -> None:
    remembered = memory(clock)
    judge = tokens(None, remembered)
    for text in (token(exp=1), token()[:-2], token(nbf=clock.now + 100), token(None)):  # type: ignore[arg-type]
        for _ in range(2):
            assert await user_of(text, judge) is None
    assert (len(judgements), len(remembered)) == (8, 0)


async def test_a_remembered_token_ends_when_it_expires(clock: Clock) -> None:
    now = int(clock.now)
    judge, given = tokens(None, memory(clock)), token(exp=now + 20)
    late = tokens(None, memory(clock), JOBCAST_EXP_LEEWAY_S="5")
    for after_s, expected, of_late in (
        (19.9, "user-1", "user-1"),
        (20, None, "user-1"),
        (25, None, None),
    ):
        clock.now = now + after_s
        assert await user_of(given, judge) == expected
        assert await user_of(given, late) == of_late


async def test_a_remembered_token_does_not_outlive_a_clock_that_is_set_back(clock: Clock) -> None:
    judge, given = tokens(None, memory(clock)), token(nbf=int(clock.now) + 20)
    assert await user_of(given, judge) == "user-1"
    clock.now -= 100
    assert await user_of(given, judge) is None


async def test_other_keys_have_their_own_word_on_a_remembered_token(
    monkeypatch: pytest.MonkeyPatch, judgements: list[str]
) -> None:
    issuer = Issuer(named(OLD, "old"), named(NEW, "new"))
    key_set = KeySet("issuer", issuer.fetch)
    judge, of_old, of_new = tokens(key_set), signed(OLD, "old"), signed(NEW, "new")
    assert [await user_of(text, judge) for text in (of_old, of_new)] == ["user-1"] * 2
    issuer.keys = (named(NEW, "new"),)
    assert await key_set.refresh()
    judgements.clear()
    assert [await user_of(text, judge) for text in (of_old, of_new)] == [None, "user-1"]
    assert of_new in judgements
    judgements.clear()
    monkeypatch.setattr("app.auth.key_set.COOL_DOWN_S", -COOL_DOWN_S)
    assert await key_set.refresh()  # the same document
    assert await user_of(of_new, judge) == "user-1"
    assert judgements == []


async def test_the_memory_is_bounded(clock: Clock) -> None:
    remembered = memory(clock, limit=3)
    judge = tokens(None, remembered)
    for number in range(10):
        assert await user_of(token(str(number)), judge) == str(number)
    assert len(remembered) == 3
