import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobcast.protocol.append import CANCEL, Answer
from jobcast.protocol.leases import lease_member, leased_run
from jobcast.protocol.names import (
    PLAIN,
    SHARDED,
    idempotency_key,
    index_member,
    listed_job,
    log_key,
    owner_keys,
    state_key,
    stored_number,
)
from tests.support.json_values import texts


def test_the_log_and_the_state_of_a_job_share_a_slot_of_a_cluster() -> None:
    assert (log_key("j1"), state_key("j1")) == ("jobs:{j1}:log", "jobs:{j1}:state")


def test_the_channel_of_a_job_is_in_its_slot_where_that_counts() -> None:
    assert PLAIN.channel("j1") == "jobs:j1:events"
    assert SHARDED.channel("j1") == "jobs:{j1}:events"


def test_a_job_is_listed_under_each_of_its_owners() -> None:
    assert owner_keys("u", "s") == ["jobs:by-user:u", "jobs:by-session:s"]
    assert owner_keys("u", None) == ["jobs:by-user:u"]
    assert owner_keys(None, "s") == ["jobs:by-session:s"]


def test_members_of_an_index_sort_by_creation() -> None:
    assert index_member("j1", "1732382400000-3") == "1732382400000:j1"
    assert index_member("j1", "999-0") == "0000000000999:j1"


def test_a_member_of_an_index_says_which_job_it_is() -> None:
    assert listed_job(b"1732382400000:Nightly.Report_7-b") == (
        "Nightly.Report_7-b",
        "1732382400000-0",
    )
    assert listed_job(b"0000000000999:j1") == ("j1", "999-0")


@pytest.mark.parametrize(
    "member",
    [
        *(b"", b"j1", b"999:j1", b"1732382400000:", b"1732382400000:j 1", b"1732382400000:j1\n"),
        *(b"1732382400000:\xff", b"x1732382400000:j1", b"173238240000000:j1"),
        b"1732382400000:3F2504E0-4F89-11D3-9A0C-0305E82C3301",
    ],
)
def test_what_is_no_member_of_an_index_says_none(member: bytes) -> None:
    assert listed_job(member) is None


def test_a_member_of_the_index_of_leases_says_which_run_it_is() -> None:
    member = lease_member("Nightly.Report_7-b", "0f3a").encode()
    assert leased_run(member) == ("Nightly.Report_7-b", b"0f3a")
    assert leased_run(b"j1:any:\xff") == ("j1", b"any:\xff")


@given(st.tuples(texts, texts), st.tuples(texts, texts))
@example(("a", "b:c"), ("a:b", "c"))
@example(("1:a", ""), ("a", ":"))
def test_each_owner_has_idempotency_keys_of_its_own(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    assert (idempotency_key(*one) == idempotency_key(*other)) == (one == other)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(("7", 7), ("0", 0), (str(2**53 - 1), 2**53 - 1), (str(2**53), 1), ("9" * 16, 1)),
        *((text, 1) for text in ("", "-1", "05", "1e0", "٣", "9" * 5000)),
    ],
)
def test_a_stored_number_that_is_none_is_read_as_its_default(text: str, number: int) -> None:
    assert stored_number(text, 1) == number


def test_an_attempt_of_thousands_of_digits_does_not_hide_what_was_written() -> None:
    answer = CANCEL.answer_in([b"1-1", b"9" * 5000, b"failed", None, b"Cancelled"])
    assert answer is not None
    assert (answer.entry_id, answer.attempt) == ("1-1", 1)


def test_an_id_that_is_no_text_does_not_hide_the_answer() -> None:
    answer = Answer.from_reply([b"\xff", 0, 0, 1, b"queued"])
    assert (answer.entry_id, answer.status_before) == ("\ufffd", "queued")
