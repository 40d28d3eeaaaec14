"""Which requests are streams, and how the head of one looks."""

import asyncio
from itertools import product
from typing import Any, cast

import pytest
from werkzeug.exceptions import HTTPException

from app import create_app
from app.settings import Settings
from app.streaming.decision import MANY, WholeStream
from app.streaming.head import StreamHead
from app.streaming.middleware import _KEY, StreamMiddleware
from tests.support.service import SECRET

ORIGIN = "https://first.example"
APP = create_app(Settings(jwt_secret=SECRET, cors_origins=(ORIGIN,)))
MIDDLEWARE = cast("StreamMiddleware", APP.asgi_app)
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
    return str(endpoint).startswith("stream.")


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
    paths += map("".join, product(("/api/v1", "//api/v1", "/api//v1", "/x/api/v1"), ends))
    assert [path for path in paths if goes_to_the_stream(path)] == [
        path for path in paths if MIDDLEWARE._job_of(scope(path)) is not None
    ]


@pytest.mark.parametrize(
    ("request_scope", "job"),
    [
        (scope("/api/v1/jobs/a/stream"), "a"),
        (scope("/api/v1/jobs/a/stream/", method="HEAD"), "a"),
        (scope("http://jobs.example/api/v1/jobs/a/stream"), "a"),
        (scope("/api/v1/stream"), MANY),
        (scope("/api/v1/stream/", method="HEAD"), MANY),
        (scope("/root/api/v1/stream", root_path="/root"), MANY),
        (scope("/api/v1/streams"), None),
        (scope("http://["), None),
        (scope("/root/api/v1/jobs/a/stream", root_path="/root"), "a"),
        (scope("/api/v1/jobs/a/stream", root_path="/root"), "a"),
        (scope("/api/v1/jobs/a/stream", method="POST"), None),
        (scope("/api/v1/jobs/a/stream", method="OPTIONS"), None),
        (scope("/api/v1/jobs/a/stream", type="websocket"), None),
    ],
)
def test_a_stream_is_asked_for_in_several_ways(
    request_scope: dict[str, Any], job: str | None
) -> None:
    assert MIDDLEWARE._job_of(request_scope) == job


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
def test_the_head_of_a_stream_is_made_of_the_settings(
    version: str, origin: str | None, further: list[tuple[bytes, bytes]]
) -> None:
    head = MIDDLEWARE._head.of(version, origin)
    assert head["status"] == 200
    assert head["headers"] == [*HEAD, *further, (b"vary", b"Origin")]


@pytest.mark.parametrize("version", ["1.0", "1.1", "2"])
@pytest.mark.parametrize("origin", [None, "", ORIGIN, "https://elsewhere.example"])
@pytest.mark.parametrize("origins", [(), (ORIGIN,), (ORIGIN, "https://second.example"), ("*",)])
async def test_the_head_is_the_one_that_quart_gives_the_stream_of_a_finished_job(
    version: str, origin: str | None, origins: tuple[str, ...]
) -> None:
    middleware: Any = create_app(Settings(jwt_secret=SECRET, cors_origins=origins)).asgi_app
    headers = [] if origin is None else [(b"origin", origin.encode())]
    asked = scope("/api/v1/jobs/a/stream", http_version=version, headers=headers)
    said: list[Any] = []

    async def listen(message: Any) -> None:  # noqa: ANN401 - ASGI's
        said.append(message)

    await middleware._application({**asked, _KEY: WholeStream(b"")}, asyncio.Event().wait, listen)
    assert said[0] == StreamHead(origins).of(version, origin)
