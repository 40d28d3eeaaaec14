import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from schema.entry import (
    CANCEL_REQUESTED,
    CHECKPOINT,
    CREATED,
    RETRIED,
    encode_progress,
    entry_from_log,
    parse_event,
)
from schema.events import (
    MAX_EVENT_BYTES,
    Complete,
    Custom,
    Failed,
    FailedData,
    InvalidEvent,
    ProgressData,
    ProgressUpdate,
    StepChange,
)
from tests.support.json_values import json_objects, json_values, texts

FIELDS = ("progress", "currentStep", "estimatedTimeRemaining")
DEEP = b"[" * 100_000 + b"]" * 100_000

further = json_objects.map(lambda more: {k: v for k, v in more.items() if k not in FIELDS})
progresses = st.integers(0, 100)
steps = st.none() | texts
seconds = st.none() | st.integers(0, 10**9) | st.floats(0, 1e9)


KINDS: dict[str, type[ProgressUpdate | StepChange]] = {
    "progress-update": ProgressUpdate,
    "step-change": StepChange,
}


@given(st.sampled_from(list(KINDS)), progresses, steps, seconds, further)
def test_a_progress_event_has_the_contracts_fields_and_passes_on_further_ones(
    name: str, progress: int, step: str | None, eta: float | None, more: dict[str, Any]
) -> None:
    data = {"progress": progress, "currentStep": step, "estimatedTimeRemaining": eta, **more}
    event, line, extra = parse_event(name, json.dumps(data).encode())
    assert event == KINDS[name](ProgressData(progress, step, eta))
    assert extra == more
    assert json.loads(line) == data


@given(st.permutations(FIELDS[1:]).map(lambda names: names[:1]), further)
def test_what_a_progress_event_leaves_out_is_null(left: list[str], more: dict[str, Any]) -> None:
    data = {**more, "progress": 7, "currentStep": "x", "estimatedTimeRemaining": 1.5}
    del data[left[0]]
    event, line, extra = parse_event("progress-update", json.dumps(data).encode())
    assert json.loads(line) == {**data, left[0]: None}
    assert extra == more
    assert isinstance(event, ProgressUpdate)


def test_the_data_of_the_usual_progress_is_passed_on_byte_for_byte() -> None:
    line = b'{"progress":40,"currentStep":"Writing\xe2\x80\xa6","estimatedTimeRemaining":1.50}'
    assert parse_event("progress-update", line)[1] is line


@pytest.mark.parametrize("name", ["progress-update", "step-change"])
@pytest.mark.parametrize(
    "data",
    [
        *("{}", "[]", "1", "null", '"x"', "[40]"),
        *('{"progress":null}', '{"progress":"40"}', '{"progress":-1}', '{"progress":101}'),
        *('{"progress":40.5}', '{"progress":40.0}', '{"progress":true}'),
        *('{"progress":1,"currentStep":7}', '{"progress":1,"currentStep":{}}'),
        *('{"progress":1,"estimatedTimeRemaining":-1}',),
        *('{"progress":1,"estimatedTimeRemaining":"soon"}',),
        *('{"progress":1,"estimatedTimeRemaining":-0.5}',),
    ],
)
def test_progress_that_breaks_the_contract_is_refused(name: str, data: str) -> None:
    with pytest.raises(InvalidEvent):
        parse_event(name, data.encode())


@given(json_values)
def test_a_result_is_any_json(result: Any) -> None:  # noqa: ANN401
    event, line, _ = parse_event("complete", json.dumps({"result": result}).encode())
    assert isinstance(event, Complete)
    assert json.loads(bytes(event.data.result)) == result
    assert json.loads(line) == {"result": result}


def test_an_end_without_result_has_the_result_null() -> None:
    event, line, _ = parse_event("complete", b"{}")
    assert isinstance(event, Complete)
    assert bytes(event.data.result) == b"null"
    assert line == b'{"result":null}'


@given(texts, st.none() | texts)
def test_a_failure_has_an_error_and_perhaps_a_code(error: str, code: str | None) -> None:
    data = {"error": error, "errorCode": code}
    event, line, _ = parse_event("failed", json.dumps(data).encode())
    assert event == Failed(FailedData(error, code))
    assert json.loads(line) == data


def test_a_failure_without_code_has_the_code_null_and_its_further_fields_pass_through() -> None:
    event, line, _ = parse_event("failed", b'{"error":"x","paper":"y"}')
    assert event == Failed(FailedData("x"))
    assert json.loads(line) == {"error": "x", "paper": "y", "errorCode": None}


@pytest.mark.parametrize(
    "data", ["{}", "[]", "null", '{"error":null}', '{"error":7}', '{"error":"x","errorCode":7}']
)
def test_a_failure_without_an_error_is_refused(data: str) -> None:
    with pytest.raises(InvalidEvent):
        parse_event("failed", data.encode())


