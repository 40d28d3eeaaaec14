"""Logging of corrupt data, once for each job and each index."""

import logging
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from eventlog.errors import Unreadable, UnreadableJob

_log = logging.getLogger("jobcast.reader")

_MOST: Final = 10_000
"""Complaints remembered, the latest ones."""
_MOST_FAULTS: Final = 10


class Complaints:
    """Logs each complaint once, and again only after ``most`` others."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._made: OrderedDict[tuple[str, str], None] = OrderedDict()

    def unreadable(self, job_id: str, error: UnreadableJob) -> UnreadableJob:
        """Log why a job is unreadable, and return the error."""
        if self._is_new("job", job_id):
            _log.error("job %s can't be read: %s", job_id, error)
        return error

    def not_read(self, key: str, error: Unreadable) -> None:
        """Log why an index is read as empty."""
        if self._is_new("index", key):
            _log.error("%s is read as empty, until it is replaced: %s", key, error)

    def substituted(self, job_id: str, faults: Sequence[str]) -> None:
        """Log which fields of a job were substituted."""
        if faults and self._is_new("fields", job_id):
            said = "; ".join(faults[:_MOST_FAULTS])
            _log.warning("job %s is not stored as it should be: %s", job_id, said)

    def _is_new(self, kind: str, job_id: str) -> bool:
        made, complaint = self._made, (kind, job_id)
        is_new = complaint not in made
        made[complaint] = None
        made.move_to_end(complaint)
        if len(made) > self._most:
            made.popitem(last=False)
        return is_new


complaints: Final = Complaints()
"""Those of this process."""
