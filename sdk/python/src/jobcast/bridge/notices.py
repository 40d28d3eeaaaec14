"""Notices of what a bridge could not use: counted by kind, logged once for each job."""

import logging
from collections import Counter, OrderedDict
from typing import Final

_log: Final = logging.getLogger("jobcast.bridge")

_MOST: Final = 10_000
"""Most notices remembered; the oldest are forgotten."""
_MAX_LOGGED: Final = 200


class Notices:
    """Counts events by kind, and logs each kind once for each subject."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._made: OrderedDict[tuple[str, str], None] = OrderedDict()
        self.counts: Counter[str] = Counter()

    def add(self, kind: str, subject: str, why: str, level: int = logging.WARNING) -> None:
        """Count a notice, and log it if it is the first of its kind for this subject."""
        self.counts[kind] += 1
        notice = (kind, subject)
        if notice not in self._made:
            _log.log(level, "%s: %s: %s", subject[:_MAX_LOGGED], kind, why[:_MAX_LOGGED])
        self._made[notice] = None
        self._made.move_to_end(notice)
        if len(self._made) > self._most:
            self._made.popitem(last=False)

    def __str__(self) -> str:
        """Return all counts."""
        if not self.counts:
            return "nothing was left out"
        return ", ".join(f"{count} {kind}" for kind, count in sorted(self.counts.items()))