@given(json_objects)
def test_a_custom_event_is_passed_on_untouched(data: dict[str, Any]) -> None:
    text = json.dumps(data, ensure_ascii=False).encode()
    event, line, _ = parse_event("blog-result", text)
    assert isinstance(event, Custom)
    assert event.type == "blog-result"
    assert json.loads(line) == data
    if b"\\u" not in text:
        assert line is text


@pytest.mark.parametrize("data", [b"[]", b"null", b"1", b'"{}"', b"true", b' [{"a":1}]'])
def test_custom_data_is_an_object(data: bytes) -> None:
    with pytest.raises(InvalidEvent, match="object"):
        parse_event("note", data)


@pytest.mark.parametrize(
    "name",
    [
        *("connected", "reset", "ping", "left", "message", "error", "open", "chunk", "child-done"),
        *("_created", "Note", "", "a\n", "note: x"),
    ],
)
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(InvalidEvent, match="no name"):
        parse_event(name, b"{}")


def test_an_event_has_at_most_one_mebibyte() -> None:
    least = b'{"text":""}'
    text = b"x" * (MAX_EVENT_BYTES - len(least))
    parse_event("note", b'{"text":"%b"}' % text)
    with pytest.raises(InvalidEvent, match="1048577"):
        parse_event("note", b'{"text":"%bx"}' % text)


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"{", b"{]", b"nothing", b'{"progress":1', b'{"progress":1}}', b"[]", b"null"),
        b'{"progress":1,"note":%b}' % DEEP,
        *(b'{"progress":1,"note":%b,"text":"\\u0000"}' % DEEP,),
    ],
    ids=lambda data: data[:40],
)
@pytest.mark.parametrize("name", ["progress-update", "complete", "failed"])
def test_data_that_can_t_be_read_is_refused_like_any_other_mistake(name: str, data: bytes) -> None:
    with pytest.raises(InvalidEvent):
        parse_event(name, data.replace(b'"progress":1', b'"progress":1,"result":1,"error":"x"'))


@given(further, progresses, steps, seconds)
def test_a_progress_line_begins_with_the_contracts_fields(
    more: dict[str, Any], progress: int, step: str | None, eta: float | None
) -> None:
    line = encode_progress(ProgressData(progress, step, eta), more)
    assert tuple(json.loads(line))[:3] == FIELDS
    assert json.loads(line) == {**dict(zip(FIELDS, (progress, step, eta), strict=True)), **more}


@pytest.mark.parametrize(
    ("fields", "terminal"),
    [
        ({"event": "complete", "data": '{"result":1}'}, True),
        ({"event": "failed", "data": '{"error":"x","errorCode":null}'}, True),
        ({"event": "progress-update", "data": '{"progress":1}'}, False),
        ({"event": "step-change", "data": '{"progress":1}', "run": "r1"}, False),
        ({"event": "note", "data": '{"result":1}'}, False),
    ],
)
def test_an_entry_of_the_log_has_its_event(fields: Mapping[str, str], *, terminal: bool) -> None:
    entry = entry_from_log("5-1", fields)
    assert (entry.id, entry.name, entry.fields) == ("5-1", fields["event"], fields)
    assert entry.event is not None
    assert json.loads(entry.data).items() >= json.loads(fields["data"]).items()
    assert entry.is_terminal == terminal


@pytest.mark.parametrize("name", [CREATED, RETRIED, CANCEL_REQUESTED, CHECKPOINT])
def test_a_log_only_entry_has_no_event(name: str) -> None:
    entry = entry_from_log("5-1", {"event": name, "data": "{}"})
    assert entry.event is None
    assert not entry.is_terminal


@pytest.mark.parametrize("name", ["connected", "reset", "ping", "left", "message", "error", "open"])
@pytest.mark.parametrize("data", ["{}", '{"attempt":9,"reason":"attempt"}', "no JSON"])
def test_an_entry_that_bears_the_name_of_a_control_frame_is_never_shown(
    name: str, data: str
) -> None:
    entry = entry_from_log("5-1", {"event": name, "data": data})
    assert (entry.id, entry.event, entry.data) == ("5-1", None, b"")


@pytest.mark.parametrize("name", ["chunk", "artifact", "input-requested", "child-done"])
def test_an_old_entry_of_a_name_that_is_kept_for_later_is_shown_as_it_was(name: str) -> None:
    entry = entry_from_log("5-1", {"event": name, "data": '{"n":1}'})
    assert (entry.event, entry.data) == (Custom(name, Raw(b'{"n":1}')), b'{"n":1}')


@pytest.mark.parametrize("fields", [{}, {"event": "progress-update"}, {"data": "{}"}])
def test_what_the_append_script_does_not_write_is_refused(fields: dict[str, str]) -> None:
    with pytest.raises(InvalidEvent):
        entry_from_log("5-1", fields)


def test_a_raw_part_of_a_message_is_parsed_like_bytes() -> None:
    assert parse_event("note", Raw(b'{"a":1}'))[1] == b'{"a":1}'
