"""Whose jobs there are: an index for each owner, newest first.

A member is ``<creation, 13 digits of milliseconds>:<job id>``, all with score 0, so that the order
is lexical and a page goes on exactly where the one before ended.
"""

import re
from typing import Final

from msgspec import Struct
from redis.client import NEVER_DECODE

from eventlog.connection import Client, available
from schema.entry_id import position
from schema.job_id import parse_job_id
from schema.owner import Owner
from schema.wire import session_index_key, user_index_key

_UNFINISHED_S: Final = 8 * 24 * 3600
"""More than an unfinished job lives on after its last entry."""
_OLDEST: Final = "-"
_NEWEST: Final = b"+"
_MEMBER: Final = re.compile(rb"([0-9]{13,14}):([A-Za-z0-9._-]{1,128})")


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

    def __init__(self, client: Client) -> None:
        self._client = client

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
        member = member_of(job_id, created)
        async with available(), self._client.pipeline(transaction=False) as pipe:
            for key in _keys(owner.user_id, owner.session_id):
                pipe.zadd(key, {member: 0})
                pipe.expire(key, _UNFINISHED_S + retention_s)
            await pipe.execute()

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
        # Not decoded: of a member that is no text the page after it would not be found.
        options = {NEVER_DECODE: True}
        async with available(), self._client.pipeline(transaction=False) as pipe:
            for key in _keys(user_id, session_id):
                pipe.execute_command(
                    *("ZRANGE", key, newest, _OLDEST, "BYLEX", "REV", "LIMIT", 0, limit), **options
                )
            pages = await pipe.execute()
        return sorted({member for page in pages for member in page}, reverse=True)[:limit]

    async def remove(
        self, members: list[bytes], user_id: str | None, session_id: str | None
    ) -> None:
        """Drop members whose jobs are gone, or that stand for none.

        Raises:
            LogUnavailable: Redis is away.
        """
        async with available(), self._client.pipeline(transaction=False) as pipe:
            for key in _keys(user_id, session_id):
                pipe.zrem(key, *members)
            await pipe.execute()


def member_of(job_id: str, created: str) -> str:
    """Return what a job, of which that is the first entry, is in the indexes of its owner."""
    return f"{position(created)[0]:013d}:{job_id}"


def listed(member: bytes) -> Listed | None:
    """Return the job that a member of an index stands for; None if it is malformed."""
    match = _MEMBER.fullmatch(member)
    job_id = None if match is None else match[2].decode()
    if match is None or job_id is None or parse_job_id(job_id) != job_id:
        return None
    return Listed(job_id, f"{int(match[1])}-0")


def _keys(user_id: str | None, session_id: str | None) -> list[str]:
    keys = []
    if user_id is not None:
        keys.append(user_index_key(user_id))
    if session_id is not None:
        keys.append(session_index_key(session_id))
    return keys
