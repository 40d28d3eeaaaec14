"""Which server has a key: a single one, the primary that Sentinels name, or a node of a Cluster."""

import asyncio
import math
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, Protocol

from redis.asyncio.connection import SSLConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from jobcast.protocol.names import PLAIN, PubSub
from jobcast.redis.address import Address, HostAndPort
from jobcast.redis.connection import (
    FAILURES,
    Connection,
    Deliver,
    answer_of,
    answered_within,
    packed,
)
from jobcast.redis.server import OPENING_SHARE, Connect, Connector, Server

NODE_TIMEOUT_SHARE: Final = 1 / 4
"""Share of a call's timeout that one Sentinel or node may take, so that others can be asked in
time."""

_PING: Final = packed("PING")


class Redirect(NamedTuple):
    """How to retry a command that a server refused without effect.

    ``asking`` is the server that accepts it once, after ``ASKING``; None if the server has to be
    found again. ``pauses`` says whether to wait first.
    """

    asking: Server | None = None
    pauses: bool = True


class Servers(Protocol):
    """The assignment of keys to servers.

    The only interface behind which a single server, Sentinels and a Cluster differ. ``is_cluster``
    says whether keys are on several servers and may move. ``pubsub`` has the commands for
    publishing and subscribing. ``fails_over`` says whether another server takes over from an
    unavailable one, so that waiting for it is worthwhile. ``timeout_s`` is the timeout of a call in
    seconds.
    """

    is_cluster: bool
    pubsub: PubSub
    fails_over: bool
    timeout_s: float

    def known(self, name: str | bytes) -> Server | None:
        """Return the server of a key or channel; None if ``find`` has to find it first."""

    async def find(self, name: str) -> Server:
        """Find the server of a key or channel. Raises a ``RedisError`` if it can't be found."""

    def serving(self) -> Sequence[Server]:
        """Return the known servers that have keys."""

    async def ping(self) -> None:
        """Check that any server answers. Raises a ``RedisError`` if none does."""

    async def refresh(self) -> None:
        """Read which server has which slots. Raises a ``RedisError`` if no server answers."""

    def refresh_soon(self) -> None:
        """Start a ``refresh`` in the background, unless one is running."""

    def slot_of(self, name: str | bytes) -> int:
        """Return the slot of a key or channel; all names in a slot are on one server."""

    async def moving(self) -> frozenset[int]:
        """Return the slots that are known to be moving to another server."""

    def redirect(self, refusal: str, key: str, server: Server) -> Redirect | None:
        """Return how to retry after an error reply; None if the reply is final."""

    async def refusal(self) -> str | None:
        """Return why Redis refuses the URL; None if it accepts it or is unavailable.

        Of several Sentinels or nodes, all that answer have to refuse.
        """

    async def aclose(self) -> None:
        """Close all connections."""


class OneServer:
    """A single server."""

    is_cluster = False
    pubsub = PLAIN
    fails_over = False

    def __init__(self, connect: Connect, timeout_s: float) -> None:
        self._server = Server(connect)
        self.timeout_s = timeout_s

    def known(self, _name: str | bytes) -> Server:
        """Return the server."""
        return self._server

    async def find(self, _name: str) -> Server:
        """Return the server."""
        return self._server

    def serving(self) -> Sequence[Server]:
        """Return the server."""
        return (self._server,)

    async def ping(self) -> None:
        """Check that the server answers. Raises a ``RedisError`` if it does not."""
        answer_of(*await self._server.ask(_PING))

    async def refresh(self) -> None:
        """Do nothing: the server has all slots."""

    def refresh_soon(self) -> None:
        """Do nothing: the server has all slots."""

    def slot_of(self, _name: str | bytes) -> int:
        """Return the same slot for every name."""
        return 0

    async def moving(self) -> frozenset[int]:
        """Return no slots: there is no other server."""
        return frozenset()

    def redirect(self, refusal: str, _key: str, server: Server) -> Redirect | None:
        """Drop the connection to a replica: the server's name may resolve to another one by now."""
        if refusal.startswith("READONLY"):
            server.give_up()
        return None

    async def refusal(self) -> str | None:
        """Return why the server refuses the URL; None if it accepts it or is unavailable."""
        return await refusal_of_all([self._server.connect])

    async def aclose(self) -> None:
        """Close all connections."""
        await self._server.aclose()


