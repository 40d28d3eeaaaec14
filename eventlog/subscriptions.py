"""The channels of all watched jobs, on one server."""

from collections.abc import Awaitable, Callable

from eventlog.channel import Subscriber
from eventlog.cluster import Connector
from eventlog.subscriber_connection import SubscriberConnection
from jobcast.protocol.names import PLAIN


class Subscriptions:
    """Who follows which job, over one connection.

    Args:
        connector: says where and how to connect.
        on_lost: called when the connection is gone, before another is opened.
    """

    def __init__(self, connector: Connector, on_lost: Callable[[], Awaitable[None]]) -> None:
        self._connection = SubscriberConnection(connector, PLAIN, self._lost)
        self._on_lost = on_lost
        self.reconnects = 0

    def __len__(self) -> int:
        """Count the channels that are followed."""
        return len(self._connection.subscribers)

    @property
    def connected(self) -> bool:
        """Whether a connection is up."""
        return self._connection.connected

    def follow(self, job_id: str, subscriber: Subscriber) -> None:
        """Pass on what is published of a job, and ``Subscribed`` when that begins."""
        self._connection.follow(PLAIN.channel(job_id).encode(), subscriber)

    def unfollow(self, job_id: str, subscriber: Subscriber) -> None:
        """Pass nothing more on to a subscriber, unless another has taken its place already."""
        name = PLAIN.channel(job_id).encode()
        if self._connection.subscribers.get(name) == subscriber:
            self._connection.unfollow(name)

    async def run(self) -> None:
        """Keep a connection until cancelled."""
        await self._connection.run()

    async def _lost(self, _connection: SubscriberConnection) -> bool:
        self.reconnects += 1
        await self._on_lost()
        return True
