"""The map from jobs to actors."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Final

from actors.job_actor import JobActor, Questions, Subscriptions
from actors.mailbox import Recipient
from actors.messages import Deregister, Register, Replaced, Verify
from actors.reminders import Reminders
from actors.runtime import LoopInbox
from schema.resume import Beginning
from schema.state import JobState

_ROUND_SHARE: Final = 0.4
"""Share of ``within_s`` in which each actor gets one ``Verify``. The actor of a silent job reads
Redis at every second one."""

_TICKS: Final = 64
"""Steps of a round."""

_MIN_TICK_S: Final = 0.02
_BATCH: Final = 100
"""Actors verified before yielding to the event loop: some 2 ms of work."""


class Directory:
    """The actors of all watched jobs.

    ``is_bridged`` says whether a bridge appends the events of publish-only workers.
    """

    def __init__(
        self,
        subscriptions: Subscriptions,
        questions: Questions,
        is_bridged: Callable[[], bool] = lambda: False,
    ) -> None:
        self.is_bridged = is_bridged
        self._subscriptions = subscriptions
        self._questions = questions
        self._reminders = Reminders()
        self._actors: dict[str, JobActor] = {}
        self._round: deque[LoopInbox] = deque()  # of actors, in the order of their verification
        self.dropped = 0

    def __len__(self) -> int:
        """Count the jobs that have an actor."""
        return len(self._actors)

    def viewing(
        self, job_id: str, state: JobState, mailbox: Recipient, cursor: Beginning
    ) -> AbstractContextManager[None]:
        """Register a mailbox for a job's events; it is deregistered when the context ends.

        Args:
            job_id: an existing job.
            state: its state, just read. It saves an actor a read, and its creation is the one that
                the viewer may see.
            mailbox: gets the snapshot or the missed events first.
            cursor: where the viewer's events begin.
        """
        inbox = self.inbox_of(job_id, state)
        inbox.hand(Register(mailbox, cursor))
        return _Viewing(inbox, mailbox)

    def inbox_of(self, job_id: str, state: JobState) -> LoopInbox:
        """Return the inbox of a job's actor, of a new one if there is none; see ``viewing``."""
        actor = self._actors.get(job_id)
        if actor is not None and actor.creation != state.creation:
            # At once: its inbox may delay ``Replaced``.
            self.forget(job_id, actor)
            actor.actor_inbox.hand(Replaced())
            actor = None
        if actor is None:
            actor = JobActor.launch(job_id, self._subscriptions, self._questions, self, state)
            self._actors[job_id] = actor
            self._round.append(actor.actor_inbox)
        return actor.actor_inbox

    def forget(self, job_id: str, actor: JobActor) -> None:
        """Route no further viewer to an actor."""
        if self._actors.get(job_id) is actor:
            del self._actors[job_id]
            if not self._actors:
                self._round.clear()

    async def verify_jobs(self, within_s: float) -> None:
        """Send ``Verify`` to all actors, so that vanished jobs are detected within ``within_s``."""
        loop = asyncio.get_running_loop()
        round_s = within_s * _ROUND_SHARE
        tick_s = max(round_s / _TICKS, _MIN_TICK_S)
        due, before = 0.0, loop.time()
        round_began, most, most_before = before, 0, 0
        while True:
            await asyncio.sleep(tick_s)
            # The maximum of two rounds, or the other jobs would wait longer when many vanish.
            most = max(most, len(self._actors))
            before, elapsed_s = loop.time(), loop.time() - before
            due = min(due + max(most, most_before) * elapsed_s / round_s, len(self._actors))
            while due >= 1:
                count = min(int(due), _BATCH)
                due -= count
                for _ in range(count):
                    self._verify_next()
                await asyncio.sleep(0)
            if before - round_began >= round_s:
                round_began, most, most_before = before, 0, most

    def remind(self, delay_s: float, inbox: LoopInbox, message: object) -> None:
        """Send a message to an actor after a delay."""
        self._reminders.add(delay_s, inbox.tell, message)

    def note_dropped(self) -> None:
        """Count a dropped publication."""
        self.dropped += 1

    def _verify_next(self) -> None:
        """Send ``Verify`` to the actor that has waited longest."""
        while self._round:
            inbox = self._round.popleft()
            if inbox.is_open():
                self._round.append(inbox)
                inbox.hand(Verify())
                return


class _Viewing:
    """A class: a generator would keep its frame for as long as the viewer stays.

    Without a base class of the library's, which would add an empty dict.
    """

    __slots__ = ("_inbox", "_mailbox")

    def __init__(self, inbox: LoopInbox, mailbox: Recipient) -> None:
        self._inbox = inbox
        self._mailbox = mailbox

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._inbox.tell(Deregister(self._mailbox))
