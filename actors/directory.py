"""Which actor serves which job, and how a viewer comes to it."""

from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct

from actors.job_actor import JobActor
from actors.mailbox import Mailbox
from actors.messages import Deregister, Register
from actors.ports import Feed, Log
from actors.questions import Ref, tell
from schema.owner import Owner


class _Served(Struct, frozen=True):
    ref: Ref
    owner: Owner


class Directory:
    """The actors of all watched jobs."""

    def __init__(self, feed: Feed, log: Log) -> None:
        self._feed = feed
        self._log = log
        self._served: dict[str, _Served] = {}
        self.dropped = 0

    def __len__(self) -> int:
        """Count the jobs that have an actor."""
        return len(self._served)

    def owner_of(self, job_id: str) -> Owner | None:
        """Return whose job it is, if it has an actor; its job has not finished then."""
        served = self._served.get(job_id)
        return None if served is None else served.owner

    @contextmanager
    def viewing(
        self, job_id: str, owner: Owner, mailbox: Mailbox, cursor: str | None
    ) -> Iterator[None]:
        """Have a job's events put into a mailbox, for as long as the context lasts.

        Args:
            job_id: an existing job.
            owner: whose job it is.
            mailbox: where the events go: snapshot or what was missed first.
            cursor: last id that the viewer has seen, if any.
        """
        served = self._served.get(job_id)
        if served is None:
            ref = JobActor.start(job_id, self._feed, self._log, self)
            served = self._served[job_id] = _Served(ref, owner)
        served.ref.tell(Register(mailbox, cursor))
        try:
            yield
        finally:
            tell(served.ref, Deregister(mailbox))

    def forget(self, job_id: str, ref: Ref) -> None:
        """Send no further viewer to an actor."""
        served = self._served.get(job_id)
        if served is not None and served.ref is ref:
            del self._served[job_id]

    def note_dropped(self) -> None:
        """Count a publication that was dropped."""
        self.dropped += 1
