"""The jobs of an owner that are active, or have just ended."""

import asyncio
import itertools
import time
from typing import Final

from eventlog.index import IndexEntry, OwnerIndex, parse_member
from eventlog.reader import Reader
from schema.entry_id import position
from schema.owner import Owner

RECENT_S: Final = 300.0
"""How long after its end a job counts as just ended."""

MOST: Final = 200
"""Maximum of jobs that are returned."""

_PAGE: Final = 200
_MOST_READ: Final = 5000
"""Maximum of an owner's newest jobs that are searched: some 100 ms of work."""


class ActiveJobs:
    """Finds an owner's active jobs by its index, which lists the ended ones too."""

    def __init__(self, index: OwnerIndex, reader: Reader) -> None:
        self._index = index
        self._reader = reader

    async def newest(self, owner: Owner) -> dict[str, str]:
        """Return the newest jobs that are active or have just ended, newest first.

        Returns:
            The last entry of each, by its id.

        Raises:
            LogUnavailable: Redis is unavailable.
        """
        since_ms = (time.time() - RECENT_S) * 1000
        found: dict[str, str] = {}
        after: bytes | None = None
        for _ in range(_MOST_READ // _PAGE):
            page = await self._index.page(owner.user_id, owner.session_id, _PAGE, after)
            listed = [job for member in page if (job := parse_member(member)) is not None]
            last = await asyncio.gather(*(self._last_of(job, owner, since_ms) for job in listed))
            found |= {job.job_id: each for job, each in zip(listed, last, strict=True) if each}
            if len(page) < _PAGE or len(found) >= MOST:
                break
            after = page[-1]
        return dict(itertools.islice(found.items(), MOST))

    async def _last_of(self, job: IndexEntry, owner: Owner, since_ms: float) -> str | None:
        """Return the last entry of a job of this owner; None if it ended a while ago."""
        outline = await self._reader.outline(job.job_id)
        if outline is None or not job.is_of(outline.created):
            return None
        if not outline.owner.shares_with(owner):
            return None
        if outline.finished and position(outline.last)[0] < since_ms:
            return None
        return outline.last
