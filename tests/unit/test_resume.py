"""Where a viewer's events begin, and why it can't go on from what it has seen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema.entry_id import position
from schema.resume import Beginning, From, Reason, beginning, may_have_existed, reset_reason
from schema.state import JobState
from tests.support.job_world import JobLog

STATE = JobState(
    status="running",
    attempt=2,
    attempt_id="40-0",
    created="10-0",
    last="90-0",
    type="report",
    session_id="s1",
)
"""A job whose log began at 10-0, whose second attempt began at 40-0, and that has come to 90-0."""

ATTEMPT, TRIMMED, UNKNOWN = Reason


@pytest.mark.parametrize("wanted", [None, "start", "x"])
@pytest.mark.parametrize(
    ("header", "begins"),
    [
        *(("5-0", "5-0"), ("005-00", "5-0"), ("0-0", "0-0")),
        *(("x", UNKNOWN), ("5", UNKNOWN), ("5-", UNKNOWN), (" 5-0", UNKNOWN), ("$", UNKNOWN)),
        *(("null", UNKNOWN), ("-", UNKNOWN), (f"{2**64}-0", UNKNOWN), ("\u0661-\u0660", UNKNOWN)),
    ],
)
def test_what_a_viewer_has_seen_counts_before_what_it_wants(
    header: str, begins: Beginning, wanted: str | None
) -> None:
    assert beginning(header, wanted) == begins


@pytest.mark.parametrize("header", [None, ""])
@pytest.mark.parametrize(
    ("wanted", "begins"),
    [
        *((None, None), ("start", From.START)),
        *(("", None), ("Start", None), ("START", None), ("start ", None), ("5-0", None)),
        *(("end", None), ("0", None), ("1", None)),
    ],
)
def test_who_has_seen_nothing_begins_with_the_snapshot_or_the_whole_attempt(
    header: str | None, wanted: str | None, begins: Beginning
) -> None:
    assert beginning(header, wanted) == begins


@pytest.mark.parametrize(
    ("cursor", "oldest", "found", "reason"),
    [
        ("40-0", None, True, None),  # what began the attempt
        ("41-0", None, True, None),
        ("90-0", None, True, None),
        ("95-0", None, True, None),  # came after the state was read
        ("39-0", None, True, ATTEMPT),
        ("10-0", None, True, ATTEMPT),
        ("50-0", "60-0", False, TRIMMED),
        ("40-0", "60-0", False, TRIMMED),
        ("59-9", "60-0", False, TRIMMED),
        ("60-1", "60-0", False, UNKNOWN),  # between two entries
        ("61-0", "60-0", False, UNKNOWN),
        ("39-9", "60-0", False, ATTEMPT),
        ("10-0", "60-0", False, ATTEMPT),
        ("39-0", "30-0", False, UNKNOWN),  # between two of the attempt before
        ("29-0", "30-0", False, ATTEMPT),
        ("9-9", "10-0", False, UNKNOWN),  # before there was a job
        ("9-9", "60-0", False, UNKNOWN),
        ("0-0", "60-0", False, UNKNOWN),
        ("90-1", "60-0", False, UNKNOWN),  # above the log's end
        (f"{2**64 - 1}-{2**64 - 1}", "60-0", False, UNKNOWN),
        ("50-0", None, False, UNKNOWN),  # there is no log any more
        ("39-0", None, False, UNKNOWN),
        ("100-0", "10-0", False, UNKNOWN),
        ("9-0", "10-0", False, UNKNOWN),
    ],
)
def test_a_reset_has_one_reason(
    cursor: str, oldest: str | None, reason: Reason | None, *, found: bool
) -> None:
    assert reset_reason(cursor, STATE, oldest, found=found) is reason


@pytest.mark.parametrize(
    ("cursor", "may"),
    [("9-9", False), ("10-0", True), ("50-5", True), ("90-0", True), ("90-1", False)],
)
def test_only_of_what_may_have_been_the_log_is_asked_for_its_oldest_entry(
    cursor: str, *, may: bool
) -> None:
    assert may_have_existed(cursor, STATE) == may


@given(st.lists(st.sampled_from("pprc"), max_size=30), st.integers(0, 40), st.booleans())
def test_whatever_became_of_a_log_each_id_has_the_reason_that_its_history_gives(
    happens: list[str],
    number: int,
    is_entry: bool,  # noqa: FBT001
) -> None:
    """Progress, retries and cuts; of all ids that were, and of some that never were."""
    log = JobLog()
    log.start()
    attempts = {"1-0": 1, "2-0": 1}
    for what in happens:
        if what == "p":
            log.progress(5)
        elif what == "r":
            log.append("failed", {"error": "x", "errorCode": None})
            attempts[log.last] = log.state.attempt
            log.append("_retried")
            attempts[log.last] = log.state.attempt
            log.start()
        else:
            log.cut()
            attempts[str(log.entries[-1].id)] = log.state.attempt
            log.progress(5)
        attempts[log.last] = log.state.attempt
    kept = [str(entry.id) for entry in log.entries]
    cursor = f"{number}-{0 if is_entry else 7}"
    found = cursor in kept
    reason = reset_reason(cursor, log.state, kept[0], found=found)
    was_trimmed = position(cursor) < position(kept[0])
    if cursor in attempts and attempts[cursor] < log.state.attempt:
        assert reason is ATTEMPT
    elif found:
        assert reason is None
    elif cursor in attempts:
        assert reason is TRIMMED
    elif not was_trimmed or position(cursor) < (1, 0):
        assert reason is UNKNOWN
    else:  # whether it was an entry, nobody knows any more
        assert reason in {ATTEMPT, TRIMMED}
