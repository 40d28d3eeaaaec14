"""The index of runs with leases, by expiry.

Workers add their runs and renew them; the lease in the job's state is authoritative. All times are
by the clock of Redis, so machines need not agree on the time.
"""

import asyncio
import itertools
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from msgspec import Struct

from eventlog.complaints import complaints
from eventlog.errors import LogUnavailable, Unreadable
from eventlog.redis_calls import available
from jobcast.protocol.leases import (
    ENTER,
    LEASE_LUA,
    LEASES_KEY,
    lease_member,
    leased_run,
    unused_key,
)
from jobcast.protocol.names import state_key
from jobcast.redis.caller import Caller
from jobcast.redis.connection import answer_of, packed
from jobcast.redis.outages import Outages
from jobcast.redis.server import Server

_log = logging.getLogger("jobcast.leases")

_CHECK_TIMEOUT_S: Final = 0.6
"""Timeout: a slower server may have prevented workers from renewing short leases."""

# A write without effect, refused whenever a renewal is, also by a full memory or disk.
_CHECK: Final = LEASE_LUA + "redis.call('SETRANGE', KEYS[1], 0, '') return now"
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
    redis.call('ZREM', KEYS[1], member) -- malformed
  end
end
return runs
"""
)


class LeasedRun(Struct, frozen=True):
    """A run in the index.

    Attributes:
        member: its member of the index.
        job_id: its job.
        run: its token, arbitrary bytes.
    """

    member: bytes
    job_id: str
    run: bytes

    @classmethod
    def of(cls, job_id: str, run: str) -> "LeasedRun":
        """Return a run of a job."""
        return cls(lease_member(job_id, run).encode(), job_id, run.encode())


class Times(Struct, frozen=True):
    """Unix times of Redis servers in ms.

    Attributes:
        index_ms: of the server that has the index of leases.
        by_server: of each server on which leases can be renewed, by name.
    """

    index_ms: int
    by_server: Mapping[str, int]


class Leases:
    """The index of leases."""

    def __init__(self, redis: Caller) -> None:
        self._redis = redis
        self._servers = redis.servers
        self._keys: dict[Server, str] = {}
        self._outages = Outages(_log)

    async def check(self) -> Times:
        """Check each server by a write, as a renewal is one.

        Raises:
            LogUnavailable: Redis, or in a Cluster the node that has the index, is unavailable.
        """
        async with available():
            await self._servers.find(LEASES_KEY)
        keys = self._key_of_each()
        times = await asyncio.gather(*(self._check_server(*each) for each in keys.items()))
        by_server = {
            server.name: now_ms
            for server, now_ms in zip(keys, times, strict=True)
            if now_ms is not None
        }
        if len(by_server) < len(keys):
            self._servers.refresh_soon()
        else:
            self._outages.end("leases can be renewed again")
        index = self._servers.known(LEASES_KEY)
        index_ms = None if index is None else by_server.get(index.name)
        if index_ms is None:
            raise LogUnavailable("The server with the index of leases can't be written to")
        return Times(index_ms, by_server)

    def server_of(self, run: LeasedRun) -> str | None:
        """Return the name of the server that has a run's job; None if it is unknown."""
        server = self._servers.known(state_key(run.job_id))
        return None if server is None else server.name

    async def claim(self, until_ms: int, limit: int, for_ms: int) -> list[LeasedRun]:
        """Return runs due by a time, the longest overdue first, and postpone them.

        So no other process gets them meanwhile, and one that can't be handled does not block the
        others. Empty if the index is no sorted set, which is logged once: the next start or renewal
        replaces it.

        Args:
            until_ms: not later than now.
            limit: maximum of runs.
            for_ms: how long they are postponed.

        Raises:
            LogUnavailable: Redis is unavailable.
        """
        due: list[bytes]
        try:
            due = await self._run(_CLAIM, str(until_ms), str(limit), str(for_ms))
        except Unreadable as error:
            complaints.not_read(LEASES_KEY, error)
            return []
        return [LeasedRun(member, *leased_run(member)) for member in due]

    async def postpone(self, run: LeasedRun, by_ms: int) -> None:
        """Make a run due later, as its lease has not expired; enter it if it is new.

        Raises:
            LogUnavailable: Redis is unavailable.
        """
        await self._run(ENTER, run.member, str(by_ms))

    async def remove(self, run: LeasedRun) -> None:
        """Remove an ended run.

        Raises:
            LogUnavailable: Redis is unavailable.
        """
        with suppress(Unreadable):  # the index was replaced by something else
            async with available():
                await self._redis.call(LEASES_KEY, "ZREM", LEASES_KEY, run.member)

    def _key_of_each(self) -> Mapping[Server, str]:
        """Return for each server a key of its slots."""
        known, serving = self._servers.known, self._servers.serving()
        # Cached: it takes long to find a key for a node with a single slot.
        self._keys = {server: key for server, key in self._keys.items() if known(key) is server}
        numbers = itertools.count()
        while len(self._keys) < len(serving):
            key = unused_key(next(numbers))
            if (server := known(key)) is not None:
                self._keys.setdefault(server, key)
        return dict(self._keys)

    async def _check_server(self, server: Server, key: str) -> int | None:
        """Return the time of a server; None if it refuses writes."""
        try:
            async with available(), asyncio.timeout(_CHECK_TIMEOUT_S):
                (reply,) = await server.ask(packed("EVAL", _CHECK, "1", key))
                if isinstance(reply, Exception):
                    self._servers.redirect(str(reply), key, server)
                return int(answer_of(reply))
        except LogUnavailable as error:
            self._outages.add(f"{server} lets no lease be renewed: {error}")
            return None

    async def _run(self, script: str, *arguments: str | bytes) -> Any:  # noqa: ANN401 - its answer
        async with available():
            return await self._redis.call(LEASES_KEY, "EVAL", script, "1", LEASES_KEY, *arguments)
