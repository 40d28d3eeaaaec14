import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from schema.entry import Entry, entry_from_log
from schema.state import STATE_FIELDS, JobState, apply, fold
from tests.support.json_values import json_objects, json_values, texts

CREATED = {"event": "_created", "data": "{}", "type": "report", "userId": "u1", "input": "{}"}
RETRIED = {"event": "_retried", "data": "{}"}
CANCEL = {"event": "_cancel-requested", "data": "{}"}


def event(name: str, data: object, **fields: str) -> dict[str, str]:
    return {"event": name, "data": json.dumps(data), **fields}


STARTED = event("step-change", {"progress": 0}, run="r1")
WRITING = event(
    "progress-update",
    {"progress": 40, "currentStep": "Writing...", "estimatedTimeRemaining": 30, "phase": "x"},
)
COMPLETED = event("complete", {"result": {"pages": 12}})
FAILED = event("failed", {"error": "No paper", "errorCode": "E_PAPER"})


def log(*entries: dict[str, str]) -> list[Entry]:
    return [entry_from_log(f"{number}-0", fields) for number, fields in enumerate(entries, 1)]


def state_after(*entries: dict[str, str]) -> JobState:
    state = fold(log(CREATED, *entries))
    assert state is not None
    return state


def test_an_empty_log_is_no_job() -> None:
    assert fold([]) is None


def test_a_created_job_is_queued_in_its_first_attempt() -> None:
    assert state_after() == JobState("queued", 1, "1-0", "1-0", "1-0", "report", "u1")


def test_a_started_job_runs_under_its_run() -> None:
    state = state_after(STARTED)
    assert (state.status, state.run, state.progress, state.last) == ("running", "r1", 0, "2-0")


def test_progress_replaces_all_that_progress_says() -> None:
    state = state_after(STARTED, WRITING)
    assert (state.progress, state.current_step, state.estimated_time_remaining) == (
        *(40, "Writing...", 30),
    )
    assert state.extra == {"phase": "x"}
    assert state.run == "r1"
    state = state_after(STARTED, WRITING, event("progress-update", {"progress": 41}))
    assert (state.progress, state.current_step, state.estimated_time_remaining) == (41, None, None)
    assert state.extra == {}


def test_a_step_may_lower_the_progress() -> None:
    state = state_after(STARTED, WRITING, event("step-change", {"progress": 5, "currentStep": "y"}))
    assert (state.progress, state.current_step, state.run) == (5, "y", "r1")


def test_another_start_takes_the_run_over() -> None:
    state = state_after(STARTED, WRITING, event("step-change", {"progress": 0}, run="r2"))
    assert (state.run, state.progress, state.current_step, state.attempt) == ("r2", 0, None, 1)


def test_an_end_well_is_whole_and_has_no_time_left() -> None:
    state = state_after(STARTED, WRITING, COMPLETED)
    assert (state.status, state.progress, state.estimated_time_remaining) == (
        *("succeeded", 100, None),
    )
    assert json.loads(bytes(state.result)) == {"pages": 12}
    assert state.current_step == "Writing..."
    assert state.finished


def test_an_end_badly_keeps_how_far_the_job_came() -> None:
    state = state_after(STARTED, WRITING, FAILED)
    assert (state.status, state.error, state.error_code) == ("failed", "No paper", "E_PAPER")
    assert (state.progress, state.estimated_time_remaining) == (40, 30)
    assert state.finished


def test_a_retry_begins_anew_but_for_whose_the_job_is() -> None:
    state = state_after(STARTED, WRITING, CANCEL, FAILED, RETRIED)
    assert state == JobState("queued", 2, "6-0", "1-0", "6-0", "report", "u1")
    assert not state.finished


def test_a_cancel_request_is_remembered_until_a_retry() -> None:
    assert state_after(STARTED, CANCEL).cancel_requested
    assert state_after(STARTED, CANCEL, STARTED).cancel_requested
    assert not state_after(STARTED, CANCEL, FAILED, RETRIED).cancel_requested


def test_a_custom_event_only_moves_the_cursor() -> None:
    before = state_after(STARTED, WRITING)
    after = state_after(STARTED, WRITING, event("note", {"progress": 99, "error": "x"}))
    assert after == msgspec.structs.replace(before, last="4-0")


def test_a_checkpoint_stands_for_all_before_it() -> None:
    fields = {
        "status": "running",
        "attempt": "3",
        "attemptId": "7-0",
        "created": "1-0",
        "last": "8-0",
        "type": "report",
        "sessionId": "s1",
        "run": "r9",
        "progress": "12",
        "extra": '{"phase":"x"}',
        "cancel": "1",
        "input": "{}",
        "maxEntries": "10",
    }
    state = fold(
        [
            entry_from_log("9-0", {"event": "_checkpoint", **fields}),
            entry_from_log("9-1", event("progress-update", {"progress": 13})),
        ]
    )
    expected = JobState("running", 3, "7-0", "1-0", "9-1", "report", None, "s1", "r9", 13)
    assert state == msgspec.structs.replace(expected, cancel_requested=True)


