import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema.entry import Entry, entry_from_log, parse_event
from schema.resume import Reason
from schema.sse import (
    KEEPALIVE,
    OK,
    Frame,
    chunked,
    encode,
    encode_entry,
    encode_reset,
    encode_snapshot,
    is_end,
    label,
    label_end,
    retry,
)
from schema.state import fold
from tests.fuzz.bounds import bounded
from tests.support.json_values import json_objects, json_values
from tests.support.sse import Event, Parser

EXAMPLES = 100  # `just fuzz` tries more

names = st.from_regex(r"[a-z][a-z0-9-]{0,63}", fullmatch=True)
ids = st.none() | st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 9)).map(
    lambda parts: f"{parts[0]}-{parts[1]}"
)


def parsed(data: bytes) -> list[Event]:
    return Parser().feed(data)


def in_pieces(data: bytes, cuts: list[int]) -> list[Event]:
    """Return the events of bytes that arrive in pieces."""
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    parser = Parser()
    return [event for start, end in pairwise(edges) for event in parser.feed(data[start:end])]


@bounded(EXAMPLES)
@given(names, json_values, ids)
def test_a_browser_gets_what_was_encoded(name: str, data: Any, entry_id: str | None) -> None:  # noqa: ANN401
    line = json.dumps(data, ensure_ascii=False).encode()
    frame = encode(name, line, entry_id)
    assert parsed(frame.data) == [Event(name, data, entry_id or "")]
    assert frame.id == entry_id


@bounded(EXAMPLES)
@given(json_objects, st.booleans(), st.none() | st.integers(0, 3), st.lists(st.integers(0)))
def test_an_event_of_any_json_is_one_frame_however_it_was_written_and_cut(
    data: dict[str, Any],
    ascii_only: bool,  # noqa: FBT001
    indent: int | None,
    cuts: list[int],
) -> None:
    text = json.dumps(data, ensure_ascii=ascii_only, indent=indent).encode()
    event, line, extra = parse_event("note", text)
    frame = encode_entry(Entry("5-1", "note", event, line, extra))
    assert in_pieces(frame.data, cuts) == [Event("note", data, "5-1")]
    assert frame.data.count(b"\n") == 4
    assert b"\r" not in frame.data


@pytest.mark.parametrize("ending", ["\n", "\r", "\r\n", "\n\n", "\r\r", "\u2028", "\u2029", "\x85"])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_no_text_forges_a_frame(ending: str, *, ascii_only: bool) -> None:
    evil = f"x{ending}data: 1{ending}event: complete{ending}id: 9-9{ending}{ending}data: 2"
    data = {"progress": 1, "currentStep": evil, "estimatedTimeRemaining": None, evil: evil}
    event, line, extra = parse_event(
        "progress-update", json.dumps(data, ensure_ascii=ascii_only).encode()
    )
    frame = encode_entry(Entry("5-1", "progress-update", event, line, extra))
    assert parsed(frame.data) == [Event("progress-update", data, "5-1")]


@bounded(EXAMPLES)
@given(st.lists(st.tuples(names, json_values, ids), max_size=5))
def test_frames_follow_each_other_without_mixing(given: list[tuple[str, Any, str | None]]) -> None:
    stream = OK + b"".join(
        encode(name, json.dumps(data).encode(), entry_id).data + KEEPALIVE
        for name, data, entry_id in given
    )
    events = parsed(stream)
    assert [(event.name, event.data) for event in events] == [item[:2] for item in given]


def test_a_frame_without_id_does_not_move_the_cursor() -> None:
    parser = Parser()
    parser.feed(encode("progress-update", b"{}", "5-1").data + encode("note", b"{}").data)
    assert parser.last_event_id == "5-1"


def test_comments_and_retry_are_no_events() -> None:
    parser = Parser()
    assert parser.feed(OK + KEEPALIVE + retry(1234) + KEEPALIVE) == []
    assert parser.comments == ["ok", "keepalive", "keepalive"]
    assert parser.retries == [1234]
    assert parser.last_event_id == ""


def test_each_block_ends_with_a_blank_line() -> None:
    for block in (OK, KEEPALIVE, retry(1000), encode("note", b"{}").data):
        assert block.endswith(b"\n\n")


