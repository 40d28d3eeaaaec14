"""Which actor serves which job, and how a viewer comes to it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from types import TracebackType

from msgspec import Struct

from actors.job_actor import JobActor
from actors.mailbox import Mailbox
from actors.messages import Deregister, Register
from actors.ports import Feed, Log
from actors.questions import Ref, hand, tell
from schema.owner import Owner
from schema.resume import Beginning
from schema.state import JobState


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

    def viewing(
        self,
        job_id: str,
        owner: Owner,
        mailbox: Mailbox,
        cursor: Beginning,
        state: JobState | None = None,
    ) -> AbstractContextManager[None]:
        """Have a job's events put into a mailbox, for as long as the context lasts.

        Args:
            job_id: an existing job.
            owner: whose job it is.
            mailbox: where the events go: snapshot or what was missed first.
            cursor: where its events begin: mostly after the last id that it has seen, if any.
            state: the job's, unfinished, if it was just read; it spares an actor the reading.
        """
        return _Viewing(partial(self._actor_of, job_id, owner, state), Register(mailbox, cursor))

    def forget(self, job_id: str, ref: Ref) -> None:
        """Send no further viewer to an actor."""
        served = self._served.get(job_id)
        if served is not None and served.ref is ref:
            del self._served[job_id]

    def _actor_of(self, job_id: str, owner: Owner, state: JobState | None) -> Ref:
        served = self._served.get(job_id)
        if served is None:
            ref = JobActor.start(job_id, self._feed, self._log, self, state)
            served = self._served[job_id] = _Served(ref, owner)
        return served.ref

    def note_dropped(self) -> None:
        """Count a publication that was dropped."""
        self.dropped += 1


class _Viewing(AbstractContextManager[None]):
    """A class and no generator: a generator's frame would be kept as long as the viewer stays."""

    __slots__ = ("_actor", "_mailbox", "_ref", "_register")

    def __init__(self, actor: Callable[[], Ref], register: Register) -> None:
        self._actor: Callable[[], Ref] | None = actor
        self._register: Register | None = register
        self._mailbox = register.mailbox
        self._ref: Ref | None = None

    def __enter__(self) -> None:
        if self._actor is not None:
            self._ref = self._actor()
            hand(self._ref, self._register)
            self._actor = self._register = None  # what they hold, a state too, is of the beginning

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._ref is not None:
            tell(self._ref, Deregister(self._mailbox))
