"""The one connection that follows the channels of all watched jobs.

Subscribing and unsubscribing go out in batches. When the connection is lost or mute, a new one
subscribes to everything, and each actor is told ``Subscribed`` when its channel is in force.
"""

import asyncio
import logging
import random
from typing import Final, cast

from actors.loop_actor import LoopInbox
from actors.messages import Published, Subscribed
from actors.questions import Ref
from eventlog.connection import Client
from eventlog.errors import LogUnavailable
from eventlog.raw_connection import RawConnection, Replies, packed
from schema.wire import channel

_log = logging.getLogger("jobcast.subscriptions")

_BATCH: Final = 500
_PAUSE_S: Final = 0.002
"""Between two batches: in a crowd each would be of one channel otherwise."""

_PING: Final = packed("PING")
_PING_S: Final = 1.5
_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0


class Subscriptions:
    """Which actor follows which job, and the connection that serves them.

    Args:
        client: one whose answers are bytes; the connection is made like its own.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._followers: dict[bytes, LoopInbox] = {}
        self._changed: dict[bytes, None] = {}
        self._connection: RawConnection | None = None
        self._sending = False
        self._sent = 0.0
        self.reconnects = 0

    def __len__(self) -> int:
        """Count the channels that are followed."""
        return len(self._followers)

    @property
    def connected(self) -> bool:
        """Whether a connection is up."""
        return self._connection is not None

    def follow(self, job_id: str, ref: Ref) -> None:
        """Tell an actor what is published of a job, and ``Subscribed`` when that begins."""
        name = channel(job_id).encode()
        self._followers[name] = cast("LoopInbox", ref.actor_inbox)
        self._change(name)

    def unfollow(self, job_id: str, ref: Ref) -> None:
        """Tell that actor no more, unless another has taken its place already."""
        name = channel(job_id).encode()
        if self._followers.get(name) is ref.actor_inbox:
            del self._followers[name]
            self._change(name)

    async def run(self) -> None:
        """Keep a connection until cancelled."""
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                connection = await RawConnection.open(self._client, self._deliver, decode=False)
                pause_s = _FIRST_PAUSE_S
                why = await self._serve(connection)
            except LogUnavailable as error:
                why = str(error)
            self.reconnects += 1
            _log.warning("lost the connection that follows jobs: %s", why)
            await asyncio.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311 - jitter
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _serve(self, connection: RawConnection) -> str:
        """Follow all jobs on a connection until it is lost or mute; say which."""
        loop = asyncio.get_running_loop()
        self._connection = connection
        self._changed = dict.fromkeys(self._followers)
        self._send_soon()
        try:
            while not connection.lost.done():
                pinged = loop.time()
                connection.send(_PING)
                await asyncio.wait({connection.lost}, timeout=_PING_S)
                if connection.heard_at < pinged:
                    return "mute"
            return connection.lost.result()
        finally:
            self._connection = None
            await connection.close()

    def _deliver(self, pushes: Replies) -> None:
        followers = self._followers
        published: dict[LoopInbox, list[bytes]] = {}
        for push in pushes:
            if type(push) is not list:
                self._refused(push)
                continue
            inbox = followers.get(push[1])
            if inbox is None:
                continue
            if push[0] == b"message":
                if inbox in published:
                    published[inbox].append(push[2])
                else:
                    published[inbox] = [push[2]]
            elif push[0] == b"subscribe":
                inbox.hand(Subscribed())
        for inbox, payloads in published.items():
            inbox.hand(Published(payloads))

    def _refused(self, push: object) -> None:
        """Give the connection up if Redis refuses a command; ``PONG`` is no refusal."""
        if isinstance(push, Exception) and self._connection is not None:
            self._connection.give_up(str(push))

    def _change(self, name: bytes) -> None:
        self._changed[name] = None
        self._send_soon()

    def _send_soon(self) -> None:
        if self._connection is not None and not self._sending and self._changed:
            self._sending = True
            loop = asyncio.get_running_loop()
            loop.call_at(max(loop.time(), self._sent + _PAUSE_S), self._send)

    def _send(self) -> None:
        """Subscribe to what was followed meanwhile, and unsubscribe from what was let go."""
        self._sending = False
        self._sent = asyncio.get_running_loop().time()
        if self._connection is None:
            return
        changed, self._changed = list(self._changed), {}
        for first in range(0, len(changed), _BATCH):
            names = changed[first : first + _BATCH]
            wanted = [name for name in names if name in self._followers]
            unwanted = [name for name in names if name not in self._followers]
            if wanted:
                self._connection.send(packed("SUBSCRIBE", *wanted))
            if unwanted:
                self._connection.send(packed("UNSUBSCRIBE", *unwanted))
