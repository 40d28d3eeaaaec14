"""Where a call goes: to one server, to the one that Sentinels name, or to a node of a Cluster."""

from typing import Any, NamedTuple, Protocol

from redis.asyncio.connection import SSLConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from jobcast.redis.address import Address, HostAndPort
from jobcast.redis.connection import Connection, answer_of, answered_within, packed
from jobcast.redis.server import Connector, Server


class Again(NamedTuple):
    """What follows a refusal that says: not here, or not now. Nothing was done.

    ``asked`` is the one server that takes the call, for once and after ``ASKING``; if it is None
    the server is found anew. ``is_later`` is whether that needs a pause.
    """

    asked: Server | None = None
    is_later: bool = True


class Servers(Protocol):
    """Who serves which key.

    ``publish`` is the command by which events are published here. ``fails_over`` is whether another
    server takes over from one that is away, so that it is worth waiting for.
    """

    publish: str
    fails_over: bool

    def known(self, key: str) -> Server | None:
        """Return the server of a key, None as long as it has to be found."""

    async def find(self, key: str) -> Server:
        """Find the server of a key; a ``RedisError`` when it can't be found."""

    def after(self, refusal: str, key: str, server: Server) -> Again | None:
        """Return what follows an error reply of a server, None when that is the answer."""

    async def aclose(self) -> None:
        """Close all connections."""


class OneServer:
    """A server by itself."""

    publish = "PUBLISH"
    fails_over = False

    def __init__(self, server: Server) -> None:
        self._server = server

    def known(self, _key: str) -> Server:
        """Return the server."""
        return self._server

    async def find(self, _key: str) -> Server:
        """Return the server."""
        return self._server

    def after(self, refusal: str, _key: str, server: Server) -> Again | None:
        """Leave a server that became a replica: its name may mean another one by now."""
        if refusal.startswith("READONLY"):
            server.give_up()
        return None

    async def aclose(self) -> None:
        """Close the connection."""
        await self._server.aclose()


class Watched(OneServer):
    """The server that Sentinels call the primary, whichever that is when it is connected to."""

    fails_over = True

    def __init__(self, address: Address) -> None:
        options = dict(address.sentinel_options)
        if options.pop("ssl", False):
            options["connection_class"] = SSLConnection
        self._name = address.name
        self._sentinels = list(address.nodes)
        self._to_sentinels = Connector(options)
        self._to_primary = Connector(address.options)
        # Of the time of a call, so that there is some left for the next one to ask.
        self._patience_s = self._to_primary.timeout_s / 4
        super().__init__(Server(self._connect))

    def after(self, refusal: str, key: str, server: Server) -> Again | None:
        """Ask the Sentinels again when the server has become a replica, or is not ready."""
        super().after(refusal, key, server)
        return Again() if refusal.startswith(("READONLY ", "LOADING ")) else None

    async def _connect(self) -> Connection:
        node = await self._find_primary()
        async with answered_within(self._patience_s):
            connection = await self._to_primary.open(node)
            (role, *_) = answer_of(*await connection.ask(packed("ROLE")))
        if role != b"master":
            # It was replaced, and the Sentinel that was asked does not know it yet.
            await connection.close()
            raise RedisConnectionError(f"{node[0]}:{node[1]} is not the primary any more")
        return connection

    async def _find_primary(self) -> HostAndPort:
        problem: RedisError | None = None
        for sentinel in tuple(self._sentinels):
            try:
                async with answered_within(self._patience_s):
                    answer = await self._ask(sentinel)
            except RedisError as error:
                problem = error
            else:
                if answer is not None:
                    host, port = answer
                    return host.decode(), int(port)
            # The next call begins with one that answers.
            self._sentinels.remove(sentinel)
            self._sentinels.append(sentinel)
        raise RedisConnectionError(f"no Sentinel knows a primary {self._name}") from problem

    async def _ask(self, sentinel: HostAndPort) -> Any:  # noqa: ANN401 - what Redis answers
        connection = await self._to_sentinels.open(sentinel)
        try:
            question = packed("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._name)
            return answer_of(*await connection.ask(question))
        finally:
            await connection.close()
