"""An index of jobs for each owner, newest first.

All members have score 0, so that their order is lexical and a page continues exactly after the
previous one.
"""

import asyncio
from contextlib import suppress
from typing import Final

from msgspec import Struct

from eventlog.complaints import complaints
from eventlog.errors import LogUnavailable, Unreadable
from eventlog.redis_calls import available
from jobcast.protocol.names import index_commands, listed_job, owner_keys
from jobcast.redis.caller import Caller
from schema.entry_id import position
from schema.owner import Owner

_NEWEST: Final = b"+"

_PAGE: Final = """
if redis.call('ZCARD', KEYS[1]) ~= redis.call('ZCOUNT', KEYS[1], 0, 0) then
  -- Others have written to it. Members with another score would disturb the order of the rest.
  for _, range in ipairs({ { '-inf', '(0' }, { '(0', '+inf' } }) do
    local odd = redis.call('ZRANGE', KEYS[1], range[1], range[2], 'BYSCORE', 'LIMIT', 0, 1000)
    for _, member in ipairs(odd) do redis.pcall('ZADD', KEYS[1], 0, member) end
  end
end
return redis.call('ZRANGE', KEYS[1], ARGV[1], '-', 'BYLEX', 'REV', 'LIMIT', 0, ARGV[2])
"""


class IndexEntry(Struct, frozen=True):
    """A job in an index.

    Attributes:
        job_id: the job.
        created: an id of the same millisecond as its first entry.
    """

    job_id: str
    created: str

    def is_of(self, created: str) -> bool:
        """Say whether a first entry is that of this job: its id may be reused."""
        return position(created)[0] == position(self.created)[0]


class OwnerIndex:
    """The jobs of each user and of each session."""

    def __init__(self, redis: Caller) -> None:
        self._redis = redis

    async def add(self, job_id: str, created: str, owner: Owner, retention_s: int) -> None:
        """Add a job, and publish its id on its owner's channel; idempotent.

        Args:
            job_id: the job.
            created: id of its first entry.
            owner: its owner.
            retention_s: how long a finished job is kept.

        Raises:
            LogUnavailable: Redis is unavailable.
        """
        owners, publish = (owner.user_id, owner.session_id), self._redis.servers.pubsub.publish
        found = index_commands(job_id, created, owners, retention_s, publish)
        async with available():
            await asyncio.gather(*(self._redis.call(key, *each) for key, each in found.items()))

    async def page(
        self, user_id: str | None, session_id: str | None, limit: int, after: bytes | None
    ) -> list[bytes]:
        """Return members of an owner's index, newest first; they may be malformed.

        An index that is no sorted set is logged once, and read as empty: the owner's next job
        replaces it.

        Args:
            user_id: the owner's user, if any.
            session_id: the owner's session, if any.
            limit: maximum of members.
            after: the last member of the previous page.

        Raises:
            LogUnavailable: Redis is unavailable.
        """
        newest = _NEWEST if after is None else b"(" + after
        keys = owner_keys(user_id, session_id)
        pages = await asyncio.gather(*(self._members(key, newest, limit) for key in keys))
        return sorted({member for page in pages for member in page}, reverse=True)[:limit]

    async def remove(
        self, members: list[bytes], user_id: str | None, session_id: str | None
    ) -> None:
        """Remove members whose jobs have vanished, or that are malformed.

        If Redis refuses that, for it may accept no writes, the next reader removes them.
        """
        for key in owner_keys(user_id, session_id):
            with suppress(LogUnavailable, Unreadable):
                async with available():
                    await self._redis.call(key, "ZREM", key, *members)

    async def _members(self, key: str, newest: bytes, limit: int) -> list[bytes]:
        try:
            async with available():
                members: list[bytes] = await self._redis.call(
                    key, "EVAL", _PAGE, "1", key, newest, str(limit)
                )
        except Unreadable as error:
            complaints.not_read(key, error)
            return []
        return members


def parse_member(member: bytes) -> IndexEntry | None:
    """Parse a member of an index; None if it is malformed."""
    found = listed_job(member)
    return None if found is None else IndexEntry(*found)
