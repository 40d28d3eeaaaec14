import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schema.entry import salvage_entry
from schema.events import NO_REASON, Terminal
from schema.http import JobStatus, JobSummary
from schema.salvage import salvage, salvage_object
from schema.sse import encode_snapshot
from schema.state import STATE_FIELDS, JobState
from tests.support.json_values import json_objects, json_values
from tests.support.sse import Parser

DEEP = "[" * 100_000 + "]" * 100_000
WHOLE: dict[str, str | None] = {
    "status": "running",
    "attempt": "2",
    "attemptId": "3-0",
    "created": "1-0",
    "last": "5-0",
    "type": "report",
    "sessionId": "s1",
    "progress": "40",
}

odd_texts = st.text(max_size=8) | st.sampled_from(["\ud83d", "\ude00\ud83d", "\ud83d\ude00", "\n"])
odd_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | odd_texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(odd_texts, inner, max_size=3),
    max_leaves=8,
)
"""What Python's ``json`` writes and a strict reader refuses: lone surrogates, NaN, infinities."""


def as_it_is_read(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return a value with U+FFFD for lone surrogates and None for what is no number."""
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case float() if not math.isfinite(value):
            return None
        case list():
            return [as_it_is_read(inner) for inner in value]
        case dict():
            return {as_it_is_read(name): as_it_is_read(inner) for name, inner in value.items()}
    return value


@given(odd_values, st.none() | st.integers(0, 2))
def test_what_a_lenient_writer_wrote_is_read_as_far_as_json_can_say_it(
    value: Any,  # noqa: ANN401 - any JSON
    indent: int | None,
) -> None:
    line = salvage(json.dumps(value, indent=indent))
    assert b"\n" not in line
    assert json.loads(line.decode()) == as_it_is_read(value)
    msgspec.json.decode(line)


@given(json_values)
def test_what_a_strict_reader_takes_stays_as_it_is(value: Any) -> None:  # noqa: ANN401 - any JSON
    assert json.loads(salvage(json.dumps(value))) == value


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (r'"Done \ud83d"', '"Done \ufffd"'),
        (r'"\ude00\ud83d"', '"\ufffd\ufffd"'),
        (r'"\ud83d\ud83d\ude00"', '"\ufffd\U0001f600"'),
        (r'"\\ud83d"', r'"\\ud83d"'),
        (r'{"\udfff":{"\ud800":["\uD83D"]}}', '{"\ufffd":{"\ufffd":["\ufffd"]}}'),
        ("NaN", "null"),
        ("[Infinity,-Infinity,1e999,-1e999]", "[null,null,null,null]"),
        ("9" * 5000, "null"),
        ("-" + "9" * 30, "-" + "9" * 30),
        ('"a\r\n\tb\0"', r'"a\r\n\tb\u0000"'),
        ("\ufeff{}", "{}"),
        ('{"a":1,"a":2}', '{"a":2}'),
        ("\r\n 5 \r\n", "5"),
        ('"\ufffd"', '"\ufffd"'),
    ],
    ids=lambda text: text[:30],
)
def test_json_that_was_written_carelessly(text: str, line: str) -> None:
    assert salvage(text).decode() == line


@pytest.mark.parametrize("text", ["", " ", "{", "nothing", "{}{}", "[1,]", "'a'", DEEP, "\ufffd"])
def test_what_is_no_json_even_so(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        salvage(text)


@pytest.mark.parametrize("text", ["[]", "5", '"x"', "null", "NaN"])
def test_what_is_no_object_even_so(text: str) -> None:
    with pytest.raises(ValueError, match="not an object"):
        salvage_object(text)


def read(**fields: str | None) -> tuple[JobState, list[str]]:
    """Return a state of which these fields are odd, and what was noted."""
    faults: list[str] = []
    return JobState.from_hash({**WHOLE, **fields}, faults.append), faults


@pytest.mark.parametrize(
    ("field", "text", "attribute", "value"),
    [
        *(("attempt", text, "attempt", 1) for text in ("x", "", "0", "-3", "1.5", "9" * 400)),
        *(("attemptId", text, "attempt_id", "1-0") for text in ("x", "", "1", f"1-{2**64}0")),
        *(("progress", text, "progress", 0) for text in ("", "x", "NaN", "1e999", "-5", "null")),
        *(("progress", text, "progress", 40) for text in ("40.7", "4e1", " 40.0 ")),
        *(("progress", text, "progress", 100) for text in ("101", "1e300", "9" * 200)),
        *(
            ("estimatedTimeRemaining", text, "estimated_time_remaining", None)
            for text in ("NaN", "-1", "-0.5", "1e999", "Infinity", "soon", "", "9" * 400, "true")
        ),
        *(("extra", text, "extra", {}) for text in ("", "[]", "5", "NaN", '{"a":', DEEP)),
        ("extra", r'{"\ud83d":[NaN,"\udc00"]}', "extra", {"\ufffd": [None, "\ufffd"]}),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_field_of_the_state_that_is_none_is_read_as_the_nearest_that_is_and_noted(
    field: str,
    text: str,
    attribute: str,
    value: Any,  # noqa: ANN401 - any field's
) -> None:
    state, faults = read(**{field: text})
    assert getattr(state, attribute) == value
    (fault,) = faults
    assert fault.startswith(f"{field} is read as ")
    assert "\n" not in fault


@pytest.mark.parametrize(
    ("text", "result"),
    [
        (r'"Done \ud83d"', '"Done \ufffd"'),
        ('{"a":NaN}', '{"a":null}'),
        *((text, "null") for text in ("", "{", "Done", DEEP)),
    ],
    ids=lambda text: text[:20],
)
def test_a_result_that_is_no_json_is_read_as_far_as_it_is(text: str, result: str) -> None:
    state, faults = read(status="succeeded", progress="100", result=text)
    assert bytes(state.result).decode() == result
    assert len(faults) == 1
    assert state.snapshot() == ("complete", b'{"result":%b}' % result.encode())


def test_a_job_that_failed_always_says_something() -> None:
    state, _ = read(status="failed")
    assert state.error == NO_REASON
    assert read(status="failed", error="")[0].error == ""


def test_a_progress_that_is_none_is_whole_once_the_job_has_succeeded() -> None:
    assert read(status="succeeded", progress="x")[0].progress == 100


def test_further_fields_never_take_the_place_of_the_contracts() -> None:
    state, faults = read(extra='{"progress":"much","currentStep":5,"phase":"x"}')
    assert faults == []
    assert json.loads(state.snapshot()[1]) == {
        "progress": 40,
        "currentStep": None,
        "estimatedTimeRemaining": None,
        "phase": "x",
    }


def test_a_state_that_is_as_it_should_be_is_read_without_a_word() -> None:
    assert read(result='{"a":"é"}', extra='{"phase":1}', estimatedTimeRemaining="1.5")[1] == []


@given(
    st.dictionaries(
        st.sampled_from(STATE_FIELDS),
        st.none() | st.text(max_size=20) | odd_values.map(json.dumps),
    )
)
@example({"last": "18446744073709551615-0"})
@example({"last": "99999999999999-18446744073709551615"})
@example({"result": r'"\ud83d"', "status": "succeeded"})
def test_any_state_is_readable_or_has_no_core(fields: dict[str, str | None]) -> None:
    told = {**WHOLE, **fields}
    try:
        state = JobState.from_hash(told)
    except ValueError:
        summary = JobSummary.of_unreadable("j1", "1-0", told)
        assert json.loads(msgspec.json.encode(summary))["errorCode"] == "INTERNAL"
        return
    assert json.loads(msgspec.json.encode(JobStatus.of("j1", state)))["jobId"] == "j1"
    (event,) = Parser().feed(encode_snapshot(state).data)
    assert event.id == state.last
    if state.finished:
        assert isinstance(state.terminal_entry().event, Terminal)


CONTRACT = {"progress": 5, "currentStep": "x", "estimatedTimeRemaining": 1}


@pytest.mark.parametrize(
    ("name", "data", "shown"),
    [
        ("note", r'{"a":"\ud83d"}', {"a": "\ufffd"}),
        ("note", '{"a":NaN}', {"a": None}),
        ("complete", r'{"result":"Done \ud83d"}', {"result": "Done \ufffd"}),
        ("complete", '{"result":1e999}', {"result": None}),
        *(("complete", data, {"result": None}) for data in ("", "{", "[1]", "null", '"x"')),
        ("failed", r'{"error":"\udc00"}', {"error": "\ufffd", "errorCode": None}),
        ("failed", '{"error":"x","errorCode":5}', {"error": "x", "errorCode": None}),
        *(
            ("failed", data, {"error": NO_REASON, "errorCode": None})
            for data in ("", "{}", "[1]", '{"error":5}', '{"error":null}')
        ),
        (
            "progress-update",
            '{"progress":5,"currentStep":"x","estimatedTimeRemaining":NaN}',
            {**CONTRACT, "estimatedTimeRemaining": None},
        ),
        (
            "progress-update",
            '{"progress":5,"currentStep":7,"estimatedTimeRemaining":-1,"more":NaN}',
            {"progress": 5, "currentStep": None, "estimatedTimeRemaining": None, "more": None},
        ),
        ("step-change", '{"progress":5.5,"currentStep":"x","estimatedTimeRemaining":1}', CONTRACT),
        (
            "step-change",
            '{"progress":-5,"currentStep":"x","estimatedTimeRemaining":1}',
            {**CONTRACT, "progress": 0},
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_entry_of_which_a_part_is_wrong_is_shown_as_far_as_it_can_be(
    name: str, data: str, shown: dict[str, Any]
) -> None:
    entry = salvage_entry("5-1", {"event": name, "data": data})
    assert (entry.id, entry.name) == ("5-1", name)
    assert json.loads(entry.data) == shown
    assert entry.is_terminal == (name in {"complete", "failed"})


@pytest.mark.parametrize(
    ("name", "data"),
    [
        *(("note", data) for data in ("", "[]", "{", DEEP, '{"a":"%s"}' % ("x" * 2**20))),
        *(("progress-update", data) for data in ("", "[]", "{}", '{"progress":NaN}', "5")),
        *((name, "{}") for name in ("", "connected", "message", "reset", "Note", "a\r\nid: 9-9")),
    ],
    ids=lambda value: value[:20],
)
def test_an_entry_that_cannot_be_shown_has_no_event(name: str, data: str) -> None:
    entry = salvage_entry("5-1", {"event": name, "data": data})
    assert (entry.id, entry.event, entry.is_terminal) == ("5-1", None, False)


@given(st.sampled_from(["note", "complete", "failed", "progress-update", "x y"]), odd_values)
def test_any_entry_is_shown_well_formed_or_not_at_all(name: str, data: Any) -> None:  # noqa: ANN401
    entry = salvage_entry("5-1", {"event": name, "data": json.dumps(data)})
    if entry.event is not None:
        assert isinstance(json.loads(entry.data), dict)
        assert not {b"\n", b"\r"} & {entry.data[i : i + 1] for i in range(len(entry.data))}


@given(json_objects)
def test_an_entry_that_is_as_it_should_be_is_shown_as_it_is(data: dict[str, Any]) -> None:
    entry = salvage_entry("5-1", {"event": "note", "data": json.dumps(data)})
    assert json.loads(entry.data) == data
