"""The messages to subscribers of a job's channel."""

from collections.abc import Callable

from msgspec import Struct


class Published(Struct, frozen=True, gc=False):
    """Payloads of the channel that arrived in one read, mostly one."""

    payloads: list[bytes]


class Subscribed(Struct, frozen=True):
    """The subscription is confirmed; earlier publications may have been missed.

    Also sent repeatedly while a Cluster moves the channel's slot.
    """


Subscriber = Callable[[Published | Subscribed], None]
"""Called with all messages of one channel, in order; must not raise."""