class SentinelPrimary(OneServer):
    """The primary that the Sentinels name each time a connection is opened."""

    fails_over = True

    def __init__(self, address: Address, at_most_s: float = math.inf) -> None:
        options = dict(address.sentinel_options)
        if options.pop("ssl", False):
            options["connection_class"] = SSLConnection
        self._name = address.name
        self._sentinels = list(address.nodes)
        self._to_sentinels = Connector(options, at_most_s)
        self._to_primary = Connector(address.options, at_most_s)
        timeout_s = self._to_primary.timeout_s
        self._node_timeout_s = timeout_s * NODE_TIMEOUT_SHARE
        super().__init__(self._connect, timeout_s)

    def redirect(self, refusal: str, key: str, server: Server) -> Redirect | None:
        """Ask the Sentinels again if the server became a replica or is loading its data."""
        super().redirect(refusal, key, server)
        return Redirect() if refusal.startswith(("READONLY ", "LOADING ")) else None

    async def refusal(self) -> str | None:
        """Return why the Sentinels or the primary refuse the URL; None if they don't."""
        sentinels = [partial(self._to_sentinels.open, node=node) for node in self._sentinels]
        refusal = await refusal_of_all(sentinels)
        return f"of the Sentinels: {refusal}" if refusal else await super().refusal()

    async def _connect(self, deliver: Deliver | None = None, *, decode: bool = False) -> Connection:
        async with answered_within(self.timeout_s * OPENING_SHARE):
            host, port = node = await self._find_primary()
            async with answered_within(2 * self._node_timeout_s):
                connection = await self._to_primary.open(deliver, decode=decode, node=node)
                is_primary = False
                try:
                    (role, *_) = answer_of(*await connection.ask(packed("ROLE")))
                    is_primary = role in {b"master", "master"}
                finally:
                    if not is_primary:
                        connection.retire()
        if not is_primary:
            # It was replaced, but this Sentinel does not know that yet.
            raise RedisConnectionError(f"{host}:{port} is not the primary any more")
        return connection

    async def _find_primary(self) -> HostAndPort:
        problem: RedisError | None = None
        for sentinel in tuple(self._sentinels):
            try:
                async with answered_within(self._node_timeout_s):
                    answer = await self._ask(sentinel)
            except RedisError as error:
                problem = error
            else:
                if answer is not None:
                    host, port = answer
                    return host.decode(), int(port)
            # Last from now on, so that the next call begins with one that answers.
            self._sentinels.remove(sentinel)
            self._sentinels.append(sentinel)
        raise RedisConnectionError(f"no Sentinel knows a primary {self._name}") from problem

    async def _ask(self, sentinel: HostAndPort) -> Any:  # noqa: ANN401 - what Redis answers
        connection = await self._to_sentinels.open(node=sentinel)
        try:
            question = packed("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._name)
            return answer_of(*await connection.ask(question))
        finally:
            await connection.close()


async def refusal_of_all(connects: Iterable[Connect], command: bytes = _PING) -> str | None:
    """Return why servers refuse a command; None if one accepts it, or none can be reached."""
    answers = await asyncio.gather(*(_refusal(connect, command) for connect in connects))
    refusals = [answer for answer in answers if answer]
    return refusals[0] if refusals and "" not in answers else None


async def _refusal(connect: Connect, command: bytes) -> str | None:
    """Return why a server refuses a command: '' if it accepts it, None if it can't be reached."""
    try:
        connection = await connect()
        try:
            answer_of(*await connection.ask(command))
        finally:
            await connection.close()
    except FAILURES as error:
        return Address.refusal_of(error)
    return ""