@bounded(EXAMPLES)
@given(st.binary(min_size=1, max_size=5000))
def test_a_chunk_is_its_length_in_hexadecimal_and_the_bytes(data: bytes) -> None:
    size, _, rest = chunked(data).partition(b"\r\n")
    assert int(size, 16) == len(data)
    assert rest == data + b"\r\n"


@bounded(EXAMPLES)
@given(names, json_values, ids)
def test_a_frame_carries_itself_as_a_chunk(name: str, data: Any, entry_id: str | None) -> None:  # noqa: ANN401
    frame = encode(name, json.dumps(data).encode(), entry_id)
    assert frame.chunk == chunked(frame.data)


@pytest.mark.parametrize(
    ("name", "conflatable"),
    [
        *(("progress-update", True), ("step-change", False), ("complete", False)),
        *(("failed", False), ("note", False)),
    ],
)
def test_only_progress_makes_older_progress_superfluous(name: str, *, conflatable: bool) -> None:
    assert encode(name, b"{}").conflatable == conflatable


def test_a_snapshot_has_the_id_of_the_last_entry_folded_in() -> None:
    state = fold(
        [
            entry_from_log("1-0", {"event": "_created", "type": "report"}),
            entry_from_log("2-0", {"event": "step-change", "data": '{"progress":0}', "run": "r"}),
            entry_from_log("3-0", {"event": "_cancel-requested"}),
        ]
    )
    assert state is not None
    frame = encode_snapshot(state)
    assert isinstance(frame, Frame)
    [event] = parsed(frame.data)
    assert (event.name, event.id) == ("progress-update", "3-0")
    assert event.data == {"progress": 0, "currentStep": None, "estimatedTimeRemaining": None}


@bounded(EXAMPLES)
@given(names, json_objects, ids)
def test_a_labelled_frame_is_the_same_with_the_job_first_and_without_an_id(
    name: str, data: dict[str, Any], entry_id: str | None
) -> None:
    line = json.dumps(data, ensure_ascii=False).encode()
    frame = label(encode(name, line, entry_id), "j1")
    data.pop("jobId", None)
    [event] = parsed(frame.data)
    assert event == Event(name, {"jobId": "j1", **data}, "")
    assert next(iter(event.data)) == "jobId"
    assert (frame.id, frame.job_id) == (None, "j1")
    assert frame.chunk == chunked(frame.data)


@pytest.mark.parametrize("data", [b"{}", b"{ }", b' {"jobId":"j2"}', b'{"jobId": {"jobId":1} }'])
def test_a_job_can_not_pass_its_events_off_as_those_of_another(data: bytes) -> None:
    frame = label(encode("note", data), "j1")
    assert frame.data == b'event: note\ndata: {"jobId":"j1"%b}\n\n' % (b" " * (data == b"{ }"))


def test_a_reset_and_the_snapshot_behind_it_are_labelled_each() -> None:
    created = entry_from_log("1-0", {"event": "_created", "data": "{}", "type": "report"})
    state = fold([created])
    assert state is not None
    reset, snapshot = parsed(label(encode_reset(state, Reason.ATTEMPT), "j1").data)
    assert reset.data == {"jobId": "j1", "attempt": 1, "reason": "attempt"}
    assert (snapshot.name, snapshot.data["jobId"]) == ("progress-update", "j1")


@pytest.mark.parametrize(
    ("name", "data", "is_it"),
    [
        ("complete", b'{"result":1}', True),
        ("failed", b'{"error":"x","errorCode":null}', True),
        ("note", b'{"text":"event: complete"}', False),
        ("completed", b'{"result":1}', False),
    ],
)
def test_the_end_of_a_job_and_its_departure_are_one_frame(
    name: str,
    data: bytes,
    is_it: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    frame = encode(name, data, "1-0")
    assert is_end(frame) == is_it
    end, left = parsed(label_end(frame, "j1").data)
    assert (end.name, end.data["jobId"], end.id) == (name, "j1", "")
    assert (left.name, left.data) == ("left", {"jobId": "j1", "reason": "ended"})
