"""Which runs hold a lease: an index of all of them, by when theirs is over.

Workers enter their runs and renew them; what a job's state says of its lease is what counts. The
clock is that of Redis throughout, so that no two machines have to agree on the time.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct
from redis.client import NEVER_DECODE

from eventlog.connection import Client, available
from eventlog.errors import LogUnavailable
from eventlog.topology import topology_of
from jobcast.protocol.leases import ENTER, LEASE_LUA, LEASES_KEY, leased_run, look_key
from jobcast.protocol.names import state_key

_log = logging.getLogger("jobcast.leases")

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

    def __init__(self, client: Client) -> None:
        self._client = client
        self._topology = topology_of(client)

    async def look(self) -> Times:
        """Look at each server as a renewal would.

        Raises:
            LogUnavailable: Redis is away, or of a Cluster the node that has the index.
        """
        topology = self._topology
        keys = await topology.keys(look_key)
        looks = await asyncio.gather(*(self._try(server, key) for server, key in keys.items()))
        by_server = {
            server: now_ms
            for (server, key), now_ms in zip(keys.items(), looks, strict=True)
            if now_ms is not None and topology.server_of(key) == server  # else another answered
        }
        if len(by_server) < len(keys):
            await topology.refresh()
        index_ms = by_server.get(topology.server_of(LEASES_KEY) or "")
        if index_ms is None:
            raise LogUnavailable("The server that has the index of leases is unavailable")
        return Times(index_ms, by_server)

    def server_of(self, run: LeasedRun) -> str | None:
        """Return the server that has a run's job, by its name; None if none has."""
        return self._topology.server_of(state_key(run.job_id))

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
        due: list[bytes] = await self._run(
            _CLAIM, LEASES_KEY, until_ms, limit, for_ms, as_bytes=True
        )
        return [LeasedRun(member, *leased_run(member)) for member in due]

    async def postpone(self, run: LeasedRun, by_ms: int) -> None:
        """Note when a run is due that is still leased.

        Raises:
            LogUnavailable: Redis is away.
        """
        await self._run(ENTER, LEASES_KEY, run.member, by_ms)

    async def remove(self, run: LeasedRun) -> None:
        """Forget a run that is over.

        Raises:
            LogUnavailable: Redis is away.
        """
        async with available():
            await self._client.zrem(LEASES_KEY, run.member)

    async def _try(self, server: str, key: str) -> int | None:
        try:
            return await self._look_at(key)
        except LogUnavailable as error:
            _log.info("%s lets no lease be renewed: %s", server, error)
            return None

    async def _look_at(self, key: str) -> int:
        return int(await self._run(_LOOK, key))

    async def _run(  # what a script answers
        self, script: str, key: str, *arguments: str | bytes | int, as_bytes: bool = False
    ) -> Any:  # noqa: ANN401
        options: dict[str, Any] = {NEVER_DECODE: True} if as_bytes else {}
        async with available():
            return await self._client.execute_command("EVAL", script, 1, key, *arguments, **options)
