"""What Hypercorn 0.18 gets wrong, put right, and what it does in vain, spared.

Each takes the place of something of Hypercorn's own, which it calls; a release that mends the fault
makes it superfluous.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, cast

from h2.events import DataReceived, Event
from hypercorn.asyncio import tcp_server
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import AsyncioSingleTask
from hypercorn.protocol.h2 import H2Protocol

_PATIENCE_S: Final = 0.25
"""How long a connection may be idle before somebody waits for the end of that."""

Action = Callable[[], Coroutine[Any, Any, None]]


def close_with_the_client() -> None:
    """Have Hypercorn close an idle connection when its client does.

    Hypercorn 0.18 sees that the client has left, but waits for its idle timer before it closes: the
    socket of everyone who left after an answer stays open for ``keep_alive_timeout``.
    """
    read: Any = TCPServer._read_data  # noqa: SLF001 - what this module is for
    if getattr(read, "closes_with_the_client", False):
        return

    async def read_and_stop_waiting(server: TCPServer) -> None:
        await read(server)
        await server.idle_task.stop()

    read_and_stop_waiting.closes_with_the_client = True  # type: ignore[attr-defined]
    TCPServer._read_data = read_and_stop_waiting  # type: ignore[method-assign, assignment]  # noqa: SLF001


def outlive_late_bodies() -> None:
    """Have Hypercorn drop what comes of a body after its request was answered.

    Hypercorn 0.18 has forgotten the stream by then, and an HTTP/2 connection ends by a KeyError,
    with every other stream that is open on it.
    """
    handle: Any = H2Protocol._handle_events  # noqa: SLF001 - what this module is for
    if getattr(handle, "outlives_late_bodies", False):
        return

    async def handle_without_late_bodies(protocol: H2Protocol, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, DataReceived) and event.stream_id not in protocol.streams:
                length = event.flow_controlled_length or 0
                protocol.connection.acknowledge_received_data(length, event.stream_id)
            else:
                await handle(protocol, [event])
        await protocol._flush()  # noqa: SLF001 - as Hypercorn does, also when there was no event

    handle_without_late_bodies.outlives_late_bodies = True  # type: ignore[attr-defined]
    H2Protocol._handle_events = handle_without_late_bodies  # type: ignore[method-assign, assignment]  # noqa: SLF001


class LateTask(AsyncioSingleTask):
    """A task that begins when it was not stopped for a while."""

    def __init__(self) -> None:
        super().__init__()
        self._timer: asyncio.TimerHandle | None = None

    async def restart(self, task_group: Any, action: Action) -> None:  # noqa: ANN401 - Hypercorn's
        """Have the task begin anew, some time after this."""
        await self.stop()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_PATIENCE_S, self._begin, task_group, action)

    async def stop(self) -> None:
        """End the task, or keep it from beginning."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._handle is not None:
            await super().stop()

    def _begin(self, task_group: Any, action: Action) -> None:  # noqa: ANN401 - Hypercorn's
        self._timer = None
        waiting = action()
        try:
            self._handle = task_group._task_group.create_task(waiting)  # noqa: SLF001 - as it does
        except RuntimeError:  # the connection has ended meanwhile
            waiting.close()


def begin_idle_tasks_late() -> None:
    """Have Hypercorn wait for the end of a connection's idleness only where there is some.

    Hypercorn 0.18 has two tasks and a timer do that as a client connects, and ends them as its
    request comes: mostly at once, and a quarter of what it costs when a viewer comes.
    """
    cast("Any", tcp_server).AsyncioSingleTask = LateTask
