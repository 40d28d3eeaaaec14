"""An actor that knows the state of one job, from its channel and its log.

What arrives on the channel is believed when it says that it follows the last entry that the actor
knows (``prev``), unless it ends the job. Anything else, after a reconnect too, makes the actor look
at the log, and the log decides: a gap is filled, a duplicate ignored, an invention dropped, lost
data answered with a new snapshot. An invention that was believed is taken back in the same way.
"""

import logging
from abc import abstractmethod
from collections.abc import Iterable

from actors.loop_actor import LoopActor
from actors.messages import CaughtUp
from actors.ports import Feed, Log, Registrar
from eventlog.catch_up import CatchUp
from schema.entry import Entry
from schema.entry_id import is_after
from schema.events import TERMINAL, InvalidEvent, Terminal
from schema.resume import Reason
from schema.sse import Frame, encode, encode_entry, encode_reset
from schema.state import JobState, apply
from schema.wire import decode_publication

_log = logging.getLogger("jobcast.actors")


class Follower(LoopActor):
    """Follows one job; what becomes of it is told to the hooks below."""

    def __init__(
        self, job_id: str, feed: Feed, log: Log, registrar: Registrar, state: JobState | None
    ) -> None:
        super().__init__()
        self._job_id = job_id
        self._feed = feed
        self._log = log
        self._registrar = registrar
        self._state = state
        self._before: JobState | None = None  # what is returned to if the log denies the last event
        self._returned = False
        self._over = False
        self._looking = True  # until the first Subscribed was answered nothing is known …
        self._known = False  # … to be the job's, for events may be missed until then
        self._asked = False
        self._ask_again = False
        self._unsettled: list[tuple[Entry, int | None]] = []  # and the attempt in which each came
        self._unsettled_when_asked = 0
        self._complained = False

    @abstractmethod
    def _on_event(self, frame: Frame) -> None:
        """Show an event, or that what was shown is void and the state with which to begin anew."""

    @abstractmethod
    def _on_attempt_end(self) -> None:
        """Let those go who have been shown the end of an attempt; another follows already."""

    @abstractmethod
    def _on_end(self) -> None:
        """Let those go who have been shown the end of the job."""

    @abstractmethod
    def _on_known(self) -> None:
        """Attend to those who came while the state was not known."""

    @abstractmethod
    def _on_lost(self) -> None:
        """Give up: Redis has no such job any more."""

    def _published(self, payload: bytes) -> None:
        try:
            entry = decode_publication(payload)
        except InvalidEvent as error:
            self._drop(str(error))
            return
        if not self._looking and self._settle(entry, None):
            return
        self._unsettled.append((entry, None if self._state is None else self._state.attempt))
        if not self._looking:
            self._look()

    def _settle(self, entry: Entry, attempt: int | None) -> bool:
        """Deal with a publication if nothing need be looked up for it.

        The end that a publish-only worker published is that of the attempt in which it came: while
        the log was looked at, another may have begun.
        """
        state = self._state
        if state is None:
            return False
        if entry.id is None:
            if isinstance(entry.event, Terminal):
                self._log.settle(self._job_id, entry.event, attempt or state.attempt)
            else:
                self._on_event(encode_entry(entry))
            return True
        if entry.prev != state.last or not is_after(entry.id, state.last):
            return False
        if type(entry.event) in TERMINAL:
            return False
        self._before = state
        self._advance(entry)
        return True

    def _advance(self, entry: Entry) -> None:
        self._state = apply(self._state, entry)
        if entry.event is not None:
            self._on_event(encode(entry.name, entry.line, entry.id))

    def _look(self) -> None:
        self._looking = True
        if self._asked:
            self._ask_again = True
            return
        self._asked = True
        self._unsettled_when_asked = len(self._unsettled)
        if self._state is None:
            self._log.catch_up(self._job_id, None, self.actor_ref, CaughtUp)
        else:
            self._log.look(self._job_id, self._state, self.actor_ref, CaughtUp)

    def _caught_up(self, answer: CatchUp) -> None:
        self._asked = False
        if self._over:
            return
        if answer.state is None:
            self._on_lost()
            return
        if self._state is None:
            self._replace(answer.state, Reason.UNKNOWN)
        elif answer.missed is None and self._before is not None:
            self._state, self._before, self._returned = self._before, None, True
            self._look()
            return
        elif answer.missed is None:
            self._returned = False
            self._replace(answer.state, answer.reset_reason(self._state.last) or Reason.UNKNOWN)
        else:
            if self._returned:
                self._on_event(encode_reset(self._state, Reason.UNKNOWN))
            self._before, self._returned = None, False
            self._make_good(self._state, answer.missed, answer.state.attempt)
        self._look_again_or_settle(more=answer.more)

    def _look_again_or_settle(self, *, more: bool) -> None:
        if self._over:
            return
        if self._ask_again or more:
            self._ask_again = False
            self._look()
            return
        self._looking = False
        self._known = True
        self._on_known()
        self._settle_rest()

    def _make_good(self, state: JobState, missed: Iterable[Entry], attempt: int) -> None:
        """Deliver what the log has more, up to the end of the job's latest attempt."""
        for entry in missed:
            self._advance(entry)
            if entry.is_terminal and state.attempt >= attempt:
                self._conclude()
                return
            if entry.is_terminal:
                self._on_attempt_end()
            state = self._state or state

    def _replace(self, state: JobState, reason: Reason) -> None:
        known, self._state = self._state, state
        if known is not None and known.last != state.last:
            self._on_event(encode_reset(state, reason))
        if state.finished:
            self._conclude()

    def _conclude(self) -> None:
        self._over = self._known = True
        self._on_end()

    def _settle_rest(self) -> None:
        """Judge what arrived while the log was read.

        What had arrived before the question and is not in the answer was never appended.
        """
        unsettled, self._unsettled = self._unsettled, []
        for number, (entry, attempt) in enumerate(unsettled):
            state = self._state
            if self._over or state is None:
                return
            if entry.id is not None and not is_after(entry.id, state.last):
                continue
            if self._looking:
                self._unsettled.append((entry, attempt))
            elif not self._settle(entry, attempt):
                if number < self._unsettled_when_asked:
                    self._drop(f"id {entry.id} is not in the log")
                else:
                    self._unsettled.append((entry, attempt))
                    self._look()

    def _drop(self, why: str) -> None:
        self._registrar.note_dropped()
        if not self._complained:
            self._complained = True
            _log.warning("job %s: dropped a publication: %s", self._job_id, why[:200])
