"""The map from jobs to actors."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from types import TracebackType
from typing import Final

from msgspec import Struct

from actors.job_actor import JobActor, Questions, Subscriptions
from actors.mailbox import Recipient
from actors.messages import Deregister, Register, Retire, Verify
from actors.reminders import Reminders
from actors.runtime import Ref, hand, tell
from schema.resume import Beginning
from schema.state import Creation, JobState

_ROUND_SHARE: Final = 0.4
"""Share of ``within_s`` in which each actor gets one ``Verify``. The actor of a silent job reads
Redis at every second one."""

_TICKS: Final = 64
"""Steps of a round."""

_MIN_TICK_S: Final = 0.02
_BATCH: Final = 100
"""Actors verified before yielding to the event loop: some 2 ms of work."""


class _Assignment(Struct, frozen=True):
    ref: Ref
    creation: Creation


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
        self._assignments: OrderedDict[str, _Assignment] = OrderedDict()
        self.dropped = 0

    def __len__(self) -> int:
        """Count the jobs that have an actor."""
        return len(self._assignments)

    def viewing(
        self, job_id: str, state: JobState, mailbox: Recipient, cursor: Beginning
    ) -> AbstractContextManager[None]:
        """Return a context in which a job's events go into a mailbox.

        Args:
            job_id: an existing job.
            state: its state, just read. It saves an actor a read, and its creation is the one that
                the viewer may see.
            mailbox: gets the snapshot or the missed events first.
            cursor: where the viewer's events begin.
        """
        return _Viewing(partial(self._actor_of, job_id, state), Register(mailbox, cursor))

    def forget(self, job_id: str, ref: Ref) -> None:
        """Route no further viewer to an actor."""
        assignment = self._assignments.get(job_id)
        if assignment is not None and assignment.ref is ref:
            del self._assignments[job_id]

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
            most = max(most, len(self._assignments))
            before, elapsed_s = loop.time(), loop.time() - before
            due = min(due + max(most, most_before) * elapsed_s / round_s, len(self._assignments))
            while due >= 1:
                count = min(int(due), _BATCH)
                due -= count
                for _ in range(count):
                    self._verify_next()
                await asyncio.sleep(0)
            if before - round_began >= round_s:
                round_began, most, most_before = before, 0, most

    def remind(self, delay_s: float, ref: Ref, message: object) -> None:
        """Send a message to an actor after a delay."""
        self._reminders.add(delay_s, tell, ref, message)

    def note_dropped(self) -> None:
        """Count a dropped publication."""
        self.dropped += 1

    def _verify_next(self) -> None:
        """Send ``Verify`` to the actor that has waited longest."""
        if self._assignments:
            job_id = next(iter(self._assignments))
            self._assignments.move_to_end(job_id)
            hand(self._assignments[job_id].ref, Verify())

    def _actor_of(self, job_id: str, state: JobState) -> Ref:
        assignment = self._assignments.get(job_id)
        if assignment is not None and assignment.creation != state.creation:
            # At once: its inbox may delay ``Retire``.
            self.forget(job_id, assignment.ref)
            hand(assignment.ref, Retire())
            assignment = None
        if assignment is None:
            ref = JobActor.start(job_id, self._subscriptions, self._questions, self, state)
            assignment = self._assignments[job_id] = _Assignment(ref, state.creation)
        return assignment.ref


class _Viewing(AbstractContextManager[None]):
    """A class: a generator would keep its frame for as long as the viewer stays."""

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
            self._actor = self._register = None  # they hold the state, which is obsolete soon

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._ref is not None:
            tell(self._ref, Deregister(self._mailbox))
