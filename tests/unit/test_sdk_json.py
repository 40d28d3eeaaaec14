import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobcast import InvalidEvent
from jobcast._json import from_json, to_json


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
