"""Which runs hold a lease: an index of all of them, by when theirs is over.

Workers enter their runs and renew them; what a job's state says of its lease is what counts. The
clock is that of Redis throughout, so that no two machines have to agree on the time.
"""

import asyncio
import itertools
import logging
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from eventlog.connection import available
from eventlog.errors import LogUnavailable
from jobcast.protocol.leases import ENTER, LEASE_LUA, LEASES_KEY, leased_run, look_key
from jobcast.protocol.names import state_key
from jobcast.redis.caller import Caller
from jobcast.redis.connection import answer_of, packed
from jobcast.redis.server import Server

_log = logging.getLogger("jobcast.leases")

_LOOK_S: Final = 0.6
"""A server that needs longer may have kept workers from renewing short leases meanwhile."""

# A write that changes nothing and is refused where a renewal is: by a full memory or disk, too.
_LOOK: Final = LEASE_LUA + "redis.call('SETRANGE', KEYS[1], 0, '') return now"
_CLAIM: Final = (
    LEASE_LUA
    + """
local due = redis.call('ZRANGE', KEYS[1], '-inf', ARGV[1], 'BYSCORE', 'LIMIT', 0, ARGV[2])
local runs = {}
for _, member in ipairs(due) do
  if string.match(member, '^[%w._-]+:') then
    enter(member, ARGV[3])
    runs[#runs + 1] = member
  else
    redis.call('ZREM', KEYS[1], member) -- no job's
  end
end
return runs
"""
)


class LeasedRun(Struct, frozen=True):
    """A run in the index.

    Attributes:
        member: of the index.
        job_id: whose run it is.
        run: its token, any bytes that a worker chose.
    """

    member: bytes
    job_id: str
    run: bytes


class Times(Struct, frozen=True):
    """What time it is for Redis, as Unix time in ms.

    Attributes:
        index_ms: where the index of leases is.
        by_server: on each server that lets leases be renewed, by its name.
    """

    index_ms: int
    by_server: Mapping[str, int]


class Leases:
    """The index of leases."""

    def __init__(self, redis: Caller) -> None:
        self._redis = redis
        self._servers = redis.servers
        self._keys: dict[Server, str] = {}

    async def look(self) -> Times:
        """Look at each server as a renewal would.

        Raises:
            LogUnavailable: Redis is away, or of a Cluster the node that has the index.
        """
        async with available():
            await self._servers.find(LEASES_KEY)
        keys = self._key_of_each()
        looks = await asyncio.gather(*(self._look_at(*each) for each in keys.items()))
        by_server = {
            server.name: now_ms
            for server, now_ms in zip(keys, looks, strict=True)
            if now_ms is not None
        }
        if len(by_server) < len(keys):
            self._servers.look_soon()
        index = self._servers.known(LEASES_KEY)
        index_ms = None if index is None else by_server.get(index.name)
        if index_ms is None:
            raise LogUnavailable("The server that has the index of leases is unavailable")
        return Times(index_ms, by_server)

    def server_of(self, run: LeasedRun) -> str | None:
        """Return the server that has a run's job, by its name; None if none has."""
        server = self._servers.known(state_key(run.job_id))
        return None if server is None else server.name

    async def claim(self, until_ms: int, limit: int, for_ms: int) -> list[LeasedRun]:
        """Return runs that were due by then, the longest overdue first.

        They are due again after some time, unless they are removed: meanwhile no other process is
        given them, and one that can't be dealt with does not stand in the way of the others.

        Args:
            until_ms: not later than now.
            limit: how many at the most.
            for_ms: when they are due again.

        Raises:
            LogUnavailable: Redis is away.
        """
        due: list[bytes] = await self._run(_CLAIM, str(until_ms), str(limit), str(for_ms))
        return [LeasedRun(member, *leased_run(member)) for member in due]

    async def postpone(self, run: LeasedRun, by_ms: int) -> None:
        """Note when a run is due that is still leased.

        Raises:
            LogUnavailable: Redis is away.
        """
        await self._run(ENTER, run.member, str(by_ms))

    async def remove(self, run: LeasedRun) -> None:
        """Forget a run that is over.

        Raises:
            LogUnavailable: Redis is away.
        """
        async with available():
            await self._redis.call(LEASES_KEY, "ZREM", LEASES_KEY, run.member)

    def _key_of_each(self) -> Mapping[Server, str]:
        """Return for each server the name of a key that it would have."""
        known, serving = self._servers.known, self._servers.serving()
        # Kept, for it takes long to find the one slot of a node that has just begun to serve.
        self._keys = {server: key for server, key in self._keys.items() if known(key) is server}
        numbers = itertools.count()
        while len(self._keys) < len(serving):
            key = look_key(next(numbers))
            if (server := known(key)) is not None:
                self._keys.setdefault(server, key)
        return dict(self._keys)

    async def _look_at(self, server: Server, key: str) -> int | None:
        """Return the time of a server, None if it can't be written to."""
        try:
            async with available(), asyncio.timeout(_LOOK_S):
                (reply,) = await server.ask(packed("EVAL", _LOOK, "1", key))
                if isinstance(reply, Exception):
                    self._servers.redirect(str(reply), key, server)
                return int(answer_of(reply))
        except LogUnavailable as error:
            _log.info("%s lets no lease be renewed: %s", server, error)
            return None

    async def _run(self, script: str, *arguments: str | bytes) -> Any:  # noqa: ANN401 - its answer
        async with available():
            return await self._redis.call(LEASES_KEY, "EVAL", script, "1", LEASES_KEY, *arguments)
