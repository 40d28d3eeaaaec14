from hypothesis import given
from hypothesis import strategies as st

from schema.owner import Owner

names = st.none() | st.sampled_from(["a", "b", "", "null"])
owners = st.builds(Owner, names, names)


def test_the_same_user_shares() -> None:
    assert Owner("u1", "s1").shares_with(Owner("u1", "s2"))
    assert Owner("u1").shares_with(Owner("u1", "s2"))


def test_the_same_session_shares() -> None:
    assert Owner("u1", "s1").shares_with(Owner("u2", "s1"))
    assert Owner(None, "s1").shares_with(Owner("u2", "s1"))


def test_a_user_is_not_a_session_of_the_same_name() -> None:
    assert not Owner("x", None).shares_with(Owner(None, "x"))


def test_nobody_shares_with_nobody() -> None:
    assert not Owner().shares_with(Owner())
    assert not Owner("u1").shares_with(Owner(None, "s1"))
    assert not Owner(None, "s1").shares_with(Owner("u1"))


@given(owners, owners)
def test_sharing_is_mutual_and_needs_something_in_common(one: Owner, other: Owner) -> None:
    assert one.shares_with(other) == other.shares_with(one)
    users = {one.user_id} & {other.user_id} - {None}
    sessions = {one.session_id} & {other.session_id} - {None}
    assert one.shares_with(other) == bool(users or sessions)
