import json
from typing import Any

import pytest

from jobcast import InvalidEvent
from jobcast.bridge.task_event import TaskEvent, append_of, read, value_of

AT = 1_795_000_000.25


def event(kind: str, **fields: Any) -> TaskEvent:  # noqa: ANN401 - any JSON
    read_event = read({"type": f"task-{kind}", "uuid": "t1", "timestamp": AT, **fields}, 0)
    assert read_event is not None
    return read_event


@pytest.mark.parametrize(
    "fields",
    [
        None,
        [],
        {"type": "task-started"},
        {"type": "task-started", "uuid": 4, "timestamp": AT},
        {"type": "task-started", "uuid": "no id", "timestamp": AT},
        {"type": "task-started", "uuid": "t1"},
        {"type": "task-started", "uuid": "t1", "timestamp": "now"},
        {"type": "task-started", "uuid": "t1", "timestamp": float("nan")},
        {"type": "task-started", "uuid": "t1", "timestamp": -1},
        {"type": "task-started", "uuid": "t1", "timestamp": 1e300},
    ],
)
def test_what_is_malformed_is_refused(fields: object) -> None:
    with pytest.raises(InvalidEvent):
        read(fields, 0)


@pytest.mark.parametrize("name", [None, 4, "worker-online", "task-unknown", "tasks", "started"])
def test_what_is_not_of_a_task_is_none(name: object) -> None:
    assert read({"type": name}, 0) is None


def test_of_events_of_one_time_the_end_is_the_last() -> None:
    kinds = ("sent", "received", "started", "progress", "succeeded")
    times = [event(kind).at for kind in kinds]
    assert times == sorted(times)
    assert event("succeeded").at < event("sent", timestamp=AT + 1e-5).at < 2**53


@pytest.mark.parametrize(
    ("result", "value"),
    [
        ("{'a': [1, None, True]}", {"a": [1, None, True]}),
        ("'text'", "text"),
        ("12", 12),
        ("None", None),
        ("(1, 2)", [1, 2]),
        ("b'x'", "b'x'"),
        ("{1, 2}", "{1, 2}"),
        ("<object at 0x7f>", "<object at 0x7f>"),
        ("{'a': 'xxxxx...", "{'a': 'xxxxx..."),
        ("(" * 10_000, "(" * 10_000),
        (None, None),
        (7, 7),
    ],
)
def test_a_result_is_the_value_that_its_text_stands_for(result: object, value: object) -> None:
    append = append_of(event("succeeded", result=result), print)
    assert append.operation == "complete"
    assert json.loads(append.data) == {"result": value}


@pytest.mark.parametrize(
    ("kind", "fields", "error", "code"),
    [
        ("failed", {"exception": "ValueError('No disk')"}, "No disk", None),
        ("failed", {"exception": "ValueError('No disk',)"}, "No disk", None),
        ("failed", {"exception": "ValueError(1, 'x')"}, "ValueError(1, 'x')", None),
        ("failed", {"exception": "ValueError()"}, "ValueError()", None),
        ("failed", {"exception": "<Odd>"}, "<Odd>", None),
        ("failed", {}, "The task failed", None),
        ("failed", {"exception": 4}, "The task failed", None),
        ("revoked", {"expired": True}, "The task expired", "EXPIRED"),
        ("revoked", {"expired": False, "terminated": True}, "Cancelled", None),
        ("rejected", {}, "The worker rejected the task", "REJECTED"),
    ],
)
def test_a_failure_has_the_message_of_its_exception(
    kind: str, fields: dict[str, Any], error: str, code: str | None
) -> None:
    append = append_of(event(kind, **fields), print)
    assert json.loads(append.data) == {"error": error, "errorCode": code}


def test_the_owner_may_be_in_arguments_that_can_be_read() -> None:
    received = event("received", args="('u1', 2)", kwargs="{'user': 'u2'}", name="mail")
    assert received.payload()["args"] == ("u1", 2)
    assert received.payload()["kwargs"] == {"user": "u2"}
    assert event("received", kwargs="{'user': 'u...").payload()["kwargs"] == "{'user': 'u..."
    assert value_of("9" * 100_000) == "9" * 100_000
