"""What a client may send over one connection: requests, most of them not quite right."""

import hmac
from base64 import urlsafe_b64encode
from typing import Final

from hypothesis import strategies as st

from tests.support.service import SECRET

JOB: Final = b"00000000-0000-4000-8000-000000000001"
"""A job of the tests' session, which whoever tries these makes."""

_PATHS: Final = (
    *(b"/", b"/healthz", b"/readyz", b"/metrics", b"/openapi.json", b"/static/page.js"),
    *(b"/api/v1/jobs", b"/api/v1/jobs/", b"/api/v1/jobs/%b/status" % JOB),
    *(b"/api/v1/jobs/%b/cancel" % JOB, b"/api/v1/jobs/%b/retry" % JOB),
    *(b"/api/v1/jobs/%b/stream" % JOB, b"/api/v1/jobs/%b/stream/" % JOB),
    *(b"/api/v1/jobs/x/stream", b"//api/v1/jobs/x/stream", b"/api/v1/jobs//stream", b"*"),
)
_ODD: Final = (
    *(b"%00", b"%0a", b"%0d%0aX: y", b"%ff", b"%c0%af", b"%2e%2e", b"%2f", b"%", b"%u0041", b".."),
    *(b"//", b"/../../etc/passwd", b"\0", b"\r", b"\n", b" ", b"\t", b"\xff", b"\xc3\xa9", b"?"),
    *(b"#", b"[", b"]", b"{}", b"http://[::1", b"@", b":", b";", b"a" * 300, b"a" * 70_000),
    *(b"?token=", b"?sessionId=session-1", b"?limit=0", b"?limit=%EF%BC%91", b"?cursor=%00"),
    *(b"?cursor=AAAA", b"?limit=9" * 200, b"&" * 2000, b"?token=a.b.c", b"?sessionid=%ed%a0%80"),
)
_ORIGINS: Final = (
    b"http://h",
    b"https://u:p@h:99",
    b"http://[::1",
    b"http://",
    b"//h",
    b"HTTP://H",
)
_HEADERS: Final = (
    *(
        b"x-session-id",
        b"Authorization",
        b"Last-Event-ID",
        b"Idempotency-Key",
        b"Cookie",
        b"Origin",
    ),
    *(b"Content-Length", b"Transfer-Encoding", b"Content-Type", b"Content-Encoding", b"Expect"),
    *(b"Connection", b"Upgrade", b"HTTP2-Settings", b"Sec-WebSocket-Key", b"Range", b"If-Range"),
    *(b"If-None-Match", b"If-Modified-Since", b"Accept-Encoding", b"X-Forwarded-For", b"Host"),
    *(b"Sec-WebSocket-Version", b"X-HTTP-Method-Override", b"Access-Control-Request-Method", b"TE"),
)
_VALUES: Final = (
    *(b"", b"session-1", b"null", b"Bearer", b"Bearer a.b.c", b"Bearer eyJhbGciOiJub25lIn0.e30."),
    *(b"basic Og==", b"1-0", b"0-0", b"99999999999999999999-0", b"18446744073709551615-0", b"-1"),
    *(b"token=a.b.c", b"a=b; c", b'"', b'"\\"', b"0", b"5", b"+5", b"1_0", b"9" * 30, b"5, 5"),
    *(b"chunked", b"gzip, chunked", b"identity", b"xchunked", b"gzip", b"100-continue", b"close"),
    *(b"keep-alive", b"Upgrade", b"upgrade, HTTP2-Settings", b"h2c", b"websocket", b"AAMAAABkAAQ"),
    *(b"bytes=0-", b"bytes=9-1", b"bytes=-", b"items=1", b"*", b"\xff\xfe", b"\xc3\xa9", b"\0"),
    *(
        b"application/json",
        b"dGhlIHNhbXBsZSBub25jZQ==",
        b"13",
        b"localhost",
        b"a b",
        b"http://[::1",
    ),
    *(b"Mon, 99 Foo 0000 00:00:00 GMT", b"x" * 256, b"x" * 70_000, b"a\r\n b", b"W/", b"[::1"),
)
_BODIES: Final = (
    *(b"", b"{}", b'{"type":"a"}', b'{"type":"a","sessionId":"s","input":{"x":1}}', b"[]", b"null"),
    *(b'{"type":1}', b'{"type":"a","x":1}', b'{"type":"\\ud800"}', b'{"type":"\xff"}', b'"', b"\0"),
    *(b'{"type":"a","input":' + b'{"a":' * 200 + b"1" + b"}" * 201, b"[" * 5000, b"{" * 70_000),
    *(b'{"type":"a","input":{"x":' + b"9" * 5000 + b"}}", b'{"type":"a","input":{"x":1e999}}'),
    *(b'{"type":"\\u0000\\n"}', b'{"type":"a","type":"b"}', b"4\r\n{}{}\r\n0\r\n\r\n", b"5\r\n{}"),
    *(b"ffffffffffffffffff\r\n", b"-1\r\n", b"4;x=y\r\n{}{}\r\n0\r\nx: y\r\n\r\n", b"0\r\n\r\n"),
)
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_FRAMES: Final = (
    *(b"", b"\0\0\0\4\0\0\0\0\0", b"\0\0\0\4\1\0\0\0\0", b"\xff\xff\xff\0\0\0\0\0\1", b"\0" * 9),
    *(
        b"\0\0\4\1\5\0\0\0\1\x82\x84\x86\x81",
        b"\0\0\4\x08\0\0\0\0\0\0\0\0\0",
        b"\0\0\1\1\5\0\0\0\1\xff",
    ),
    *(
        b"\0\0\4\3\0\0\0\0\1\0\0\0\0",
        b"\0\0\x08\7\0\0\0\0\0\0\0\0\0\0\0\0\0",
        b"\0\0\0\x42\0\0\0\0\3",
    ),
)


