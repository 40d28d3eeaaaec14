"""The way of an event, call by call: what a delivery costs, by a count that no clock can upset.

It is the real one from the bytes that Redis sends to the transport that they leave by; the two
connections alone are stand-ins. Each line is a call in every delivery of every process: a change
that adds one should be worth it, and one that takes one away should change this list.
"""

import asyncio
import gc
import math
import socket
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import ExitStack, closing
from types import FrameType, SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock

import pytest

from actors.directory import Directory
from actors.mailbox import Mailbox
from app.server.transport import TransportOutlet
from eventlog.subscriptions import Subscriptions
from jobcast.protocol.names import PLAIN
from jobcast.redis.connection import Connection, packed
from jobcast.redis.servers import OneServer
from tests.support.architecture import functions_of, ways
from tests.support.channel_server import receive
from tests.support.job_world import JOB, JobLog

ONCE_AN_EVENT = [
    *("Connection.get_buffer", "Connection.buffer_updated", "SubscriberConnection._deliver"),
    *("LoopInbox.hand", "JobActor.on_receive", "FollowedLog.published"),
    *("decode_publication", "parse_event", "normalize_json", "_parse_progress"),
    *("FollowedLog._accept", "is_after", "apply", "encode", "JobActor._do", "Audience.broadcast"),
]
"""Read, told to the job's actor, decoded and checked, followed, folded, encoded; then, for all the
viewers, looked through."""

ONCE_A_CROWD = ["Audience._deliver_in_parts", "Pace.here", "WeakKeyDictionary.get"]
"""More than fit into one part: they get it part by part, at the pace of the loop."""

ONCE_A_PART = ["Pace.do", "Pace.count", "Audience._deliver_part"]
PART = 32

ONCE_A_VIEWER = [
    *("Mailbox.put", "TransportOutlet.offer"),
    *("Transport.is_closing", "Transport.get_write_buffer_size"),
]
"""Mailbox and outlet; the transport's two are in C when it is a real one, as the sending is."""


class Transport:
    """The way to Redis, and to a viewer who takes everything."""

    def __init__(self) -> None:
        self._here, self._there = socket.socketpair()

    def get_extra_info(self, name: str) -> socket.socket | None:
        return self._here if name == "socket" else None

    def close(self) -> None:
        self._here.close()
        self._there.close()

    def arrived(self) -> bytes:
        """Return what the viewer got since it was asked before."""
        return self._there.recv(1 << 16)

    def pause_reading(self) -> None:
        """Do nothing: a test says what comes."""

    def resume_reading(self) -> None:
        """Do nothing: a test says what comes."""

    def set_protocol(self, protocol: object) -> None:
        """Do nothing: a test says what comes."""

    def set_write_buffer_limits(self, **limits: int) -> None:
        """Do nothing: nothing waits."""

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        raise AssertionError("nothing is wrong with it")

    def write(self, data: bytes) -> None:
        """Take what the outlet has held."""
        self._here.send(data)


class Path:
    """A job that is followed over a connection, and its viewers."""

    def __init__(self, viewers: int) -> None:
        self.log = JobLog(_number=1732382400000)  # ids as Redis gives them
        self._to_redis = Transport()
        self._subscriptions = Subscriptions(OneServer(AsyncMock(), 1.0))
        self._subscriptions._tasks = cast("Any", SimpleNamespace(create_task=Coroutine.close))
        self._subscriptions._rearrange()
        (self._subscriber,) = self._subscriptions._connections.values()
        self._directory = Directory(self._subscriptions, self.log)
        self._redis = Connection(
            cast("Any", SimpleNamespace(_writer=SimpleNamespace(transport=self._to_redis))),
            1.0,
            self._subscriber._deliver,
        )
        self.viewers = [Transport() for _ in range(viewers)]
        self._open = ExitStack()
        for transport in self.viewers:
            writer = cast("asyncio.StreamWriter", SimpleNamespace(transport=transport))
            outlet = TransportOutlet(writer)
            mailbox = Mailbox(1 << 16, outlet.offer, lambda: None)
            watch = self._directory.viewing(JOB, self.log.state, mailbox, None)
            self._open.enter_context(watch)
            outlet.attach(mailbox)

    async def settle(self) -> None:
        """Have the actor begin, and learn that nothing was missed."""
        await asyncio.sleep(0)
        self._subscriber._changed.clear()  # it was asked for
        self._receive(b"subscribe", PLAIN.channel(JOB).encode(), b"1")
        async with asyncio.timeout(5):
            while not self.log.questions:  # noqa: ASYNC110 - who watches is registered in turns
                await asyncio.sleep(0)
        question = self.log.questions.pop()
        question.given(self.log.read(question.cursor))
        await asyncio.sleep(0)

    def close(self) -> None:
        """Have all leave."""
        self._open.close()
        for transport in (*self.viewers, self._to_redis):
            transport.close()

    def publish(self, publication: bytes) -> list[str]:
        """Have a publication arrive; return which Python functions ran."""
        calls: list[str] = []

        def note(frame: FrameType, event: str, _: object) -> None:
            if event == "call" and frame.f_code.co_name not in {
                "time",
                "receive",
            }:  # the event loop's: mostly in C
                calls.append(frame.f_code.co_qualname)

        data = packed(b"message", PLAIN.channel(JOB).encode(), publication)
        before = sys.getprofile()
        gc.disable()  # or what other tests have left would be ended in between
        sys.setprofile(note)
        try:
            receive(self._redis, data)
        finally:
            sys.setprofile(before)
            gc.enable()
        return calls

    def _receive(self, *reply: bytes) -> None:
        receive(self._redis, packed(*reply))


@pytest.fixture
async def path(viewers: int) -> AsyncIterator[Path]:
    """Return a path to so many viewers."""
    with closing(Path(viewers)) as path:
        yield path


@pytest.mark.parametrize("viewers", [1, 2, PART, 100])
async def test_an_event_is_handled_once_and_written_once_a_viewer(viewers: int, path: Path) -> None:
    await path.settle()
    path.publish(path.log.start())
    for transport in path.viewers:
        assert transport.arrived().count(b"id: ") == 2  # the snapshot, and the start
    for percent in (10, 20, 30):
        calls = path.publish(path.log.progress(percent))
        each = [call for call in calls if call in ONCE_A_VIEWER]
        parts = [call for call in calls if call in ONCE_A_PART]
        once = [call for call in calls if call not in (*ONCE_A_VIEWER, *ONCE_A_PART)]
        assert each == ONCE_A_VIEWER * viewers
        if viewers <= PART:
            assert (once, parts) == (ONCE_AN_EVENT, [])
        else:
            assert once == ONCE_AN_EVENT + ONCE_A_CROWD
            assert parts.count("Audience._deliver_part") == math.ceil(viewers / PART)
            assert set(parts) == set(ONCE_A_PART)
        assert {transport.arrived().count(b"id: ") for transport in path.viewers} == {1}


def test_the_page_describes_this_way() -> None:
    way = ways()[0]
    everything = [*ONCE_AN_EVENT, *ONCE_A_VIEWER[:2]]
    assert list(functions_of(way)) == everything
