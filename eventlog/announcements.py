"""Announcements that a job of an owner was created or retried.

The channel has the name of the owner's index. A publication is a hint: its receiver reads the
job, and checks the owner.
"""

from collections.abc import Sequence
from typing import Protocol

from eventlog.channel import Published, Subscribed, Subscriber
from jobcast.protocol.names import owner_keys, parse_job_id
from schema.owner import Owner


class Channels(Protocol):
    """Subscriptions to channels by name, as in ``eventlog.subscriptions``."""

    def follow_channel(self, channel: str, subscriber: Subscriber) -> None:
        """Pass what is published on a channel to a subscriber, after ``Subscribed``."""

    def unfollow_channel(self, channel: str, subscriber: Subscriber) -> None:
        """Stop passing what is published on a channel to a subscriber."""


class Listener(Protocol):
    """Receives the announcements of an owner's jobs."""

    def announced(self, job_ids: Sequence[str]) -> None:
        """Handle the creation or retry of these jobs."""

    def missed(self) -> None:
        """Handle a gap: announcements may have been missed until now."""


class Announcements:
    """Follows each owner's channel while it has listeners."""

    def __init__(self, subscriptions: Channels) -> None:
        self._subscriptions = subscriptions
        self._channels: dict[str, _OwnerChannel] = {}

    def __len__(self) -> int:
        """Count the followed channels."""
        return len(self._channels)

    def listen(self, owner: Owner, listener: Listener) -> None:
        """Pass an owner's announcements to a listener, after ``missed``."""
        for name in owner_keys(owner.user_id, owner.session_id):
            channel = self._channels.get(name)
            if channel is None:
                channel = self._channels[name] = _OwnerChannel()
                self._subscriptions.follow_channel(name, channel)
            channel.add(listener)

    def leave(self, owner: Owner, listener: Listener) -> None:
        """Stop passing announcements to a listener."""
        for name in owner_keys(owner.user_id, owner.session_id):
            channel = self._channels[name]
            if not channel.remove(listener):
                del self._channels[name]
                self._subscriptions.unfollow_channel(name, channel)


class _OwnerChannel:
    """The channel of one user or session."""

    __slots__ = ("_is_subscribed", "_listeners")

    def __init__(self) -> None:
        self._listeners: dict[Listener, None] = {}
        self._is_subscribed = False

    def add(self, listener: Listener) -> None:
        self._listeners[listener] = None
        if self._is_subscribed:
            listener.missed()

    def remove(self, listener: Listener) -> bool:
        """Remove a listener; say whether others are left."""
        del self._listeners[listener]
        return bool(self._listeners)

    def hand(self, message: Published | Subscribed) -> None:
        if isinstance(message, Subscribed):
            self._is_subscribed = True
            for listener in list(self._listeners):
                listener.missed()
            return
        named = (parse_job_id(each.decode(errors="replace")) for each in message.payloads)
        job_ids = [job_id for job_id in named if job_id is not None]
        for listener in list(self._listeners) if job_ids else ():
            listener.announced(job_ids)