_CLAIMS: Final = (
    *(b"{}", b'{"userId":null}', b'{"userId":5}', b'{"userId":[]}', b'{"userId":"\\ud800"}', b"5"),
    *(
        b'{"userId":"\\u0000"}',
        b'{"userId":"%b"}' % (b"x" * 300),
        b'{"userId":"","sub":"a"}',
        b"[]",
    ),
    *(b'{"sub":"a","nbf":"x"}', b'{"sub":"a","nbf":1%b}' % (b"0" * 400), b'{"sub":"a","iat":"x"}'),
    *(
        b'{"sub":"a","aud":5}',
        b'{"sub":"a","iss":[]}',
        b'{"sub":"\xff"}',
        b'{"sub":"a","exp":1e999}',
    ),
    *(b'{"sub":"a","exp":1%b}' % (b"0" * 400), b'{"sub":"a","exp":9e15}', b'{"sub":"a","exp":NaN}'),
    *(b'{"sub":"a","exp":-1}', b'{"sub":"a","exp":"soon"}', b'{"sub":"a","x":%b}' % (b"[" * 2000)),
    *(b'{"sub":1%b}' % (b"0" * 5000), b'{"sub":true}', b'{"sub":"a"}', b'{"sub":"a b\\r\\n"}', b""),
)


