"""Checks whether Redis answers, and whether its user may publish and subscribe."""

import asyncio
import logging
from typing import Final

from hiredis import ReplyError

from eventlog.channel import Published, Subscribed
from eventlog.errors import LogUnavailable
from eventlog.redis_calls import available
from eventlog.subscriptions import Subscriptions
from jobcast.redis.caller import Caller
from jobcast.redis.connection import packed
from jobcast.redis.outages import Outages

_log = logging.getLogger("jobcast.probe")

_PAUSE_S: Final = 1.0
_UNUSED: Final = "."


class Probe:
    """Probes Redis."""

    def __init__(self, redis: Caller, subscriptions: Subscriptions) -> None:
        self._redis = redis
        self._subscriptions = subscriptions
        self.may_publish: bool | None = None

    async def answers(self) -> bool:
        """Say whether Redis answers."""
        try:
            async with available():
                await self._redis.servers.ping()
        except LogUnavailable:
            return False
        return True

    async def run(self) -> None:
        """Subscribe to an unused channel once, and publish an empty message on it.

        If an ACL refuses the first, the subscriber connection is lost, as for any channel: that is
        logged, and the service is not ready. If it refuses the second, an error is logged.
        """
        self._subscriptions.follow(_UNUSED, self)
        pubsub = self._redis.servers.pubsub
        channel = pubsub.channel(_UNUSED)
        outages = Outages(_log, "redis can't be probed: %s")
        while self.may_publish is None:
            try:
                async with available():
                    reply = await self._redis.reply(channel, packed(pubsub.publish, channel, ""))
            except LogUnavailable as error:
                outages.add(error)
                await asyncio.sleep(_PAUSE_S)
                continue
            if not isinstance(reply, ReplyError):
                self.may_publish = True
            elif str(reply).startswith("NOPERM"):
                self.may_publish = False
                _log.error("this Redis user may not publish on jobs:*:events: %s", reply)
            else:
                await asyncio.sleep(_PAUSE_S)

    def hand(self, message: Published | Subscribed, /) -> None:
        """Stop to follow the channel; called when the subscription is confirmed."""
        if isinstance(message, Subscribed):
            self._subscriptions.unfollow(_UNUSED, self)
