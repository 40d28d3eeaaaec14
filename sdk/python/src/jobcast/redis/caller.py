"""Calls to the server that has the key, through failovers and moved slots."""

import asyncio
import math
from typing import Final

from hiredis import ReplyError
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from jobcast.protocol.append import Append, with_script
from jobcast.protocol.names import log_key, state_key
from jobcast.redis.address import Address
from jobcast.redis.cluster import Cluster
from jobcast.redis.connection import Connection, Reply, answer_of, answered_within, packed
from jobcast.redis.server import Connector, Server
from jobcast.redis.servers import OneServer, SentinelPrimary, Servers

_PAUSE_S: Final = 0.05
_ASKING: Final = packed("ASKING")


class Caller:
    """Sends commands and returns the replies of Redis.

    A command that was sent is repeated only if Redis replied that it did nothing: without a reply
    it may have been executed. During a failover, a command that was not sent yet waits for the new
    server, within the timeout of a call: that of the address, at most ``at_most_s`` seconds.
    ``servers`` are the servers that it calls, ``database`` is the number of the database there.

    Raises a ValueError if an option of the address can't be used.
    """

    def __init__(self, address: Address, at_most_s: float = math.inf) -> None:
        address.check()
        self.database = int(address.options.get("db") or 0)
        self.servers: Servers
        if address.kind == "cluster":
            self.servers = Cluster(address, at_most_s)
        elif address.kind == "sentinel":
            self.servers = SentinelPrimary(address, at_most_s)
        else:
            connector = Connector(address.options, at_most_s)
            self.servers = OneServer(connector.open, connector.timeout_s)
        self._timeout_s = self.servers.timeout_s

    async def call(self, key: str, *command: str | bytes) -> Reply:
        """Run a command on the server that has ``key``, and return the reply.

        Raises an error reply as redis-py does, and whatever ``reply`` raises.
        """
        return answer_of(await self.reply(key, packed(*command)))

    async def append(
        self,
        job_id: str,
        event: Append,
        attempt: int | None,
        run: str | bytes,
        seq: str = "",
    ) -> Reply:
        """Run the append script for a job and return its reply; see ``reply``."""
        keys = log_key(job_id), state_key(job_id)
        command = event.command(self.servers.pubsub.publish, keys, attempt, run, seq)
        reply = await self.reply(keys[0], packed(*command))
        if isinstance(reply, ReplyError) and str(reply).startswith("NOSCRIPT"):
            return await self.reply(keys[0], packed(*with_script(command)))
        return reply

    async def reply(self, key: str, command: bytes) -> Reply:
        """Send a packed command to the server that has ``key``, and return the reply.

        An error reply is returned, not raised. Raises ``ConnectionError`` and ``TimeoutError`` of
        redis-py, and whatever redis-py raises if a connection can't be opened.
        """
        server = self.servers.known(key)
        connection = None if server is None else server.ready
        try:
            if server is not None and connection is not None:
                (reply,) = await connection.ask(command)
            else:
                async with answered_within(self._timeout_s) as limit:
                    server, connection = await self._reach(key, limit)
                    (reply,) = await connection.ask(command)
        except (asyncio.CancelledError, RedisTimeoutError):
            if connection is not None:
                connection.retire()  # else the next call may wait for the same missing reply
            raise
        if isinstance(reply, ReplyError):
            return await self._follow(reply, key, command, server)
        return reply

    def send(self, key: str, command: bytes) -> None:
        """Send a packed command without waiting for its reply; dropped without a connection."""
        server = self.servers.known(key)
        if server is not None and server.connection is not None:
            server.connection.ask(command).add_done_callback(asyncio.Future.exception)

    async def aclose(self) -> None:
        """Close all connections; calls without an answer raise ``redis.ConnectionError``."""
        await self.servers.aclose()

    async def _reach(self, key: str, limit: asyncio.Timeout) -> tuple[Server, Connection]:
        while True:
            try:
                server = await self.servers.find(key)
                return server, await server.open()
            except AuthenticationError:
                raise
            except (RedisConnectionError, RedisTimeoutError):
                if not self.servers.fails_over or _is_over(limit):
                    raise
            await asyncio.sleep(_PAUSE_S)

    async def _follow(self, reply: Reply, key: str, command: bytes, server: Server) -> Reply:
        """Follow redirects, and retry after transient refusals, until there is a final reply."""
        is_first = True
        async with answered_within(self._timeout_s) as limit:
            while isinstance(reply, ReplyError):
                redirect = self.servers.redirect(str(reply), key, server)
                if redirect is None or _is_over(limit):
                    break
                if redirect.pauses or not is_first:
                    await asyncio.sleep(_PAUSE_S)
                is_first = False
                if redirect.asking is None:
                    server, connection = await self._reach(key, limit)
                    (reply,) = await connection.ask(command)
                else:
                    server = redirect.asking
                    # Written together: ASKING applies to the next command only.
                    asking, reply = await server.ask(_ASKING + command, 2)
                    if isinstance(asking, ReplyError):
                        return asking
        return reply


def _is_over(limit: asyncio.Timeout) -> bool:
    """Return whether too little time is left for a pause and another try."""
    end = limit.when()
    return end is None or end - asyncio.get_running_loop().time() < 2 * _PAUSE_S
