"""The channels of all watched jobs, on one server."""

from collections.abc import Awaitable, Callable
from typing import cast

from actors.line import Line
from actors.loop_actor import LoopInbox
from actors.questions import Ref
from eventlog.cluster import Connector
from jobcast.protocol.names import PLAIN


class Subscriptions:
    """Which actor follows which job, over one connection.

    Args:
        connector: says where and how to connect.
        on_lost: called when the connection is gone, before another is opened.
    """

    def __init__(self, connector: Connector, on_lost: Callable[[], Awaitable[None]]) -> None:
        self._line = Line(connector, PLAIN, self._lost)
        self._on_lost = on_lost
        self.reconnects = 0

    def __len__(self) -> int:
        """Count the channels that are followed."""
        return len(self._line.followers)

    @property
    def connected(self) -> bool:
        """Whether a connection is up."""
        return self._line.connected

    def follow(self, job_id: str, ref: Ref) -> None:
        """Tell an actor what is published of a job, and ``Subscribed`` when that begins."""
        self._line.follow(PLAIN.channel(job_id).encode(), cast("LoopInbox", ref.actor_inbox))

    def unfollow(self, job_id: str, ref: Ref) -> None:
        """Tell that actor no more, unless another has taken its place already."""
        name = PLAIN.channel(job_id).encode()
        if self._line.followers.get(name) is ref.actor_inbox:
            self._line.unfollow(name)

    async def run(self) -> None:
        """Keep a connection until cancelled."""
        await self._line.run()

    async def _lost(self, _line: Line) -> bool:
        self.reconnects += 1
        await self._on_lost()
        return True
