"""Frames on a stream of many jobs: each has its job, whatever its worker wrote."""

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from schema.entry import Entry, parse_event
from schema.events import InvalidEvent
from schema.sse import encode, encode_entry, label
from tests.fuzz.bounds import bounded
from tests.support.json_values import json_values
from tests.support.sse import Event, Parser

EXAMPLES = 200  # `just fuzz` tries more

spaces = st.sampled_from(["", "", "", " ", "\t ", "\n", "\r\n"])
names = st.sampled_from(["note", "progress-update", "step-change", "complete", "failed", "log"])
keys = st.sampled_from(
    ["jobId", '"jobId"', "jobid", "jobId ", "x", "", "\\", 'x":1,"jobId', "result", "\ud83d"]
)
texts = st.sampled_from(
    ['"jobId"', '{"jobId":"j2"}', '","jobId":"j2', "jobId", "\n\nevent: failed\n", "\\", "\udc00"]
)
values = st.recursive(
    texts | json_values,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=5,
)


@st.composite
def written(draw: st.DrawFn, text: str) -> str:
    """Draw a way to write a text as JSON: any character may be escaped."""
    parts = []
    for character in text:
        plain = json.dumps(character, ensure_ascii=False)[1:-1]
        must = "\ud800" <= character <= "\udfff" or draw(st.integers(0, 7)) == 0
        units = character.encode("utf-16-be", "surrogatepass").hex()
        escaped = "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
        parts.append(escaped if must else plain)
    return f'"{"".join(parts)}"'


@st.composite
def objects(draw: st.DrawFn) -> str:
    """Draw the text of an object: spaces, line ends, escapes, and names that occur twice."""
    members = []
    for key, value in draw(st.lists(st.tuples(keys, values), max_size=5)):
        name, colon, comma = draw(written(key)), draw(spaces), draw(spaces)
        members.append(f"{comma}{name}{colon}:{colon}{json.dumps(value)}{comma}")
    return f"{draw(spaces)}{{{','.join(members) or draw(spaces)}}}{draw(spaces)}"


def as_read(text: str) -> Any:  # noqa: ANN401 - any JSON
    """Return what a browser reads: of a name that occurs twice the last, and no lone surrogate."""
    whole = json.dumps(json.loads(text), ensure_ascii=False)
    return json.loads(whole.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


@bounded(EXAMPLES)
@given(names, objects())
@example("note", '{"a":"\\"jobId\\"","jo\\u0062Id":"j2"}')
@example("note", '{"x":{"jobId":"j2"},"jobId":"j3","jobId":"j4"}')
def test_an_event_has_its_own_job_and_loses_nothing_else(name: str, text: str) -> None:
    try:
        event, line, extra = parse_event(name, text.encode())
    except InvalidEvent:
        return  # no event of the contract: it reaches nobody
    frame = encode_entry(Entry("5-1", name, event, line, extra))
    [plain] = Parser().feed(frame.data)
    [labelled] = Parser().feed(label(frame, "j1").data)
    assert next(iter(labelled.data)) == "jobId"
    assert name != "note" or plain.data == as_read(text)
    plain.data.pop("jobId", None)
    assert labelled == Event(name, {"jobId": "j1", **plain.data}, "")


def test_an_event_that_is_nested_too_deeply_to_be_read_here_has_its_own_job_as_well() -> None:
    deep = b'{"jobId":"j2","x":%b%b} ' % (b"[" * 5000, b"]" * 5000)
    labelled = label(encode("note", deep, "5-1"), "j1")
    assert labelled.data == b'event: note\ndata: %b,"jobId":"j1"}\n\n' % deep[:-2]
    assert as_read('{"jobId":"j2","x":1,"jobId":"j1"}')["jobId"] == "j1"
