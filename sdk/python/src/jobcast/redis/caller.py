"""Calls to whichever server has the key, over failovers and slots that move."""

import asyncio
from typing import Final

from hiredis import ReplyError
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from jobcast.redis.address import parse_address
from jobcast.redis.cluster import Cluster
from jobcast.redis.connection import Connection, Reply, answered_within, packed
from jobcast.redis.server import TIMEOUT_S, Connector, Server
from jobcast.redis.servers import OneServer, Servers, Watched

_PAUSE_S: Final = 0.05
_ASKING: Final = packed("ASKING")


class Caller:
    """Sends commands and returns what Redis answers.

    Nothing is sent twice unless Redis has answered that it did nothing: a command that was written
    but not answered must not be written again. Where another server takes over from one that is
    away, a command that was not sent yet waits for that, as long as a call may take: what the URL
    says, or ``try_s`` if that is less.
    """

    def __init__(self, url: str, try_s: float | None = None) -> None:
        address = parse_address(url)
        address.check()
        if try_s is not None:
            timeout_s = address.options.get("socket_timeout") or TIMEOUT_S
            address.options["socket_timeout"] = min(timeout_s, try_s)
        connector = Connector(address.options)
        self._timeout_s = connector.timeout_s
        self._servers: Servers
        if address.kind == "cluster":
            self._servers = Cluster(address)
        elif address.kind == "sentinel":
            self._servers = Watched(address)
        else:
            self._servers = OneServer(Server(connector.open))
        self.publish = self._servers.publish

    async def call(self, key: str, command: bytes) -> Reply:
        """Send a packed command to the server that has a key.

        An error reply is returned, not raised. Raises ``ConnectionError`` and ``TimeoutError`` of
        redis-py, and what it raises when a connection can't be opened.
        """
        server = self._servers.known(key)
        connection = None if server is None else server.ready
        if server is not None and connection is not None:
            (reply,) = await connection.ask(command)
        else:
            async with answered_within(self._timeout_s) as limit:
                server, connection = await self._reach(key, limit)
                (reply,) = await connection.ask(command)
        if isinstance(reply, ReplyError):
            return await self._follow(reply, key, command, server)
        return reply

    def send(self, key: str, command: bytes) -> None:
        """Send a packed command to the server of a key, if there is a connection to it."""
        server = self._servers.known(key)
        if server is not None and server.connection is not None:
            server.connection.ask(command).add_done_callback(asyncio.Future.exception)

    async def aclose(self) -> None:
        """Close all connections; calls without an answer raise ``redis.ConnectionError``."""
        await self._servers.aclose()

    async def _reach(self, key: str, limit: asyncio.Timeout) -> tuple[Server, Connection]:
        while True:
            try:
                server = await self._servers.find(key)
                return server, await server.open()
            except AuthenticationError:
                raise
            except (RedisConnectionError, RedisTimeoutError):
                if not self._servers.fails_over or _is_over(limit):
                    raise
            await asyncio.sleep(_PAUSE_S)

    async def _follow(self, reply: Reply, key: str, command: bytes, server: Server) -> Reply:
        """Go on from a refusal, to the first answer that is none."""
        is_first = True
        async with answered_within(self._timeout_s) as limit:
            while isinstance(reply, ReplyError):
                again = self._servers.after(str(reply), key, server)
                if again is None or _is_over(limit):
                    break
                if again.is_later or not is_first:
                    await asyncio.sleep(_PAUSE_S)
                is_first = False
                if again.asked is None:
                    server, connection = await self._reach(key, limit)
                    (reply,) = await connection.ask(command)
                else:
                    server = again.asked
                    # Written together: nothing else may come between them.
                    _, reply = await server.ask(_ASKING + command, 2)
        return reply


def _is_over(limit: asyncio.Timeout) -> bool:
    """Whether there is no time left for another try after a pause."""
    end = limit.when()
    return end is None or end - asyncio.get_running_loop().time() < 2 * _PAUSE_S
