"""The one connection that follows the channels of all watched jobs.

Subscribing and unsubscribing go out in batches. When the connection is lost or mute, a new one
subscribes to everything, and each actor is told ``Subscribed`` when its channel is in force.
"""

import asyncio
import logging
import math
import random
from typing import Any, Final, cast

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from actors.messages import Published, Subscribed
from actors.questions import Ref, tell
from schema.wire import channel

_log = logging.getLogger("jobcast.subscriptions")

_BATCH: Final = 500
_PING_S: Final = 1.5
_CONNECT_S: Final = 2.0
_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0


class Subscriptions:
    """Which actor follows which job, and the connection that serves them.

    Args:
        redis: a client whose answers are bytes; its connections are made like its own.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._followers: dict[bytes, Ref] = {}
        self._changed: dict[bytes, None] = {}
        self._connection: AbstractConnection | None = None
        self._sender: asyncio.Task[None] | None = None
        self._heard = 0.0
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
        self._followers[name] = ref
        self._change(name)

    def unfollow(self, job_id: str, ref: Ref) -> None:
        """Tell that actor no more, unless another has taken its place already."""
        name = channel(job_id).encode()
        if self._followers.get(name) is ref:
            del self._followers[name]
            self._change(name)

    async def run(self) -> None:
        """Keep a connection until cancelled."""
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                connection = await self._connect()
                pause_s = _FIRST_PAUSE_S
                try:
                    await self._serve(connection)
                finally:
                    self._connection = None
                    await connection.disconnect(nowait=True)
            except (RedisError, OSError, TimeoutError) as error:
                self.reconnects += 1
                _log.warning("lost the connection that follows jobs: %s", error)
            await asyncio.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311 - jitter
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _connect(self) -> AbstractConnection:
        pool: Any = self._redis.connection_pool
        connection = cast("AbstractConnection", pool.make_connection())
        try:
            async with asyncio.timeout(_CONNECT_S):
                await connection.connect()  # type: ignore[no-untyped-call]  # redis-py's own
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return connection

    async def _serve(self, connection: AbstractConnection) -> None:
        self._connection = connection
        self._heard = asyncio.get_running_loop().time()
        self._changed = dict.fromkeys(self._followers)
        self._send_soon()
        watch = asyncio.create_task(self._watch(connection))
        try:
            while True:
                self._dispatch(await connection.read_response(True, math.inf))  # noqa: FBT003
                self._heard = asyncio.get_running_loop().time()
        finally:
            watch.cancel()
            if self._sender is not None:
                self._sender.cancel()
                self._sender = None

    def _dispatch(self, message: Any) -> None:  # noqa: ANN401 - whatever Redis says
        kind = message[0]
        if kind == b"message":
            ref = self._followers.get(message[1])
            if ref is not None:
                tell(ref, Published(message[2]))
        elif kind == b"subscribe":
            ref = self._followers.get(message[1])
            if ref is not None:
                tell(ref, Subscribed())

    def _change(self, name: bytes) -> None:
        self._changed[name] = None
        self._send_soon()

    def _send_soon(self) -> None:
        if self._connection is not None and self._sender is None and self._changed:
            self._sender = asyncio.create_task(self._send(self._connection))

    async def _send(self, connection: AbstractConnection) -> None:
        try:
            while self._changed:
                names = list(self._changed)[:_BATCH]
                for name in names:
                    del self._changed[name]
                wanted = [name for name in names if name in self._followers]
                unwanted = [name for name in names if name not in self._followers]
                if wanted:
                    await connection.send_command("SUBSCRIBE", *wanted)
                if unwanted:
                    await connection.send_command("UNSUBSCRIBE", *unwanted)
            self._sender = None
        except (RedisError, OSError, TimeoutError):
            await connection.disconnect(nowait=True)  # the reader notices, and starts anew

    async def _watch(self, connection: AbstractConnection) -> None:
        """Ping, and give the connection up when nothing at all came back since the ping before."""
        loop = asyncio.get_running_loop()
        pinged = 0.0
        try:
            while self._heard >= pinged:
                pinged = loop.time()
                await connection.send_command("PING")
                await asyncio.sleep(_PING_S)
            _log.warning("the connection that follows jobs is mute")
        except (RedisError, OSError, TimeoutError) as error:
            _log.warning("can't ping on the connection that follows jobs: %s", error)
        await connection.disconnect(nowait=True)
