"""Which actor serves which job, and how a viewer comes to it."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from types import TracebackType
from typing import Final

from msgspec import Struct

from actors.job_actor import JobActor, Questions, Subscriptions
from actors.mailbox import Mailbox
from actors.messages import Deregister, Register, Retire, Verify
from actors.reminders import Reminders
from actors.runtime import Ref, hand, tell
from schema.resume import Beginning
from schema.state import Creation, JobState

_ROUND: Final = 0.4
"""Part of the time allowed in which every actor has its turn to verify its job. It asks at every
second turn, and at the second one after an entry was published."""

_TICKS: Final = 64
"""Into how many steps a round is divided."""

_LEAST_TICK_S: Final = 0.02
_MOST_AT_ONCE: Final = 100
"""Actors in one step of the event loop: some two milliseconds of work."""


class _Assignment(Struct, frozen=True):
    ref: Ref
    creation: Creation


class Directory:
    """The actors of all watched jobs."""

    def __init__(self, subscriptions: Subscriptions, questions: Questions) -> None:
        self._subscriptions = subscriptions
        self._questions = questions
        self._reminders = Reminders()
        self._served: OrderedDict[str, _Assignment] = OrderedDict()
        self.dropped = 0

    def __len__(self) -> int:
        """Count the jobs that have an actor."""
        return len(self._served)

    def viewing(
        self, job_id: str, state: JobState, mailbox: Mailbox, cursor: Beginning
    ) -> AbstractContextManager[None]:
        """Have a job's events put into a mailbox, for as long as the context lasts.

        Args:
            job_id: an existing job.
            state: the job's, as it was read just before. It spares an actor the reading, and says
                which creation the viewer may see.
            mailbox: where the events go: snapshot or what was missed first.
            cursor: where its events begin: mostly after the last id that it has seen, if any.
        """
        return _Viewing(partial(self._actor_of, job_id, state), Register(mailbox, cursor))

    def forget(self, job_id: str, ref: Ref) -> None:
        """Send no further viewer to an actor."""
        served = self._served.get(job_id)
        if served is not None and served.ref is ref:
            del self._served[job_id]

    async def verify_jobs(self, within_s: float) -> None:
        """Have every actor verify its job in time, a few at once, until cancelled.

        Args:
            within_s: seconds after which a job that vanished is missed at the latest.
        """
        loop = asyncio.get_running_loop()
        round_s = within_s * _ROUND
        tick_s = max(round_s / _TICKS, _LEAST_TICK_S)
        due, before = 0.0, loop.time()
        round_began, most, most_before = before, 0, 0
        while True:
            await asyncio.sleep(tick_s)
            # When many jobs vanish, those that are left must not wait longer for it.
            most = max(most, len(self._served))
            before, elapsed_s = loop.time(), loop.time() - before
            due = min(due + max(most, most_before) * elapsed_s / round_s, len(self._served))
            while due >= 1:
                count = min(int(due), _MOST_AT_ONCE)
                due -= count
                for _ in range(count):
                    self._verify_next()
                await asyncio.sleep(0)
            if before - round_began >= round_s:
                round_began, most, most_before = before, 0, most

    def remind(self, delay_s: float, ref: Ref, message: object) -> None:
        """Tell an actor something later."""
        self._reminders.add(delay_s, tell, ref, message)

    def note_dropped(self) -> None:
        """Count a publication that was dropped."""
        self.dropped += 1

    def _verify_next(self) -> None:
        """Let the actor that has waited longest verify its job."""
        if self._served:
            job_id = next(iter(self._served))
            self._served.move_to_end(job_id)
            hand(self._served[job_id].ref, Verify())

    def _actor_of(self, job_id: str, state: JobState) -> Ref:
        served = self._served.get(job_id)
        if served is not None and served.creation != state.creation:
            # Its messages may have to wait, so it does not forget itself in time.
            self.forget(job_id, served.ref)
            hand(served.ref, Retire())
            served = None
        if served is None:
            ref = JobActor.start(job_id, self._subscriptions, self._questions, self, state)
            served = self._served[job_id] = _Assignment(ref, state.creation)
        return served.ref


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
