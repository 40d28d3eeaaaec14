import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobcast import InvalidEvent
from jobcast._wire import (
    canonical_job_id,
    from_json,
    index_member,
    job_keys,
    owner_keys,
    to_json,
)

UUID = "3F2504E0-4F89-11D3-9A0C-0305E82C3301"


def test_a_uuid_is_spelled_in_lower_case() -> None:
    assert canonical_job_id(UUID) == UUID.lower()


def test_an_id_that_is_no_uuid_keeps_its_case() -> None:
    assert canonical_job_id("Nightly.Report_7-b") == "Nightly.Report_7-b"


@pytest.mark.parametrize("job_id", ["", "a b", "a:b", "{a}", "ä", "a\n", "x" * 129, None, 7])
def test_a_malformed_job_id_is_refused(job_id: object) -> None:
    with pytest.raises(InvalidEvent, match="job_id"):
        canonical_job_id(job_id)


def test_the_keys_of_a_job_share_a_slot_and_its_channel_is_the_plain_one() -> None:
    assert job_keys("j1") == ("jobs:{j1}:log", "jobs:{j1}:state")


def test_a_job_is_listed_under_each_of_its_owners() -> None:
    assert owner_keys("u", "s") == ["jobs:by-user:u", "jobs:by-session:s"]
    assert owner_keys("u", None) == ["jobs:by-user:u"]
    assert owner_keys(None, "s") == ["jobs:by-session:s"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (rb'{"a":"Done \ud83d"}', {"a": "Done \ufffd"}),
        (rb'{"\ude00\ud83d":["\ud83d\ude00"]}', {"\ufffd\ufffd": ["\U0001f600"]}),
        (rb'"\\ud83d"', "\\ud83d"),
        (b'[NaN,Infinity,-Infinity,1e999,1.5,"a\tb"]', [None, None, None, None, 1.5, "a\tb"]),
        (b'\xef\xbb\xbf{"a":"caf\xe9"}', {"a": "caf\ufffd"}),
    ],
)
def test_json_of_another_language_is_read_as_far_as_it_can_be(
    text: bytes,
    value: Any,  # noqa: ANN401 - any JSON
) -> None:
    assert from_json(text) == value
    to_json(value, "the value")


@pytest.mark.parametrize("text", [b"", b"{", b"nothing", b"[" * 100_000, b"9" * 5000])
def test_what_is_no_json_has_no_value(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        from_json(text)


def test_members_of_an_index_sort_by_creation() -> None:
    assert index_member("1732382400000-3", "j1") == "1732382400000:j1"
    assert index_member("999-0", "j1") == "0000000000999:j1"


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # Any text but lone surrogates, which are no Unicode.
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("ab\n\r\u2028ü"), inner),
)


@given(json_values)
def test_json_is_one_line_and_says_what_was_given(value: Any) -> None:  # noqa: ANN401
    text = to_json(value, "the value")
    assert "\n" not in text
    assert "\r" not in text
    assert json.loads(text) == value


def test_json_is_compact_and_leaves_letters_unescaped() -> None:
    assert to_json({"a": [1, "Grüße 🚀"]}, "the value") == '{"a":[1,"Grüße 🚀"]}'


def _endless() -> list[object]:
    inner: list[object] = []
    inner.append(inner)
    return inner


def _deep() -> list[object]:
    outer: list[object] = []
    for _ in range(100_000):
        outer = [outer]
    return outer


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, {"x": {1, 2}}, b"bytes", "\ud800", {("a", "b"): 1}, _endless(), _deep()],
    ids=["nan", "infinity", "set", "bytes", "surrogate", "tuple key", "endless", "deep"],
)
def test_what_json_lacks_is_refused_by_name(value: object) -> None:
    with pytest.raises(InvalidEvent, match="the thing can't be written as JSON"):
        to_json(value, "the thing")


def test_a_mebibyte_of_json_passes_and_a_byte_more_does_not() -> None:
    quotes = 2
    assert to_json("x" * (1024 * 1024 - quotes), "text")
    with pytest.raises(InvalidEvent, match="text has 1048577 bytes"):
        to_json("x" * (1024 * 1024 - quotes + 1), "text")


def test_the_size_is_counted_in_bytes_not_characters() -> None:
    with pytest.raises(InvalidEvent):
        to_json("ü" * (600 * 1024), "text")
