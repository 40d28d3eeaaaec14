from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schema.entry_id import parse_cursor, position, timestamp

part = st.integers(0, 2**64 - 1)


@given(st.tuples(part, part), st.tuples(part, part))
def test_ids_compare_by_their_numbers_not_their_text(
    one: tuple[int, int], other: tuple[int, int]
) -> None:
    ids = [f"{milliseconds}-{sequence}" for milliseconds, sequence in (one, other)]
    assert (position(ids[0]) < position(ids[1])) == (one < other)


def test_a_sequence_of_two_digits_is_above_one_of_one() -> None:
    assert position("5-10") > position("5-9")
    assert position("10-0") > position("9-99")


@pytest.mark.parametrize("text", ["", "5", "5-", "-5", "a-b"])
def test_what_is_no_id_has_no_position(text: str) -> None:
    with pytest.raises(ValueError, match=r"int|unpack"):
        position(text)


@given(part, part)
def test_an_id_is_a_cursor(milliseconds: int, sequence: int) -> None:
    text = f"{milliseconds}-{sequence}"
    assert parse_cursor(text) == text


@pytest.mark.parametrize("text", ["007-0", "7-00", "0007-000"])
def test_a_cursor_has_no_leading_zeros(text: str) -> None:
    assert parse_cursor(text) == "7-0"


@pytest.mark.parametrize(
    "text",
    [
        *(None, "", " ", "0", "1-", "-1", "1-2-3", "1_0-0", "1.5-0", "+1-0", "1-0\n", "\n1-0"),
        *("1 - 0", "1-0 ", "$", "+", "-", "(1-0", "1-*", "*", "٣-٤", "²-0", "1-0\0"),
        *(f"{2**64}-0", f"0-{2**64}", "9" * 21 + "-0"),
    ],
)
def test_what_redis_would_not_take_as_an_id_is_no_cursor(text: str | None) -> None:
    assert parse_cursor(text) is None


@given(st.text())
@example("1-0\r")
def test_no_text_makes_parsing_a_cursor_fail(text: str) -> None:
    cursor = parse_cursor(text)
    assert cursor is None or parse_cursor(cursor) == cursor


def test_a_timestamp_is_utc_with_milliseconds() -> None:
    assert timestamp("1732382400007-3") == "2024-11-23T17:20:00.007Z"
    assert timestamp("0-1") == "1970-01-01T00:00:00.000Z"


@given(st.integers(0, 4 * 10**12))
def test_a_timestamp_names_the_millisecond_of_the_id(milliseconds: int) -> None:
    moment = datetime.fromisoformat(timestamp(f"{milliseconds}-0"))
    assert (moment - datetime.fromtimestamp(0, UTC)).total_seconds() * 1000 == pytest.approx(
        milliseconds, abs=0.1
    )
