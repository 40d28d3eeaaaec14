"""Tokens that were verified are remembered for a while, and only so many."""

import gc

from app.auth.verified_tokens import LIFETIME_S, LIMIT, Claims, VerifiedTokens, digest_of

ALICE, BOB = Claims("alice"), Claims("bob")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_token_is_remembered_for_a_minute() -> None:
    clock = Clock()
    tokens = VerifiedTokens(clock=clock)
    assert tokens.get(b"a") is None
    tokens.put(b"a", ALICE)
    clock.now += LIFETIME_S - 0.1
    assert tokens.get(b"a") is ALICE
    clock.now += 0.1  # to be used does not make it live longer
    assert tokens.get(b"a") is None
    assert len(tokens) == 0


def test_the_token_that_was_used_longest_ago_makes_room() -> None:
    tokens = VerifiedTokens(limit=2)
    tokens.put(b"a", ALICE)
    tokens.put(b"b", BOB)
    assert tokens.get(b"a") is ALICE
    tokens.put(b"c", Claims("carol"))
    assert (tokens.get(b"a"), tokens.get(b"b"), len(tokens)) == (ALICE, None, 2)
    for number in range(3 * LIMIT):
        tokens.put(b"%d" % number, ALICE)
    assert len(tokens) == 2


def test_other_keys_end_it_all() -> None:
    tokens = VerifiedTokens()
    tokens.put(b"a", ALICE)
    tokens.clear()
    assert tokens.get(b"a") is None


def test_no_token_is_kept() -> None:
    tokens = VerifiedTokens()
    token = "a token that is looked for in memory" * 2
    tokens.put(digest_of(token), ALICE)
    assert token not in str(tokens._entries)
    assert not [found for found in gc.get_referrers(token) if found is tokens._entries]
    assert all(len(digest) == 32 for digest in tokens._entries)
