"""Payloads that somebody may publish on a job's channel, right ones among them."""

import json
from typing import Any, Final

from hypothesis import strategies as st

from tests.support.json_values import json_objects, json_values

LAST: Final = b"<last>"
"""Stands for the id of the newest entry of the job's log, which no payload can know beforehand."""

_NAMES: Final = (
    *(
        "note",
        "progress-update",
        "step-change",
        "connected",
        "message",
        "error",
        "open",
        "_created",
    ),
    *("_checkpoint", "", "Note", "a" * 65, "note\n", "note\r\nid: 9-9", "\0", "note\u2028", "é"),
)
_IDS: Final[tuple[object, ...]] = (
    *(
        LAST.decode(),
        "0-0",
        "1-1",
        "9999999999999-0",
        "9" * 19 + "-0",
        "1-1\n",
        "-",
        "",
        "last",
        "*",
    ),
    *(5, None, [], "18446744073709551615-18446744073709551615", "1-1\0", "\uff11-1"),
)
_DATA: Final = st.one_of(
    json_values,
    json_objects,
    st.fixed_dictionaries(
        {"progress": st.integers(-1, 101) | json_values},
        optional={"currentStep": json_values, "estimatedTimeRemaining": json_values},
    ),
    st.sampled_from(
        [{"result": 1}, {"error": "x"}, {"error": "x", "errorCode": 5}, {"x": "\r\n\n: \u2028\0"}]
    ),
)
_RAW: Final = (
    *(
        b"",
        b"\0",
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b"NaN",
        b"-0",
        b"1e999",
        b"[" * 3000,
        b"{" * 3000,
    ),
    *(b'{"event":"note","data":{"x":1%b}}' % (b"0" * 4000), b'{"event":"note","data":{"x":1e999}}'),
    *(b'{"event":"note","data":{},"event":"complete"}', b'{"event":"note","data":{},"data":[]}'),
    *(b'{"event":"note","data":{"a":1,"a":2}}', b'{"event":"note","data":{"x":"\\ud800"}}'),
    *(
        b'{"event":"note","data":{"x":"\xed\xa0\x80"}}',
        b'{"event":"note","data":\r\n{"x"\n:\r1}\n}',
    ),
    *(
        b'{"event":"note","data":{"x":"\xe2\x80\xa8\xe2\x80\xa9\xc2\x85"}}',
        b'{"event":"note","data":{}',
    ),
    *(
        b'{"event":"note","data":%b}' % (b'{"a":' * 900 + b"1" + b"}" * 900),
        b'{"data":{}}',
        b"5" * 9999,
    ),
    *(b'{"event":"note","data":{"x":"%b"}}' % (b"x" * 2 * 1024 * 1024), b"x" * 2 * 1024 * 1024),
)
_MISSING: Final = object()


@st.composite
def _publications(draw: st.DrawFn) -> bytes:
    """Draw a JSON object with the fields of a publication, each of any value or missing."""
    fields = {
        "id": draw(st.sampled_from((_MISSING, _MISSING, *_IDS))),
        "prev": draw(st.sampled_from((_MISSING, *_IDS))),
        "event": draw(st.sampled_from((_MISSING, "note", "note", *_NAMES))),
        "data": draw(st.just(_MISSING) | _DATA),
        "more": draw(st.just(_MISSING) | json_values),
    }
    given: dict[str, Any] = {name: value for name, value in fields.items() if value is not _MISSING}
    if isinstance(given.get("id"), str) and draw(st.booleans()):
        given["event"] = draw(st.sampled_from(("complete", "failed")))
    text = json.dumps(
        given, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from((None, 1)))
    )
    return text.encode(errors="surrogatepass")


@st.composite
def _mutated(draw: st.DrawFn) -> bytes:
    given = draw(_publications())
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(given)))
        end = start + draw(st.integers(0, 4))
        given = given[:start] + draw(st.binary(max_size=3)) + given[end:]
    return given


publications = st.one_of(
    _publications(), _publications(), _mutated(), st.sampled_from(_RAW), st.binary(max_size=50)
)
"""One payload, in which ``LAST`` is to be replaced."""


def is_no_json(payload: bytes) -> bool:
    """Say whether a payload is certainly not JSON, as a reader of the standard library sees it."""
    try:
        json.loads(payload.decode())
    except (UnicodeDecodeError, json.JSONDecodeError):
        return True
    except (ValueError, RecursionError):
        return False  # a number or a depth that is too much for Python alone
    return False
