"""A finished job's events for a viewer that does not read them."""

import socket
from contextlib import suppress
from typing import Any, cast
from urllib.parse import urlsplit

import pytest

from app.streaming import middleware
from app.streaming.decision import WholeStream
from app.streaming.head import StreamHead
from app.streaming.middleware import StreamMiddleware, decision_of
from tests.support.hypercorn_server import serving
from tests.support.valkey import HOST
from tests.support.waiting import until

MUCH = b"x" * 50_000_000


class Teller:
    """Decides that there is much to tell, and tells it."""

    def __init__(self) -> None:
        self.began = self.ended = False

    async def decide(self, *_: object) -> WholeStream:
        return WholeStream(MUCH)

    async def __call__(self, scope: Any, _receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI's
        decision = decision_of(scope)
        assert isinstance(decision, WholeStream)
        self.began = True
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": decision.body, "more_body": False})
        self.ended = True


async def test_a_viewer_that_does_not_read_of_a_finished_job_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(middleware, "READ_TIMEOUT_S", 0.2)
    teller = Teller()
    application = StreamMiddleware(teller, cast("Any", teller), cast("Any", None), StreamHead(()))
    async with serving(application) as url:
        with socket.create_connection((HOST, urlsplit(url).port or 0)) as connection:
            connection.sendall(b"GET /api/v1/jobs/a/stream HTTP/1.1\r\nHost: a\r\n\r\n")
            await until(lambda: teller.began)
            await until(lambda: teller.ended)
            received = 0
            with suppress(ConnectionResetError):
                while part := connection.recv(1 << 20):
                    received += len(part)
    assert received < len(MUCH)
