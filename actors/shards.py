"""The channels of all watched jobs, on the nodes of a Cluster."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Container
from contextlib import suppress
from typing import Final, cast

from actors.line import Line
from actors.loop_actor import LoopInbox
from actors.messages import Subscribed
from actors.questions import Ref
from eventlog.cluster import Cluster
from eventlog.connection import available
from eventlog.errors import LogUnavailable
from jobcast.protocol.names import SHARDED

_log = logging.getLogger("jobcast.subscriptions")

_WATCH_S: Final = 1.0
"""How often the nodes are asked which slots they are moving."""

_AGAIN_S: Final = 0.5
"""How soon the map is asked for again when it has no place for a channel."""


class ShardedSubscriptions:
    """Which actor follows which job, over one connection to each node that serves slots.

    A channel is where its slot is. When a node is lost, or says that it does not serve a channel,
    the Cluster is asked for its map, and each channel goes to the line where it belongs.

    While a slot is being moved, its jobs may be on the next node already, and are published there,
    although only the present node lets their channels be followed: their actors look at the log.

    Args:
        cluster: the client that knows the nodes.
        on_lost: called with a node, as host and port, when the connection to it is gone.
    """

    def __init__(self, cluster: Cluster, on_lost: Callable[[str], Awaitable[None]]) -> None:
        self._nodes = cluster.nodes
        self._on_lost = on_lost
        self._lines: dict[str, Line] = {}
        self._running: dict[Line, asyncio.Task[None]] = {}
        self._homeless: dict[bytes, LoopInbox] = {}
        self._misplaced = asyncio.Event()
        self._tasks: asyncio.TaskGroup
        self.reconnects = 0

    def __len__(self) -> int:
        """Count the channels that are followed."""
        return len(self._homeless) + sum(len(line.followers) for line in self._lines.values())

    @property
    def connected(self) -> bool:
        """Whether any node is connected to: one that is away is the matter of its jobs alone."""
        return any(line.connected for line in self._lines.values())

    def follow(self, job_id: str, ref: Ref) -> None:
        """Tell an actor what is published of a job, and ``Subscribed`` when that begins."""
        name = SHARDED.channel(job_id).encode()
        self._release(name)
        self._place(name, cast("LoopInbox", ref.actor_inbox))
        self._look_for_homes()

    def unfollow(self, job_id: str, ref: Ref) -> None:
        """Tell that actor no more, unless another has taken its place already."""
        name = SHARDED.channel(job_id).encode()
        for followers in (self._homeless, *(line.followers for line in self._lines.values())):
            if followers.get(name) is ref.actor_inbox:
                self._release(name)

    async def run(self) -> None:
        """Keep the connections until cancelled."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                self._tasks.create_task(self._watch_moves())
                while True:
                    await self._nodes.refresh()
                    self._rearrange()
                    await self._wait()
        finally:
            for line in self._lines.values():
                self._homeless |= line.followers
            self._lines, self._running = {}, {}

    async def _wait(self) -> None:
        """Wait until a channel is found to be misplaced, or a while if some are homeless."""
        unsettled = bool(self._homeless) or not self._lines
        with suppress(TimeoutError):
            async with asyncio.timeout(_AGAIN_S if unsettled else None):
                await self._misplaced.wait()
        self._misplaced.clear()

    async def _lost(self, line: Line) -> bool:
        self.reconnects += 1
        for node in [name for name, each in self._lines.items() if each is line]:
            await self._on_lost(node)
        await self._nodes.refresh()
        self._rearrange()
        self._look_for_homes()
        return line in self._lines.values()

    def _rearrange(self) -> None:
        """Put each channel where the Cluster's map has it, as far as that is known."""
        nodes = self._nodes.all()
        for node in nodes:
            if node not in self._lines:
                self._open(node)
        for line in self._lines.values():
            for name, inbox in list(line.followers.items()):
                if self._lines.get(self._nodes.of(name) or "") is not line:
                    line.unfollow(name)
                    self._place(name, inbox)
        homeless, self._homeless = self._homeless, {}
        for name, inbox in homeless.items():
            self._place(name, inbox)
        for node in self._lines.keys() - set(nodes):
            if not self._lines[node].followers:
                self._close(node)

    def _place(self, name: bytes, inbox: LoopInbox) -> None:
        line = self._lines.get(self._nodes.of(name) or "")
        if line is None:
            self._homeless[name] = inbox
        else:
            line.follow(name, inbox)

    def _look_for_homes(self) -> None:
        if self._homeless:
            self._misplaced.set()

    def _release(self, name: bytes) -> None:
        self._homeless.pop(name, None)
        for line in self._lines.values():
            if name in line.followers:
                line.unfollow(name)

    def _open(self, node: str) -> None:
        connector = self._nodes.connector(node)
        line = self._lines[node] = Line(connector, SHARDED, self._lost, self._misplaced.set)
        self._running[line] = self._tasks.create_task(line.run())

    def _close(self, node: str) -> None:
        """Let go of a node that serves nothing any more; its line may be what asks for it."""
        task = self._running.pop(self._lines.pop(node))
        if task is not asyncio.current_task():
            task.cancel()

    async def _watch_moves(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_S)
            try:
                async with available():
                    slots = await self._nodes.moving()
            except LogUnavailable as error:
                _log.debug("the Cluster does not say what it moves: %s", error)
                continue
            if slots:
                self._look_at(slots)

    def _look_at(self, slots: Container[int]) -> None:
        for line in self._lines.values():
            for name, inbox in list(line.followers.items()):
                if self._nodes.slot_of(name) in slots:
                    inbox.hand(Subscribed())
