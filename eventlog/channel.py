"""The messages to subscribers of a job's channel."""

from typing import Protocol

from msgspec import Struct


class Published(Struct, frozen=True, gc=False):
    """Payloads of the channel that arrived in one read, mostly one."""

    payloads: list[bytes]


class Subscribed(Struct, frozen=True):
    """The subscription is confirmed; earlier publications may have been missed.

    Also sent repeatedly while a Cluster moves the channel's slot.
    """


class Subscriber(Protocol):
    """Gets all messages of one channel, in order.

    An object and not a function: of an actor, that would be a bound method for each job.
    """

    def hand(self, message: Published | Subscribed, /) -> None:
        """Handle a message; must not raise."""
