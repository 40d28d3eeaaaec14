"""The channels of all watched jobs, on one server."""

from eventlog.channel import Subscriber
from eventlog.subscriber_connection import SubscriberConnection
from jobcast.protocol.names import PLAIN
from jobcast.redis.server import Server


class Subscriptions:
    """Who follows which job, over one connection.

    When that is lost, calls to the server open new connections as well: it may be frozen, or
    another one may have taken its place.
    """

    def __init__(self, server: Server) -> None:
        self._connection = SubscriberConnection(server.connect, PLAIN, self._lost)
        self._server = server
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
        self._server.give_up()
        return True
