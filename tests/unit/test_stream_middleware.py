"""Which requests are streams, and how the head of one looks."""

from itertools import product
from typing import Any

import pytest
from werkzeug.exceptions import HTTPException

from app import create_app
from app.settings import Settings
from app.streaming.middleware import StreamMiddleware, _job_of, _path_of
from tests.support.service import SECRET

ORIGIN = "https://first.example"
APP = create_app(Settings(jwt_secret=SECRET, cors_origins=(ORIGIN,)))
HEAD = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]


def scope(path: str, **more: object) -> dict[str, Any]:
    return {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "root_path": "",
        "query_string": b"",
        "headers": [],
        "client": ("127.0.0.1", 1),
        **more,
    }


def goes_to_the_stream(path: str) -> bool:
    try:
        endpoint, _ = APP.url_map.bind("jobs.example").match(path, "GET")
    except HTTPException:
        return False
    return str(endpoint) == "stream.stream"


def test_the_addresses_of_streams_are_those_that_quart_routes_there() -> None:
    begins = (
        "/api/v1/jobs/",
        "//api/v1/jobs/",
        "/api//v1/jobs/",
        "/API/v1/jobs/",
        "/x/api/v1/jobs/",
    )
    jobs = ("abc", "a%b", "a b", "ä", "a\nb", "", "..", "a/b", "stream", "%2F", "a|b", "\0", "a?b")
    ends = (
        "/stream",
        "/stream/",
        "/stream//",
        "/stream\n",
        "//stream",
        "/streams",
        "/stream/x",
        "",
    )
    paths = list(map("".join, product(begins, jobs, ends)))
    assert [path for path in paths if goes_to_the_stream(path)] == [
        path for path in paths if _job_of(scope(path)) is not None
    ]


@pytest.mark.parametrize(
    ("request_scope", "job"),
    [
        (scope("/api/v1/jobs/a/stream"), "a"),
        (scope("/api/v1/jobs/a/stream/", method="HEAD"), "a"),
        (scope(_path_of("http://jobs.example/api/v1/jobs/a/stream")), "a"),
        (scope(_path_of("http://[")), None),
        (scope("/root/api/v1/jobs/a/stream", root_path="/root"), "a"),
        (scope("/api/v1/jobs/a/stream", root_path="/root"), None),
        (scope("/api/v1/jobs/a/stream", method="POST"), None),
        (scope("/api/v1/jobs/a/stream", method="OPTIONS"), None),
        (scope("/api/v1/jobs/a/stream", type="websocket"), None),
        ({"type": "lifespan"}, None),
    ],
)
def test_a_stream_is_asked_for_in_several_ways(
    request_scope: dict[str, Any], job: str | None
) -> None:
    assert _job_of(request_scope) == job


@pytest.mark.parametrize(
    ("version", "origin", "further"),
    [
        ("1.0", None, []),
        ("1.1", None, [(b"connection", b"keep-alive")]),
        ("2", "https://elsewhere.example", []),
        (
            "2",
            ORIGIN,
            [
                (b"access-control-allow-origin", ORIGIN.encode()),
                (b"access-control-allow-credentials", b"true"),
                (b"access-control-expose-headers", b"location, retry-after"),
            ],
        ),
    ],
)
async def test_the_head_of_a_stream_is_the_one_that_quart_gives(
    version: str, origin: str | None, further: list[tuple[bytes, bytes]]
) -> None:
    headers = [] if origin is None else [(b"origin", origin.encode())]
    handoff: Any = APP.asgi_app
    assert isinstance(handoff, StreamMiddleware)
    asked = scope("/api/v1/jobs/a/stream", http_version=version, headers=headers)
    head = await handoff._head((version, origin), asked)
    assert head["status"] == 200
    assert head["headers"] == [*HEAD, *further, (b"vary", b"Origin")]
    assert handoff._heads[version, origin] is head


async def test_so_many_heads_are_kept_and_no_more() -> None:
    handoff: Any = create_app(Settings(jwt_secret=SECRET)).asgi_app
    for number in range(150):
        origin = f"https://{number}.example"
        asked = scope("/api/v1/jobs/a/stream", headers=[(b"origin", origin.encode())])
        await handoff._head(("1.1", origin), asked)
        assert len(handoff._heads) <= 100
