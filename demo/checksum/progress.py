"""How far the hashing is, and how often to say so."""

from collections.abc import Iterable
from typing import Final

from demo.checksum.hashing import Chunk, Digest, Skipped
from demo.checksum.tree import File

INTERVAL_S: Final = 0.2
MILESTONE_PERCENT: Final = 20
MEASURABLE_S: Final = 0.2


class Progress:
    """Counts bytes and files. ``started`` and every ``now`` are seconds of the same clock.

    The files may change while they are read: `bytes_total` is what was read of those that have
    ended, and for the others what they had when they were found, or more if more was read.
    """

    def __init__(self, files: Iterable[File], started: float) -> None:
        sizes = [file.size for file in files]
        self.files_total = len(sizes)
        self.files_done = 0
        self.bytes_done = 0
        self._started = started
        self._expected = sum(sizes)
        """Sizes of the files that have not ended, as they were found."""
        self._met = 0
        """How much of that was read of the file that is being read."""

    def add(self, item: Chunk | Digest | Skipped) -> None:
        """Count what was hashed."""
        if isinstance(item, Chunk):
            self.bytes_done += item.size
            self._met = min(self._met + item.size, item.file.size)
        else:
            self.files_done += 1
            self._expected -= item.file.size
            self._met = 0

    @property
    def bytes_total(self) -> int:
        """Return the bytes there are to hash, as far as that is known."""
        return self.bytes_done + self._expected - self._met

    @property
    def percent(self) -> int:
        """Return the share of the bytes that is done, or of the files where none has any.

        It is 100 with the last file, not before: files without bytes may follow.
        """
        if self.files_done == self.files_total:
            return 100
        if self.bytes_total == 0:
            return 100 * self.files_done // self.files_total
        return min(100 * self.bytes_done // self.bytes_total, 99)

    def seconds_left(self, now: float) -> float | None:
        """Return what is left at the rate so far; None until that can be measured."""
        elapsed = now - self._started
        if elapsed < MEASURABLE_S or self.bytes_done == 0:
            return None
        return round((self.bytes_total - self.bytes_done) * elapsed / self.bytes_done, 1)


class Pace:
    """Lets a report pass every 0.2 s, and at each 20 % however fast it goes: 10 a second at most.

    A small folder is hashed in less time than the interval; the milestones make it visible.
    """

    def __init__(self, now: float) -> None:
        self._last = now
        self._milestone = 0

    def is_due(self, percent: int, now: float) -> bool:
        """Say whether to report, and count on it."""
        milestone = percent // MILESTONE_PERCENT
        if now - self._last < INTERVAL_S and milestone <= self._milestone:
            return False
        self._last = now
        self._milestone = max(self._milestone, milestone)
        return True
