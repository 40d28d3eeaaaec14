"""A connection that is subscribed to a pattern of channels."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from redis.exceptions import RedisError

from jobcast._retry import Pauses
from jobcast.redis.caller import Caller
from jobcast.redis.connection import Connection, Replies, answer_of, packed
from jobcast.redis.outages import Outages

_log: Final = logging.getLogger("jobcast.bridge")

_PING_S: Final = 1.5

Receive = Callable[[bytes, bytes], None]
"""Called with the name of a channel and a message; must not raise."""


class PatternSubscriber:
    """Keeps a connection subscribed on a server that is not a Cluster, and passes on its messages.

    ``pattern`` returns the pattern for the number of the database. ``on_pause`` is called every
    1.5 s. ``since`` is when it first connected, as an entry id by the clock of Redis.
    ``connections`` counts the subscriptions that Redis has confirmed; ``following`` is set while
    there is one.
    """

    def __init__(
        self,
        name: str,
        caller: Caller,
        pattern: Callable[[int], str],
        receive: Receive,
        on_pause: Callable[[], None],
    ) -> None:
        self._name = name
        self._caller = caller
        self._pattern = pattern
        self._receive = receive
        self._on_pause = on_pause
        self._connection: Connection | None = None
        self.since = ""
        self.connections = 0
        self.following = asyncio.Event()

    def pause(self) -> None:
        """Stop reading until `resume`."""
        if self._connection is not None:
            self._connection.pause()

    def resume(self) -> None:
        """Continue reading."""
        if self._connection is not None:
            self._connection.resume()

    async def run(self) -> None:
        """Receive until cancelled."""
        pauses, outages = Pauses(), Outages(_log)
        while True:
            try:
                server = await self._caller.servers.find(self._name)
                connection = await server.connect(self._deliver)
                connections = self.connections
                why = await self._serve(connection)
                if self.connections > connections:
                    pauses = Pauses()  # else Redis refuses the subscription
            except (RedisError, OSError) as error:
                why = str(error)
            outages.add(f"{self._name}: not following, events are missed now: {why}")
            await asyncio.sleep(pauses.next())

    async def _serve(self, connection: Connection) -> str:
        """Receive over a connection until it fails; return the reason."""
        loop = asyncio.get_running_loop()
        self._connection = connection
        try:
            if not self.since:
                time: Any = answer_of(*await connection.ask(packed("TIME")))
                self.since = f"{int(time[0]) * 1000 + int(time[1]) // 1000}-0"
            connection.send(packed("PSUBSCRIBE", self._pattern(self._caller.database)))
            while True:
                pinged = loop.time()
                connection.send(packed("PING"))
                await asyncio.wait({connection.lost}, timeout=_PING_S)
                if connection.lost.done():
                    return connection.lost.result()
                if connection.heard_at < pinged and not connection.is_paused:
                    return "no answer to a ping"
                self._on_pause()
        finally:
            self._connection = None
            self.following.clear()
            await connection.close()

    def _deliver(self, pushes: Replies) -> None:
        for push in pushes:
            if isinstance(push, Exception):
                if self._connection is not None:
                    self._connection.give_up(str(push))
            elif push[0] == b"pmessage":
                self._receive(push[2], push[3])
            elif push[0] == b"psubscribe":
                self.connections += 1
                self.following.set()
                _log.info("%s: following", self._name)
