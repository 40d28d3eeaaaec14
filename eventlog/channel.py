"""What a subscriber of a job's channel receives."""

from collections.abc import Callable

from msgspec import Struct


class Published(Struct, frozen=True, gc=False):
    """Payloads arrived on the job's channel, in one read: mostly one."""

    payloads: list[bytes]


class Subscribed(Struct, frozen=True):
    """What is published from here on will arrive; what was before may have been missed.

    Also sent again and again while a Cluster moves the channel's slot.
    """


Subscriber = Callable[[Published | Subscribed], None]
"""Is called with everything about one channel, in order; it must not raise."""
