import asyncio
from typing import Any

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
