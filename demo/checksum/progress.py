"""The progress of the hashing, and the rate of its reports."""

from collections.abc import Iterable
from typing import Final

from demo.checksum.hashing import Chunk, Digest, Skipped
from demo.checksum.tree import File

INTERVAL_S: Final = 0.2
MILESTONE_PERCENT: Final = 20
MEASURABLE_S: Final = 0.2


class Progress:
    """Counts bytes and files. ``started`` and every ``now`` are seconds of the same clock.

    Files may change while they are read. So `bytes_total` counts a finished file by the bytes read,
    and any other by its size when found, or by the bytes read if that is more.
    """

    def __init__(self, files: Iterable[File], started: float) -> None:
        sizes = [file.size for file in files]
        self.files_total = len(sizes)
        self.files_done = 0
        self.bytes_done = 0
        self._started = started
        self._expected = sum(sizes)
        """Total size, when found, of the unfinished files, in bytes."""
        self._read = 0
        """How many bytes of that were read from the current file."""

    def add(self, item: Chunk | Digest | Skipped) -> None:
        """Count what was hashed."""
        if isinstance(item, Chunk):
            self.bytes_done += item.size
            self._read = min(self._read + item.size, item.file.size)
        else:
            self.files_done += 1
            self._expected -= item.file.size
            self._read = 0

    @property
    def bytes_total(self) -> int:
        """Return the number of bytes to hash, as far as it is known."""
        return self.bytes_done + self._expected - self._read

    @property
    def percent(self) -> int:
        """Return the percentage of bytes hashed, or of files if all are empty.

        Only the last file makes it 100, because empty files may follow the last byte.
        """
        if self.files_done == self.files_total:
            return 100
        if self.bytes_total == 0:
            return 100 * self.files_done // self.files_total
        return min(100 * self.bytes_done // self.bytes_total, 99)

    def seconds_left(self, now: float) -> float | None:
        """Estimate the seconds left from the rate so far; None until that is measurable."""
        elapsed = now - self._started
        if elapsed < MEASURABLE_S or self.bytes_done == 0:
            return None
        return round((self.bytes_total - self.bytes_done) * elapsed / self.bytes_done, 1)


class Pace:
    """Allows a report every 0.2 s and at each 20 %: 10 a second at most.

    Hashing a small folder takes less than 0.2 s; reports at each 20 % make its progress visible.
    """

    def __init__(self, now: float) -> None:
        self._last = now
        self._milestone = 0

    def is_due(self, percent: int, now: float) -> bool:
        """Return whether a report is due, and if so record it as sent."""
        milestone = percent // MILESTONE_PERCENT
        if now - self._last < INTERVAL_S and milestone <= self._milestone:
            return False
        self._last = now
        self._milestone = max(self._milestone, milestone)
        return True
