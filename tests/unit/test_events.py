import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from jobcast import InvalidEvent as RefusedBySdk
from jobcast._event import emitted
from schema.events import (
    Complete,
    CompleteData,
    Connected,
    ConnectedData,
    Failed,
    FailedData,
    FrontendEvent,
    Ping,
    ProgressData,
    ProgressUpdate,
    Reset,
    ResetData,
    StepChange,
    is_custom_name,
    is_stored_custom_name,
    normalize_json,
)
from tests.support.json_values import json_values

PROGRESS = ProgressData(40, "Writing...", 30)
ADVANCED: dict[str, Any] = {
    "progress": 40,
    "currentStep": "Writing...",
    "estimatedTimeRemaining": 30,
}


@pytest.mark.parametrize(
    ("event", "logical"),
    [
        (ProgressUpdate(PROGRESS), {"type": "progress-update", "data": ADVANCED}),
        (StepChange(PROGRESS), {"type": "step-change", "data": ADVANCED}),
        (
            Complete(CompleteData(Raw(b'{"pages":12}'))),
            {"type": "complete", "data": {"result": {"pages": 12}}},
        ),
        (
            Failed(FailedData("No paper", "E_PAPER")),
            {"type": "failed", "data": {"error": "No paper", "errorCode": "E_PAPER"}},
        ),
        (
            Connected(ConnectedData("c1", "j1", 600, 15)),
            {
                "type": "connected",
                "data": {
                    "connectionId": "c1",
                    "jobId": "j1",
                    "maxAgeSeconds": 600,
                    "keepaliveSeconds": 15,
                },
            },
        ),
        (
            Reset(ResetData(2, "attempt")),
            {"type": "reset", "data": {"attempt": 2, "reason": "attempt"}},
        ),
        (Ping({}), {"type": "ping", "data": {}}),
    ],
)
def test_an_event_has_a_type_and_data(event: FrontendEvent, logical: dict[str, Any]) -> None:
    text = msgspec.json.encode(event)
    assert json.loads(text) == logical
    assert msgspec.json.decode(text, type=FrontendEvent) == event


def test_what_is_not_known_is_null() -> None:
    assert msgspec.to_builtins(ProgressData(1)) == {
        "progress": 1,
        "currentStep": None,
        "estimatedTimeRemaining": None,
    }
    assert msgspec.to_builtins(FailedData("x")) == {"error": "x", "errorCode": None}


RESERVED = (
    *("connected", "reset", "ping", "left"),
    *("progress-update", "step-change", "complete", "failed"),
    *("message", "error", "open"),
)
KEPT = ("chunk", "artifact", "input-requested", "child-", "child-done", "child-progress-update")
OTHERS = (
    "log",
    "note",
    "child",
    "children",
    "childish",
    "chunks",
    "reset-1",
    "pings",
    "artifact-2",
)


@pytest.mark.parametrize("name", RESERVED)
def test_a_worker_may_not_use_a_name_that_has_a_meaning(name: str) -> None:
    assert not is_custom_name(name)
    assert not is_stored_custom_name(name)


@pytest.mark.parametrize("name", KEPT)
def test_a_name_that_is_kept_for_later_can_be_in_an_old_log_and_in_no_new_one(name: str) -> None:
    assert not is_custom_name(name)
    assert is_stored_custom_name(name)


@pytest.mark.parametrize("name", OTHERS)
def test_a_line_of_a_log_and_names_that_resemble_reserved_ones_are_custom(name: str) -> None:
    assert is_custom_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *("", "A", "1a", "-a", "_a", "a_b", "aB", "a b", "a.b", "a\n", "\na", "a\r", "ä", "a:b"),
        *("a" * 65, "_created", "_retried", "_checkpoint"),
    ],
)
def test_a_malformed_name_is_none(name: str) -> None:
    assert not is_custom_name(name)


@given(st.text() | st.from_regex(r"[a-z][a-z0-9-]{0,70}", fullmatch=True))
def test_a_custom_name_is_a_letter_and_up_to_63_letters_digits_and_hyphens(name: str) -> None:
    well_formed = re.match(r"[a-z][a-z0-9-]{0,63}\Z", name) is not None
    reserved = name in {*RESERVED, *KEPT} or name.startswith("child-")
    assert is_custom_name(name) == (well_formed and not reserved)


@given(st.text() | st.sampled_from([*RESERVED, *KEPT, *OTHERS]))
def test_the_service_and_the_sdk_take_the_same_names(name: str) -> None:
    if is_custom_name(name):
        assert emitted(name, {}).name == name
    else:
        with pytest.raises(RefusedBySdk):
            emitted(name, {})


@given(json_values, st.booleans(), st.none() | st.integers(0, 3))
def test_one_line_is_the_same_json_without_line_ends_and_escapes(
    value: Any,  # noqa: ANN401
    ascii_only: bool,  # noqa: FBT001
    indent: int | None,
) -> None:
    line = normalize_json(json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode())
    assert b"\n" not in line
    assert b"\r" not in line
    assert json.loads(line) == value


def test_one_line_leaves_alone_what_is_one() -> None:
    text = '{ "a" : 1.50, "b": "ü\u2028/" , "a":2}'.encode()
    assert normalize_json(text) == text


def test_escaped_unicode_is_unescaped_but_control_characters_are_not() -> None:
    text = rb'{"a":"\u00fc\ud83d\ude80\u2028","b":"\u000a\u000d\u0000"}'
    assert normalize_json(text) == '{"a":"ü🚀\u2028","b":"\\n\\r\\u0000"}'.encode()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (rb'"\ud800"', '"\ufffd"'),
        (rb'["\udfff\ud800"]', '["\ufffd\ufffd"]'),
        (rb'{"\ud83d":"\ud83d\ud83d\ude00"}', '{"\ufffd":"\ufffd\U0001f600"}'),
        (rb'{"a":1e999,"b":"\u00e9"}', '{"a":null,"b":"é"}'),
    ],
)
def test_what_is_no_unicode_or_no_number_is_read_as_the_sign_for_that(
    text: bytes, line: str
) -> None:
    assert normalize_json(text).decode() == line


def test_numbers_survive_a_rewrite() -> None:
    text = b"[1000000000000000000000000000000,\n0.1,-0.0,1e300,5e-324]"
    assert json.loads(normalize_json(text)) == json.loads(text)
