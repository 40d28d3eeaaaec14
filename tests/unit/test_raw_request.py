"""A request read from its ASGI scope says what Quart's would."""

from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from quart import Quart
from quart.asgi import ASGIHTTPConnection

from app.raw_request import RawRequest, utf8_query
from tests.support.service import token

APP = Quart("test")
NAMES = [
    b"authorization",
    b"Cookie",
    b"cookie",
    b"host",
    b"origin",
    b"x-session-id",
    b"X-Session-ID",
]
ASKED = ["Authorization", "Host", "Origin", "X-Session-Id", "x-session-id", "Last-Event-ID"]
PARAMETERS = [b"token", b"sessionId", b"sessionid", b"", b"a+b", b"%C3%A9", b"%ff", b"%"]

values = st.sampled_from([b"", b" s ", b'a=b; c="d"', b"a=b;a=c", token().encode(), b"\xe9\xff"])
pairs = st.tuples(st.sampled_from(PARAMETERS), st.sampled_from([*PARAMETERS, b"x", b"a%26b=c"]))


def scope(headers: list[tuple[bytes, bytes]], query: bytes) -> dict[str, Any]:
    return {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/",
        "root_path": "",
        "query_string": query,
        "headers": headers,
        "client": ("127.0.0.1", 1),
    }


@given(
    st.lists(st.tuples(st.sampled_from(NAMES), values), max_size=6),
    st.lists(pairs.map(b"=".join), max_size=5).map(b"&".join),
)
def test_it_says_what_quart_says(headers: list[tuple[bytes, bytes]], query: bytes) -> None:
    asked = RawRequest(scope(headers, query))
    connection = ASGIHTTPConnection(APP, cast("Any", scope(headers, query)))
    theirs = connection._create_request_from_scope(cast("Any", None))
    assert asked.method == theirs.method
    for name in ASKED:
        assert asked.headers.get(name) == theirs.headers.get(name)
        assert asked.headers.get(name, "-") == theirs.headers.get(name, "-")
        assert asked.headers.getlist(name) == theirs.headers.getlist(name)
    for name in {*map(str, theirs.args), "token", "nothing"}:
        assert asked.args.getlist(name) == theirs.args.getlist(name)
        assert asked.args.get(name) == theirs.args.get(name)
    for name in {*map(str, theirs.cookies), "a", "nothing"}:
        assert asked.cookies.getlist(name) == theirs.cookies.getlist(name)


def test_bytes_of_a_query_that_are_no_utf_8_become_percent_encoded() -> None:
    for query, expected in (
        (b"", b""),
        (b"a=%ff&b=c", b"a=%ff&b=c"),
        ("a=é".encode(), "a=é".encode()),
        (b"token=\xff&sessionId=s", b"token=%FF&sessionId=s"),
        (b"\xc3", b"%C3"),
    ):
        assert utf8_query(query) == expected
        asked = RawRequest(scope([], utf8_query(query)))
        assert asked.args.get("nothing") is None
