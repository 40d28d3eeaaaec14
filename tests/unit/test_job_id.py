import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import jobcast
from jobcast.protocol.names import new_job_id, parse_job_id

ids = st.from_regex(r"[A-Za-z0-9._-]{1,128}", fullmatch=True)


@given(st.uuids())
def test_a_uuid_in_capitals_is_the_same_job(job: uuid.UUID) -> None:
    assert parse_job_id(str(job).upper()) == str(job)
    assert parse_job_id(str(job)) == str(job)


@given(ids)
def test_any_other_id_is_taken_as_it_is(text: str) -> None:
    parsed = parse_job_id(text)
    assert parsed is not None
    assert parsed == text or parsed == str(uuid.UUID(text))


def test_capitals_make_another_job_when_it_is_no_uuid() -> None:
    assert parse_job_id("Report-7") == "Report-7"
    capitals = str(uuid.UUID(int=0xABCDEF << 90)).upper().replace("-", "")
    assert parse_job_id(capitals) == capitals


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "a b", "a/b", "..%2f", "a\n", "\na", "a\0", "ä", "é", "a:b", "{a}", "a*", "日"),
        *("x" * 129, "١٢", "\N{KELVIN SIGN}"),
    ],
)
def test_what_could_be_mistaken_in_a_key_is_no_id(text: str) -> None:
    assert parse_job_id(text) is None


def test_an_id_has_up_to_128_characters() -> None:
    assert parse_job_id("x" * 128) == "x" * 128


def test_a_fresh_id_is_a_uuid_in_lower_case() -> None:
    first, second = new_job_id(), new_job_id()
    assert first != second
    assert parse_job_id(first) == first == str(uuid.UUID(first))


@pytest.mark.parametrize("job_id", ["", "a b", "a:b", "{a}", "ä", "a\n", "x" * 129, 7])
async def test_the_library_refuses_a_malformed_id(job_id: Any) -> None:  # noqa: ANN401 - as a caller may
    async with jobcast.connect("redis://nowhere") as jobs:
        with pytest.raises(jobcast.InvalidEvent, match="job_id"):
            await jobs.create("report", session_id="s1", job_id=job_id)
        with pytest.raises(jobcast.InvalidEvent, match="job_id"):
            jobs.run(job_id)
