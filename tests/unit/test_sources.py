"""Where a request says who asks, and what counts if it says so more than once."""

import time
from collections.abc import Sequence

import pytest

from app.auth import Authenticator, Identity
from app.auth.authenticator import MOST_TOKENS
from app.errors import Unauthorized
from app.settings import settings_from
from schema.owner import Owner
from tests.support.asking import asks
from tests.support.service import SECRET, token

MINE, THEIRS = token("user-1"), token("user-2")
BAD = token("user-1", exp=int(time.time()) - 10)

Headers = Sequence[tuple[str, str | bytes]]
Query = Sequence[tuple[str, str]]


async def identity_of(
    headers: Headers = (), query: Query | bytes = (), body_session: str | None = None
) -> Identity | None:
    settings = settings_from({"JWT_SECRET": SECRET, "JOBCAST_COOKIE_NAME": "auth"})
    try:
        return await Authenticator(settings).identify(asks(headers, query), body_session)
    except Unauthorized:
        return None


async def owner_of(headers: Headers = (), query: Query | bytes = ()) -> Owner | None:
    identity = await identity_of(headers, query)
    return None if identity is None else identity.owner


def bearer(text: str) -> tuple[str, str]:
    return ("Authorization", f"Bearer {text}")


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ([("Cookie", f"auth={BAD}; auth={MINE}")], []),
        ([("Cookie", f"auth={MINE}; auth={BAD}")], []),
        ([("Cookie", f"auth={MINE}; auth={THEIRS}")], []),
        ([("Cookie", f'auth="{BAD}"; auth="{MINE}"')], []),
        ([("Cookie", f"auth=;auth={BAD};other=1;auth={MINE}")], []),
        ([("Cookie", f"auth={BAD}"), ("Cookie", f"auth={MINE}")], []),
        ([("Cookie", f"auth={BAD}; a=1"), ("Cookie", f"b=2; auth={MINE}; auth={THEIRS}")], []),
        ([bearer(BAD), bearer(MINE)], []),
        ([bearer(MINE), bearer(THEIRS)], []),
        ([("Authorization", f"Basic {THEIRS}"), bearer(MINE)], []),
        ([], [("token", BAD), ("token", MINE)]),
        ([], [("token", MINE), ("token", THEIRS)]),
        ([], [("token", ""), ("token", "null"), ("token", MINE)]),
        ([bearer(BAD), bearer("x")], [("token", BAD), ("token", MINE)]),
        ([bearer(BAD), ("Cookie", f"auth={BAD}; auth={MINE}")], [("token", THEIRS)]),
    ],
)
async def test_of_repeated_tokens_the_first_that_verifies_wins(
    headers: Headers, query: Query
) -> None:
    assert await owner_of(headers, query) == Owner("user-1")


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ([("x-session-id", "null"), ("x-session-id", "mine"), ("x-session-id", "else")], []),
        ([("x-session-id", "s" * 256), ("X-Session-ID", " mine ")], []),
        ([("x-session-id", "")], [("sessionId", ""), ("sessionId", "mine")]),
        ([], [("sessionId", "undefined"), ("sessionid", "mine"), ("sessionId", " ")]),
        ([], [("sessionid", "null"), ("sessionid", "mine"), ("sessionid", "else")]),
        ([], [("sessionid", "else"), ("sessionId", "null"), ("sessionId", "mine")]),
        ([("x-session-id", "mine")], [("sessionId", "else")]),
    ],
)
async def test_of_repeated_sessions_the_first_that_is_one_counts(
    headers: Headers, query: Query
) -> None:
    assert await owner_of(headers, query) == Owner(None, "mine")


async def test_so_many_tokens_of_a_source_are_tried_and_no_more() -> None:
    bad = [("token", token(f"user-{number}", exp=1)) for number in range(MOST_TOKENS)]
    assert await owner_of([], [*bad[1:], ("token", MINE)]) == Owner("user-1")
    assert await owner_of([], [*bad, ("token", MINE)]) is None
    same = [("token", BAD)] * 50
    assert await owner_of([], [*same, ("token", MINE)]) == Owner("user-1")
    cookies = [("Cookie", f"auth={text}") for _, text in bad]
    assert await owner_of([*cookies, ("Cookie", f"auth={MINE}")], bad) is None
    assert await owner_of(cookies, [("token", MINE)]) == Owner("user-1")


SPELLINGS = [
    ([("x-session-id", "zoë")], b""),
    ([("x-session-id", "zoë".encode("latin-1"))], b""),
    ([("x-session-id", " zo\xc3\xab ".encode("latin-1"))], b""),
    ([], b"sessionId=zo%C3%AB"),
    ([], b"sessionid=zo%c3%ab"),
    ([], "sessionId=zoë".encode()),
]


@pytest.mark.parametrize(("headers", "query"), SPELLINGS)
async def test_a_session_of_more_than_ascii_is_the_same_in_each_place(
    headers: Headers, query: bytes
) -> None:
    assert await owner_of(headers, query) == Owner(None, "zoë")


async def test_characters_are_counted_and_not_bytes() -> None:
    for name, here in (("é" * 255, True), ("é" * 256, False), ("日" * 255, True)):
        expected = Owner(None, name) if here else None
        assert await owner_of([("x-session-id", name)]) == expected
        assert await owner_of([], [("sessionId", name)]) == expected


async def test_the_session_of_a_body_is_the_same_too() -> None:
    identity = await identity_of([], [], "zoë")
    assert identity is not None
    assert identity.owner == Owner(None, "zoë")
