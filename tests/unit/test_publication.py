import json
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eventlog.publication import decode_publication
from schema.entry import Entry
from schema.events import InvalidEvent
from tests.support.json_values import json_objects, json_values

PROGRESS = {"progress": 40, "currentStep": "Writing...", "estimatedTimeRemaining": 30}

names = st.sampled_from(["progress-update", "step-change", "complete", "failed", "note"])
entry_ids = st.from_regex(r"[0-9]{1,19}-[0-9]{1,19}", fullmatch=True)
data_like = json_values | st.fixed_dictionaries(
    {},
    optional={
        "progress": json_values | st.integers(-1, 101),
        "currentStep": json_values,
        "estimatedTimeRemaining": json_values,
        "result": json_values,
        "error": json_values,
        "errorCode": json_values,
        "phase": json_values,
    },
)
publication_like = json_values | st.fixed_dictionaries(
    {},
    optional={
        "event": names | json_values,
        "data": data_like,
        "id": entry_ids | json_values,
        "prev": entry_ids | json_values,
        "extra": json_values,
    },
)


def refused_or_whole(payload: bytes) -> Entry | None:
    """Return the entry that the payload is, a proper one, or None if it is refused."""
    try:
        entry = decode_publication(payload)
    except InvalidEvent:
        return None
    assert entry.event is not None
    assert entry.data.lstrip().startswith(b"{")
    assert b"\n" not in entry.data
    assert b"\r" not in entry.data
    return entry


def readable(entry: Entry | None) -> None:
    assert entry is None or isinstance(json.loads(entry.data), dict)


@given(st.binary())
@example(b"")
@example(b"\xff\xfe")
@example(b'{"event":"note","data":{"a":"\xff"}}')
@example(b'{"event":"note","data":{"a":"\xed\xa0\x80"}}')
@example(b'{"event":"\xff","data":{}}')
def test_any_bytes_are_an_event_or_are_refused(payload: bytes) -> None:
    readable(refused_or_whole(payload))


@given(publication_like, st.booleans(), st.none() | st.integers(0, 2))
def test_any_json_is_an_event_or_is_refused(
    value: Any,  # noqa: ANN401
    ascii_only: bool,  # noqa: FBT001
    indent: int | None,
) -> None:
    readable(refused_or_whole(json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()))


@given(publication_like.map(json.dumps), st.integers(0), st.binary(min_size=1, max_size=4))
def test_a_damaged_publication_is_an_event_or_is_refused(
    text: str, place: int, damage: bytes
) -> None:
    payload = text.encode()
    place %= len(payload)
    readable(refused_or_whole(payload[:place] + damage + payload[place + 1 :]))


@given(names.filter(lambda name: name == "note"), json_objects, entry_ids, entry_ids)
def test_a_publication_is_the_entry_that_it_tells_of(
    name: str, data: dict[str, Any], entry_id: str, prev: str
) -> None:
    payload = json.dumps({"id": entry_id, "prev": prev, "event": name, "data": data}).encode()
    entry = decode_publication(payload)
    assert (entry.id, entry.prev, entry.name) == (entry_id, prev, name)
    assert json.loads(entry.data) == data


def test_a_publish_only_worker_sends_no_id() -> None:
    entry = decode_publication(json.dumps({"event": "progress-update", "data": PROGRESS}).encode())
    assert entry.id is None
    assert entry.prev is None
    assert json.loads(entry.data) == PROGRESS


def test_further_fields_of_a_payload_are_ignored() -> None:
    entry = decode_publication(b'{"event":"note","data":{},"jobId":"j1","at":5,"id":null}')
    assert (entry.name, entry.id) == ("note", None)


@pytest.mark.parametrize(
    "payload",
    [
        *("", " ", "nonsense", "{", "null", "1", '"x"', "[]", "{}", '[{"event":"note"}]'),
        *('{"event":"note"}', '{"data":{}}', '{"event":null,"data":{}}', '{"event":7,"data":{}}'),
        *('{"event":"note","data":null}', '{"event":"note","data":[]}'),
        *('{"event":"connected","data":{}}', '{"event":"message","data":{}}'),
        *('{"event":"error","data":{}}', '{"event":"open","data":{}}'),
        *('{"event":"_created","data":{}}', '{"event":"_checkpoint","data":{}}'),
        *('{"event":"a\\nb","data":{}}', '{"event":"a: b","data":{}}'),
        *('{"event":"progress-update","data":{"progress":101}}',),
        *('{"event":"progress-update","data":{"progress":4.5}}',),
        *('{"event":"failed","data":{"error":null}}',),
        '{"event":"note","data":{}}{"event":"note","data":{}}',
    ],
)
def test_what_breaks_the_contract_is_refused(payload: str) -> None:
    with pytest.raises(InvalidEvent):
        decode_publication(payload.encode())


@pytest.mark.parametrize(
    "entry_id",
    [
        *(
            "",
            "5",
            "5-",
            "-5",
            "5-1\n",
            "5-1\r",
            "\n5-1",
            "5-1\0",
            "5-1 ",
            "a-b",
            "5-1-1",
            "\u0665-\u0661",
        ),
        *("9" * 20 + "-0", 5, 5.1, True, {}, []),
    ],
)
def test_a_malformed_id_forges_nothing(entry_id: object) -> None:
    payload = json.dumps({"event": "note", "data": {}, "id": entry_id}).encode()
    with pytest.raises(InvalidEvent):
        decode_publication(payload)


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize(
    "form",
    [
        lambda deep: f'{{"event":"note","data":{{"a":{deep}}}}}',
        lambda deep: f'{{"event":"note","data":{{"a":{deep},"b":"\\u0000"}}}}',
        lambda deep: f'{{"event":"progress-update","data":{{"progress":1,"a":{deep}}}}}',
        lambda deep: f'{{"event":"complete","data":{{"result":{deep}}}}}',
        lambda deep: f'{{"event":"failed","data":{{"error":"x","a":{deep}}}}}',
        lambda deep: f'{{"event":"note","data":{{}},"a":{deep}}}',
    ],
)
def test_no_depth_of_nesting_does_harm(form: Callable[[str], str]) -> None:
    limit = sys.getrecursionlimit()
    for depth in (*range(limit - 130, limit + 30), 100 * limit):
        refused_or_whole(form(nested(depth)).encode())
    assert refused_or_whole(form(nested(100 * limit)).encode()) is None