def _signed(claims: bytes) -> bytes:
    parts = b'{"alg":"HS256","typ":"JWT"}', claims
    text = b".".join(urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    made = hmac.digest(SECRET.encode(), text, "sha256")
    return text + b"." + urlsafe_b64encode(made).rstrip(b"=")


_TOKENS: Final = tuple(map(_signed, _CLAIMS))
"""Well signed, whatever they say."""

_SENDABLE: Final = tuple(value for value in _VALUES if min(value, default=32) >= 32)
_PRINTABLE: Final = tuple(text for text in _ODD if min(text) > 32 and max(text) < 127)


def _some(*values: bytes) -> st.SearchStrategy[bytes]:
    return st.sampled_from(values)


def _joined(*parts: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.tuples(*parts).map(b"".join)


def _with_length(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


_tokens = _some(*_TOKENS)
_targets = st.one_of(
    _some(*_PATHS),
    _joined(_some(*_PATHS), _some(*_PRINTABLE)),
    _joined(_some(*_ORIGINS), _some(*_PATHS), st.just(b"") | _some(*_PRINTABLE)),
    _joined(_some(b"/api/v1/jobs/"), _some(*_PRINTABLE), _some(b"/stream", b"/status")),
    _joined(_some(*_PATHS), _some(b"?token="), _tokens),
)
_odd_targets = _joined(_some(*_PATHS), _some(*_ODD) | st.binary(max_size=20), _some(*_PATHS))
_headers = st.one_of(
    _joined(_some(*_HEADERS), _some(b": "), _some(*_SENDABLE)),
    _joined(_some(b"Authorization: Bearer ", b"Cookie: token="), _tokens),
)
_odd_headers = _joined(
    _some(*_HEADERS) | st.binary(max_size=5), _some(b": ", b":", b" : ", b""), _some(*_VALUES)
)
_methods = _some(
    b"GET", b"GET", b"POST", b"POST", b"HEAD", b"OPTIONS", b"PUT", b"TRACE", b"CONNECT"
)
_odd_methods = _some(b"PRI", b"get", b"", b"G\0T", b"x" * 100)
_versions = _some(b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0")
_odd_versions = _some(b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.12", b"")
_bodies = _some(*_BODIES)
_tails = st.one_of(
    st.just(b"\r\n"),
    _bodies.map(_with_length),
    _joined(_some(b"Transfer-Encoding: chunked\r\n\r\n"), _bodies),
)


@st.composite
def _requests(draw: st.DrawFn) -> bytes:
    """Draw what a server has to take as a request, with at most one thing that is none."""
    odd = draw(st.sampled_from(("", "", "", "", "method", "target", "version", "header", "end")))
    line = (
        draw(_odd_methods if odd == "method" else _methods),
        draw(_odd_targets if odd == "target" else _targets),
        draw(_odd_versions if odd == "version" else _versions),
    )
    headers = [
        b"Host: localhost",
        b"x-session-id: session-1",
        *draw(st.lists(_headers, max_size=2)),
    ]
    if odd == "header":
        headers.append(draw(_odd_headers))
    end = draw(_some(b"\n", b"\r")) if odd == "end" else b"\r\n"
    return end.join((b" ".join(line), *headers)) + end + draw(_tails)


@st.composite
def _mutated(draw: st.DrawFn) -> bytes:
    """Draw a request with bytes replaced, removed, repeated or put in at a few places."""
    given = draw(_requests())[:2000]
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(given)))
        end = start + draw(st.integers(0, 8))
        given = given[:start] + draw(st.binary(max_size=4) | _some(*_ODD)) + given[end:]
    return given


_creations = _joined(
    _some(b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nx-session-id: session-1\r\n"),
    st.just(b"") | _joined(_headers, _some(b"\r\n")),
    _bodies.map(_with_length),
)
_http2 = st.tuples(
    _some(_PREFACE, _PREFACE[:16], _PREFACE[:-3]),
    st.lists(_some(*_FRAMES) | st.binary(max_size=30), max_size=5).map(b"".join),
).map(b"".join)

connections = st.one_of(
    _requests(),
    _requests(),
    _requests(),
    st.lists(_requests(), min_size=2, max_size=4).map(b"".join),
    _creations,
    _mutated(),
    _http2,
    st.tuples(_requests(), st.integers(1, 200)).map(lambda pair: pair[0][: -pair[1]]),
    st.binary(max_size=200),
)
"""All that is sent over one connection."""
