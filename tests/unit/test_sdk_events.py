import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import jobcast
from jobcast import InvalidEvent, JobNotRunning
from jobcast._event import completed, created, emitted, failed, progressed, stepped
from jobcast.protocol.append import Append, Bounds, shortened

# Nothing listens on port 1: whatever reaches for Redis there fails with a ConnectionError.
NOWHERE = "redis://127.0.0.1:1/0"

text = st.text(st.characters(exclude_categories=["Cs"]))


def data_of(event: Append) -> Any:  # noqa: ANN401
    """Return the data as the append script puts it together."""
    return json.loads('{"progress":' + (event.number or "7") + event.data)


@given(
    st.integers(0, 100),
    st.none() | text,
    st.none() | st.floats(0, 1e9) | st.integers(0, 10**9),
    st.dictionaries(
        text.filter(lambda name: name not in {"progress", "currentStep", "estimatedTimeRemaining"}),
        text | st.integers() | st.none(),
    ),
)
def test_progress_carries_the_contracts_fields_and_the_further_ones(
    progress: int, step: str | None, eta: float | None, more: dict[str, object]
) -> None:
    event = progressed(progress, step, eta, more)
    assert data_of(event) == {
        "progress": progress,
        "currentStep": step,
        "estimatedTimeRemaining": eta,
        **more,
    }


def test_what_progress_leaves_out_is_cleared_in_the_state() -> None:
    bare = progressed(40, None, None, {})
    assert bare.fields == {}
    assert set(bare.cleared) == {"currentStep", "estimatedTimeRemaining", "extra"}
    full = progressed(40, "Writing", 1.5, {"phase": "x"})
    assert full.fields == {
        "currentStep": "Writing",
        "estimatedTimeRemaining": "1.5",
        "extra": '{"phase":"x"}',
    }
    assert full.cleared == ()


def test_a_step_without_progress_leaves_the_number_to_the_state() -> None:
    assert stepped("Reading", None, None, {}).number == ""
    assert stepped("Reading", 0, None, {}).number == "0"


@pytest.mark.parametrize(
    "progress", [True, False, 40.0, "40", -1, 101, 10**5000, None, math.nan], ids=type
)
def test_progress_is_an_int_from_0_to_100(progress: Any) -> None:  # noqa: ANN401
    with pytest.raises(InvalidEvent, match="progress"):
        progressed(progress, None, None, {})


@pytest.mark.parametrize(
    "eta", [-1, -0.1, math.nan, math.inf, 10**400, 10**5000, "30", True], ids=type
)
def test_an_eta_is_zero_or_more_seconds(eta: Any) -> None:  # noqa: ANN401
    with pytest.raises(InvalidEvent, match="eta"):
        progressed(40, None, eta, {})


@pytest.mark.parametrize("step", [None, 5, b"bytes", ["a"], "\udc80"])
def test_a_step_is_text(step: Any) -> None:  # noqa: ANN401
    with pytest.raises(InvalidEvent, match="step"):
        stepped(step, None, None, {})


@pytest.mark.parametrize("step", [5, b"bytes", "\udc80"])
def test_a_progress_step_is_text_or_nothing(step: Any) -> None:  # noqa: ANN401
    with pytest.raises(InvalidEvent, match="step"):
        progressed(40, step, None, {})


@pytest.mark.parametrize("name", ["progress", "currentStep", "estimatedTimeRemaining"])
def test_a_further_field_may_not_take_a_contract_name(name: str) -> None:
    with pytest.raises(InvalidEvent, match=name):
        progressed(40, None, None, {name: 1})
    with pytest.raises(InvalidEvent, match=name):
        stepped("Reading", None, None, {name: 1})


@pytest.mark.parametrize("name", ["a", "blog-result", "x2", "a" * 64])
def test_an_event_may_have_a_name_of_its_own(name: str) -> None:
    assert emitted(name, {}).name == name


@pytest.mark.parametrize("name", ["", "A", "2x", "-a", "a_b", "a.b", "ä", "a\n", "a" * 65, None])
def test_a_malformed_event_name_is_refused(name: Any) -> None:  # noqa: ANN401
    with pytest.raises(InvalidEvent, match="event name"):
        emitted(name, {})


@pytest.mark.parametrize(
    "name",
    [
        *("connected", "reset", "ping", "left", "message", "error", "open"),
        *("progress-update", "step-change", "complete", "failed"),
        *("chunk", "artifact", "input-requested", "child-", "child-done"),
    ],
)
def test_a_reserved_event_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidEvent, match="reserved"):
        emitted(name, {})


@pytest.mark.parametrize("data", [None, [], "text", 5, [("a", 1)]])
def test_the_data_of_an_event_is_an_object(data: Any) -> None:  # noqa: ANN401
    with pytest.raises(InvalidEvent, match="data must be a dict"):
        emitted("note", data)


