"""Limits on open streams, per owner, per job and for this process."""

from collections import Counter

from app.errors import ProcessFull, TooManyStreams
from app.settings import Settings
from schema.owner import Owner


class Limits:
    """Counts open streams."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._of_owner: Counter[str] = Counter()
        self._of_job: Counter[str] = Counter()
        self._reserved = 0

    def reserve(self, job_id: str | None, owner: Owner) -> "Place":
        """Reserve a place for a stream of a job; of many jobs if ``job_id`` is None.

        Raises:
            TooManyStreams: the owner or the job has reached its limit.
            ProcessFull: this process has reached its limit.
        """
        limits, names = self._settings, _owner_keys(owner)
        if job_id is not None:
            self._check_job(job_id)
        for name in names:
            if self._of_owner[name] >= limits.streams_per_owner:
                raise TooManyStreams("Too many open streams of this owner")
        if self._reserved >= limits.streams_per_process:
            raise ProcessFull
        self._reserved += 1
        if job_id is not None:
            self._of_job[job_id] += 1
        for name in names:
            self._of_owner[name] += 1
        return Place(self, job_id, owner)

    def free(self, job_id: str | None, owner: Owner) -> None:
        """Free a place."""
        self._reserved -= 1
        if job_id is not None:
            self.remove(job_id)
        for name in _owner_keys(owner):
            _decrement(self._of_owner, name)

    def add(self, job_id: str) -> None:
        """Count a job of a stream of many.

        Raises:
            TooManyStreams: the job has reached its limit.
        """
        self._check_job(job_id)
        self._of_job[job_id] += 1

    def remove(self, job_id: str) -> None:
        """Stop counting a job of a stream of many."""
        _decrement(self._of_job, job_id)

    def _check_job(self, job_id: str) -> None:
        if self._of_job[job_id] >= self._settings.streams_per_job:
            raise TooManyStreams("Too many open streams of this job")


class Place:
    """The place of one stream within the limits."""

    __slots__ = ("_job_id", "_limits", "_owner")

    def __init__(self, limits: Limits, job_id: str | None, owner: Owner) -> None:
        self._limits = limits
        self._job_id = job_id
        self._owner = owner

    def free(self) -> None:
        """Free the place."""
        self._limits.free(self._job_id, self._owner)


def _decrement(counter: Counter[str], name: str) -> None:
    counter[name] -= 1
    if not counter[name]:
        del counter[name]


def _owner_keys(owner: Owner) -> list[str]:
    names = []
    if owner.user_id is not None:
        names.append(f"user:{owner.user_id}")
    if owner.session_id is not None:
        names.append(f"session:{owner.session_id}")
    return names
