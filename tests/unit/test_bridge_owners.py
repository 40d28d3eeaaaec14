from typing import Any

import pytest

from jobcast import InvalidEvent
from jobcast._owner import Owner
from jobcast.bridge.owners import OwnerRule, parse_paths, text_at
from jobcast.protocol.append import Bounds

BOUNDS = Bounds(60, 100, 2048)


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ({"data": {"userId": "u1"}}, "u1"),
        ({"data": {"userId": " u1 "}}, "u1"),
        ({"data": {"userId": 7}}, "7"),
        ({"data": {"userId": True}}, None),
        ({"data": {"userId": 1.5}}, None),
        ({"data": {"userId": ""}}, None),
        ({"data": {"userId": None}}, None),
        ({"data": {"userId": ["u1"]}}, None),
        ({"data": "userId"}, None),
        ({"data": []}, None),
        ({}, None),
        ([], None),
        (None, None),
    ],
)
def test_an_owner_is_a_text_or_a_whole_number_at_its_path(payload: Any, text: str | None) -> None:  # noqa: ANN401
    assert text_at(payload, parse_paths("data.userId")) == text


def test_a_path_goes_through_lists() -> None:
    path = parse_paths("args.1.user")
    assert text_at({"args": [1, {"user": "u1"}]}, path) == "u1"
    assert text_at({"args": [1]}, path) is None
    assert text_at({"args": "ab"}, path) is None


def test_the_first_path_that_leads_to_one_counts() -> None:
    paths = parse_paths("data.userId, kwargs.user_id")
    assert text_at({"kwargs": {"user_id": "u1"}}, paths) == "u1"
    assert text_at({"data": {"userId": 0}, "kwargs": {"user_id": "u1"}}, paths) == "0"


def test_a_job_has_a_user_a_session_or_both() -> None:
    rule = OwnerRule(user=(("user",),), session=(("session",),))
    assert rule.owner_of({"user": "u"}) == Owner("u", None)
    assert rule.owner_of({"session": "s"}) == Owner(None, "s")
    assert rule.owner_of({"user": "u", "session": "s"}) == Owner("u", "s")
    assert rule.owner_of({}) is None
    assert OwnerRule().owner_of({"user": "u"}) is None
    assert rule.new_job({}, "job", BOUNDS) is None


def test_the_type_is_the_sources_unless_the_payload_has_one() -> None:
    rule = OwnerRule(user=(("user",),), type=(("kind",),))
    for payload, job_type in (({"user": "u"}, "job"), ({"user": "u", "kind": "mail"}, "mail")):
        new = rule.new_job(payload, "job", BOUNDS)
        assert new is not None
        assert (new.event.fields["type"], new.event.fields["userId"]) == (job_type, "u")


def test_what_can_be_no_session_or_type_is_refused() -> None:
    rule = OwnerRule(user=(("user",),), session=(("session",),), type=(("kind",),))
    for payload in ({"session": "null"}, {"session": "x" * 256}, {"user": "u", "kind": "x" * 129}):
        with pytest.raises(InvalidEvent):
            rule.new_job(payload, "job", BOUNDS)