def test_an_event_of_more_than_a_mebibyte_is_refused() -> None:
    large = "x" * (1024 * 1024)
    with pytest.raises(InvalidEvent, match="bytes"):
        emitted("note", {"text": large})
    with pytest.raises(InvalidEvent, match="bytes"):
        progressed(40, None, None, {"text": large})
    with pytest.raises(InvalidEvent, match="bytes"):
        completed(large)
    with pytest.raises(InvalidEvent, match="bytes"):
        failed(large, None)


def test_a_result_of_null_is_cleared_in_the_state() -> None:
    assert completed(None).data == '{"result":null}'
    assert set(completed(None).cleared) == {"result", "estimatedTimeRemaining"}
    assert completed([1]).fields == {"result": "[1]"}


def test_a_failure_without_code_clears_the_code() -> None:
    assert failed("Boom", None).data == '{"error":"Boom","errorCode":null}'
    assert failed("Boom", None).cleared == ("errorCode",)
    assert failed("Boom", "E1").fields == {"error": "Boom", "errorCode": "E1"}


@pytest.mark.parametrize(("error", "code"), [(None, None), (5, None), ("Boom", 5)])
def test_an_error_and_its_code_are_text(error: Any, code: Any) -> None:  # noqa: ANN401
    with pytest.raises(InvalidEvent):
        failed(error, code)


JOB: dict[str, Any] = {
    "job_type": "t",
    "user_id": "u",
    "session_id": None,
    "job_input": None,
    "bounds": Bounds(60, 100, 2048),
}


def test_a_jobs_input_and_bounds_are_in_its_first_entry() -> None:
    event = created(**{**JOB, "job_input": {"a": "ü"}, "session_id": "s"})
    assert event.fields == {
        "type": "t",
        "userId": "u",
        "sessionId": "s",
        "input": '{"a":"ü"}',
        "retention": "60",
        "maxEntries": "100",
        "maxEventBytes": "2048",
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"user_id": None},
        {"user_id": ""},
        {"user_id": 7},
        {"session_id": ""},
        {"session_id": " s "},
        {"session_id": "null"},
        {"session_id": "undefined"},
        {"session_id": "s" * 256},
        {"job_type": ""},
        {"job_type": "t" * 129},
        {"job_type": None},
        {"job_input": [1]},
        {"job_input": {"a": math.nan}},
    ],
    ids=str,
)
def test_a_job_that_the_service_could_not_show_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidEvent):
        created(**{**JOB, **wrong})


def test_an_invalid_event_is_a_value_error_and_a_jobcast_error() -> None:
    assert issubclass(InvalidEvent, ValueError)
    assert issubclass(InvalidEvent, jobcast.JobcastError)


def test_an_error_says_its_docstring_unless_told_otherwise() -> None:
    assert str(JobNotRunning()) == "The job was not started."
    assert str(JobNotRunning("Not yet")) == "Not yet"


async def test_a_wrong_argument_is_refused_before_anything_is_sent() -> None:
    async with jobcast.connect(NOWHERE) as jobs:
        run = jobs.run("j1")
        run._sender.token = "started"
        with pytest.raises(InvalidEvent):
            await run.progress(101)
        with pytest.raises(InvalidEvent):
            await run.step("Reading", eta=-1)
        with pytest.raises(InvalidEvent):
            await run.emit("failed", {})
        with pytest.raises(InvalidEvent):
            await jobs.create("t")
        with pytest.raises(InvalidEvent):
            await jobs.create("t", user_id="u", job_id="a b")


async def test_a_run_that_was_not_started_sends_nothing() -> None:
    async with jobcast.connect(NOWHERE) as jobs:
        run = jobs.run("j1")
        with pytest.raises(JobNotRunning):
            await run.progress(10)
        with pytest.raises(JobNotRunning):
            await run.complete()
        with pytest.raises(JobNotRunning):
            await run.fail("Boom")


@pytest.mark.parametrize("attempt", [0, -1, True, "1", 1.0])
async def test_an_attempt_is_a_whole_number_from_1(attempt: Any) -> None:  # noqa: ANN401
    async with jobcast.connect(NOWHERE) as jobs:
        with pytest.raises(InvalidEvent, match="attempt"):
            jobs.run("j1", attempt)


@pytest.mark.parametrize(
    "wrong", [{"retention_s": 0}, {"retention_s": 1.5}, {"max_entries": 1}, {"max_entries": None}]
)
def test_bounds_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidEvent, match=next(iter(wrong))):
        jobcast.connect(NOWHERE, **wrong)


def test_the_public_names_are_these() -> None:
    assert set(jobcast.__all__) == {
        *("connect", "current_run", "owner", "Jobs", "Run", "Address", "parse_address"),
        *("JobcastError", "UnknownJob", "JobExists", "JobFinished", "JobSuperseded"),
        *("JobNotRunning", "JobNotFailed", "JobStalled", "JobCancelled", "InvalidEvent"),
        "BufferFull",
    }


def test_an_end_that_is_shortened_is_written_like_any_other() -> None:
    assert shortened(completed({"pages": 3})) == completed(None)
    long = failed("Ü" * 100, "X" * 100)
    assert shortened(long) == failed("Ü" * 64, None)
    assert shortened(failed('"No paper"\n', "E")) == failed('"No paper"\n', "E")
