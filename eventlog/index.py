"""Whose jobs there are: an index for each owner, newest first.

All members have score 0, so that the order is lexical and a page goes on exactly where the one
before ended.
"""

import asyncio
from typing import Final

from msgspec import Struct

from eventlog.connection import available
from jobcast.protocol.names import LISTED_S, index_member, listed_job, owner_keys
from jobcast.redis.caller import Caller
from schema.entry_id import position
from schema.owner import Owner

_OLDEST: Final = "-"
_NEWEST: Final = b"+"


class Listed(Struct, frozen=True):
    """A job that an index lists.

    Attributes:
        job_id: the job.
        created: id of about its first entry: of the same millisecond.
    """

    job_id: str
    created: str

    def is_of(self, created: str) -> bool:
        """Say whether a job is the one that was listed, by its first entry: ids are used again."""
        return position(created)[0] == position(self.created)[0]


class OwnerIndex:
    """The jobs of each user and of each session."""

    def __init__(self, redis: Caller) -> None:
        self._redis = redis

    async def add(self, job_id: str, created: str, owner: Owner, retention_s: int) -> None:
        """Enter a job; doing it again changes nothing.

        Args:
            job_id: the job.
            created: id of its first entry.
            owner: whose job it is.
            retention_s: how long a finished job is kept.

        Raises:
            LogUnavailable: Redis is away.
        """
        member = index_member(job_id, created)
        expiry = str(LISTED_S + retention_s)

        async def enter(key: str) -> None:
            await self._redis.call(key, "ZADD", key, "0", member)
            await self._redis.call(key, "EXPIRE", key, expiry)

        async with available():
            await asyncio.gather(*map(enter, owner_keys(owner.user_id, owner.session_id)))

    async def page(
        self, user_id: str | None, session_id: str | None, limit: int, after: bytes | None
    ) -> list[bytes]:
        """Return members of the owner's index, newest first; what stands there may be anything.

        Args:
            user_id: owner, if any.
            session_id: owner, if any.
            limit: how many at the most.
            after: the member that ended the page before.

        Raises:
            LogUnavailable: Redis is away.
        """
        newest = _NEWEST if after is None else b"(" + after
        limits = (newest, _OLDEST, "BYLEX", "REV", "LIMIT", "0", str(limit))
        keys = owner_keys(user_id, session_id)
        async with available():
            pages: list[list[bytes]] = await asyncio.gather(
                *(self._redis.call(key, "ZRANGE", key, *limits) for key in keys)
            )
        return sorted({member for page in pages for member in page}, reverse=True)[:limit]

    async def remove(
        self, members: list[bytes], user_id: str | None, session_id: str | None
    ) -> None:
        """Drop members whose jobs are gone, or that stand for none.

        Raises:
            LogUnavailable: Redis is away.
        """
        keys = owner_keys(user_id, session_id)
        async with available():
            await asyncio.gather(*(self._redis.call(key, "ZREM", key, *members) for key in keys))


def listed(member: bytes) -> Listed | None:
    """Return the job that a member of an index stands for; None if it is malformed."""
    found = listed_job(member)
    return None if found is None else Listed(*found)