@pytest.mark.parametrize("first", [STARTED, WRITING, COMPLETED, FAILED, RETRIED, CANCEL])
def test_a_log_that_lacks_its_beginning_is_refused(first: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="begins with its creation"):
        fold(log(first))


def test_what_is_not_in_the_log_is_not_folded() -> None:
    entry = msgspec.structs.replace(log(WRITING)[0], id=None)
    with pytest.raises(ValueError, match="only log entries"):
        apply(state_after(STARTED), entry)


@given(
    st.fixed_dictionaries(
        {
            "status": st.sampled_from(["queued", "running", "succeeded", "failed"]),
            "attempt": st.integers(1, 10**6).map(str),
            "attemptId": st.just("2-0"),
            "created": st.just("1-0"),
            "last": st.just("3-0"),
            "type": texts,
            "progress": st.integers(0, 100).map(str),
        },
        optional={
            "userId": texts,
            "sessionId": texts,
            "run": texts,
            "currentStep": texts,
            "estimatedTimeRemaining": (st.integers(0) | st.floats(0, 1e9)).map(json.dumps),
            "extra": json_objects.map(json.dumps),
            "result": json_values.map(json.dumps),
            "error": texts,
            "errorCode": texts,
            "cancel": st.just("1"),
        },
    )
)
def test_a_state_is_read_from_its_hash(fields: dict[str, str]) -> None:
    state = JobState.from_hash(fields)
    assert state.attempt == int(fields["attempt"])
    assert state.current_step == fields.get("currentStep")
    assert state.estimated_time_remaining == json.loads(
        fields.get("estimatedTimeRemaining", "null")
    )
    assert state.extra == json.loads(fields.get("extra", "{}"))
    assert json.loads(bytes(state.result)) == json.loads(fields.get("result", "null"))
    assert (state.owner.user_id, state.owner.session_id) == (
        *(fields.get("userId"), fields.get("sessionId")),
    )
    assert state.cancel_requested == ("cancel" in fields)
    absent: dict[str, Any] = dict.fromkeys(STATE_FIELDS)
    assert JobState.from_hash({**absent, **fields}) == state


WHOLE: dict[str, str | None] = {
    "status": "queued",
    "attempt": "1",
    "attemptId": "1-0",
    "created": "1-0",
    "last": "1-0",
    "type": "report",
    "progress": "0",
}


@pytest.mark.parametrize(
    "wrong",
    [
        *({name: None} for name in ("status", "created", "last")),
        *({"status": "cancelled"}, {"status": ""}, {"created": "x"}, {"created": "1"}),
        *({"last": "1-0 "}, {"last": "01-0"}, {"last": "123456789012345-0"}),
        *({"last": "1-100000000000000000000"}, {"last": "-1-0"}, {"last": "\u0661-0"}),
    ],
    ids=str,
)
def test_a_hash_that_is_no_state_is_refused(wrong: dict[str, str | None]) -> None:
    with pytest.raises(ValueError, match="not a state of a job"):
        JobState.from_hash({**WHOLE, **wrong})


DAMAGED = {"event": "_checkpoint", "status": "sleeping", "created": "1-0"}


def test_a_checkpoint_that_is_no_state_says_nothing_new() -> None:
    before = state_after(STARTED, WRITING)
    after = apply(before, Entry("9-0", "_checkpoint", None, b"", {}, DAMAGED))
    assert after == msgspec.structs.replace(before, last="9-0")
    with pytest.raises(ValueError, match="status is 'sleeping'"):
        fold([Entry("9-0", "_checkpoint", None, b"", {}, DAMAGED)])


@pytest.mark.parametrize("end", [COMPLETED, FAILED])
def test_the_state_of_a_finished_job_tells_of_its_end_as_the_log_does(end: dict[str, str]) -> None:
    entries = log(CREATED, STARTED, WRITING, end)
    state = fold(entries)
    assert state is not None
    told, logged = state.terminal_entry(), entries[-1]
    assert (told.id, told.name, json.loads(told.data)) == (
        *(logged.id, logged.name),
        json.loads(logged.data),
    )
    assert apply(fold(entries[:-1]), told) == state


def test_a_snapshot_is_the_last_thing_that_a_viewer_need_know() -> None:
    queued, running = state_after(), state_after(STARTED, WRITING)
    assert queued.snapshot()[0] == running.snapshot()[0] == "progress-update"
    assert json.loads(queued.snapshot()[1]) == {
        "progress": 0,
        "currentStep": None,
        "estimatedTimeRemaining": None,
    }
    assert json.loads(running.snapshot()[1]) == json.loads(WRITING["data"])
    name, line = state_after(STARTED, COMPLETED).snapshot()
    assert (name, json.loads(line)) == ("complete", {"result": {"pages": 12}})
    name, line = state_after(STARTED, FAILED).snapshot()
    assert (name, json.loads(line)) == ("failed", {"error": "No paper", "errorCode": "E_PAPER"})


def test_a_snapshot_of_a_job_without_result_has_the_result_null() -> None:
    state = msgspec.structs.replace(state_after(STARTED, COMPLETED), result=Raw(b"null"))
    assert state.snapshot() == ("complete", b'{"result":null}')
