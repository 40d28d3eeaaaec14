import asyncio
from typing import Any

import h11
import pytest
from h11._headers import Headers

from app.server.repairs import REPAIRED
from app.server.repairs import _read_until_client_closes as read_data
from tests.support.waiting import until


class Server:
    """What Hypercorn reads a connection with."""

    class config:  # noqa: N801 - an attribute of Hypercorn's
        read_timeout = None

    def __init__(self) -> None:
        self.reader = asyncio.StreamReader()
        self.protocol = self.idle_task = self
        self.handled: list[Any] = []
        self.stopped = False

    async def handle(self, event: object) -> None:
        self.handled.append(event)

    async def stop(self) -> None:
        self.stopped = True


async def test_what_was_read_is_not_kept_while_more_is_awaited() -> None:
    server: Any = Server()
    server.reader.feed_data(b"a request")
    reading: Any = read_data(server)
    task = asyncio.create_task(reading)
    await until(lambda: bool(server.handled))
    assert server.handled.pop().data == b"a request"
    assert b"a request" not in reading.cr_frame.f_locals.values()
    server.reader.feed_eof()
    await task
    assert server.stopped


async def test_a_connection_that_breaks_is_closed() -> None:
    server: Any = Server()
    server.reader.set_exception(ConnectionResetError())
    await read_data(server)
    assert [type(event).__name__ for event in server.handled] == ["Closed"]
    assert server.stopped


def test_the_headers_of_a_request_are_those_of_h11(monkeypatch: pytest.MonkeyPatch) -> None:
    given = [("Host", "any"), ("X-Any", "1"), ("x-any", "2"), ("Connection", "keep-alive")]
    request = h11.Request(method="GET", target="/", headers=given)
    expected = [request.headers[index] for index in range(len(given))]
    iterate: Any = REPAIRED[Headers, "__iter__"]
    monkeypatch.setattr(Headers, "__iter__", iterate)
    assert list(request.headers) == expected
    assert request.headers == expected
    assert (b"x-any", b"2") in request.headers
