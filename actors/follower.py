"""An actor that knows the state of one job, from its channel and its log.

What arrives on the channel is believed when it says that it follows the last entry that the actor
knows (``prev``), unless it ends the job. Anything else, after a reconnect too, makes the actor look
at the log, and the log decides: a gap is filled, a duplicate ignored, an invention dropped, lost
data answered with a new snapshot. An invention that was believed is taken back in the same way.

A job may also vanish, and its id be used again, while the connection lives. Then the channel is
silent, or says that a job was created, or brings what does not follow. The log is looked at in the
last two cases, and in the first one after a while; another creation's events are never passed on.
"""

import logging
from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

from actors.loop_actor import LoopActor
from actors.messages import CaughtUp, Retire, Subscribed, Verified, Verify
from actors.ports import Feed, Log, Registrar
from eventlog.catch_up import CatchUp, mark
from eventlog.publication import decode_publication, may_be_logged
from schema.entry import CREATED, Entry
from schema.entry_id import is_after
from schema.events import TERMINAL, InvalidEvent, Terminal
from schema.resume import Reason
from schema.sse import Frame, encode, encode_entry, encode_reset, encode_snapshot
from schema.state import Creation, JobState, apply

_log = logging.getLogger("jobcast.actors")


class Follower(LoopActor):
    """Follows one job; what becomes of it is told to the hooks below.

    ``state`` is the job's as it was read just before. If it had finished it was retried since, so
    that it says no more than which creation is followed.
    """

    def __init__(
        self, job_id: str, feed: Feed, log: Log, registrar: Registrar, state: JobState | None
    ) -> None:
        super().__init__()
        self._job_id = job_id
        self._feed = feed
        self._log = log
        self._registrar = registrar
        self._state = None if state is None or state.finished else state
        self._creation: Creation | None = None if state is None else state.creation
        self._before: JobState | None = None  # what is returned to if the log denies the last event
        self._returned = False
        self._over = False
        self._following = False
        self._looking = True  # until the first Subscribed was answered nothing is known …
        self._known = False  # … to be the job's, for events may be missed until then
        self._asked = False
        self._ask_again = False
        self._unsettled: list[tuple[Entry, int | None]] = []  # and the attempt in which each came
        self._unsettled_when_asked = 0
        self._seen_last = ""  # the last entry at the turn before, unless the log was asked then
        self._verifying = False
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
        """Give up: Redis has the job no longer, or has another one under its id."""

    def _told(self, message: Any) -> None:  # noqa: ANN401 - a message is anything
        match message:
            case CaughtUp(answer):
                self._caught_up(answer)
            case Subscribed():
                self._following = True
                self._look()
            case Verify():
                self._verify()
            case Verified(answer):
                self._verified(answer)
            case Retire():
                self._lose()
            case _:
                super().on_receive(message)

    def _published(self, payload: bytes) -> None:
        try:
            entry = decode_publication(payload)
        except InvalidEvent as error:
            self._drop(str(error))
            if self._following and not self._over and may_be_logged(payload):
                self._look()  # the script appends what it does not read, the job's end too
            return
        if self._looking:
            # What comes before the first Subscribed may be meant for whoever followed before.
            if self._following:
                self._set_aside(entry)
        elif not self._settle(entry, None):
            self._set_aside(entry)
            self._look()

    def _set_aside(self, entry: Entry) -> None:
        self._unsettled.append((entry, None if self._state is None else self._state.attempt))

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
                self._log.settle(self._job_id, entry.event, state, attempt or state.attempt)
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

    def _caught_up(self, whole: CatchUp) -> None:
        answer, rest = whole.split()
        self._asked = False
        if self._over:
            return
        if answer.state is None or self._is_another(answer.state):
            self._lose()
            return
        if self._state is None:
            self._creation = answer.state.creation
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
            if rest is not None:
                self._asked = True  # the answer goes on
                self.actor_inbox.post(CaughtUp(rest))
                return
            self._adopt(answer.state)
        self._look_again_or_settle(more=answer.more)

    def _adopt(self, state: JobState) -> None:
        """Take the state for what it is: it tells more than entries that can't be read, or lack."""
        if self._over or self._state is None or self._state.last != state.last:
            return
        self._state = state
        if state.finished:
            self._on_event(encode_snapshot(state))
            self._conclude()

    def _is_another(self, state: JobState) -> bool:
        """Say whether a state is of another job that was created under the same id."""
        return self._creation is not None and state.creation != self._creation

    def _lose(self) -> None:
        self._looking = True  # whatever still arrives is not passed on
        self._on_lost()

    def _verify(self) -> None:
        """Ask whether the job is still there, if nothing has shown that since the turn before.

        What is published meanwhile need not wait for the answer.
        """
        state = self._state
        if state is None or self._looking or self._over or self._verifying:
            return
        if state.last != self._seen_last:
            self._seen_last = state.last
            return
        self._verifying, self._seen_last = True, ""
        self._log.look(self._job_id, state, self.actor_ref, Verified)

    def _verified(self, answer: CatchUp) -> None:
        self._verifying = False
        if self._over or self._state is None:
            return
        if answer.state is None or self._is_another(answer.state):
            self._lose()
        elif mark(answer.state) != mark(self._state) and not self._looking:
            self._look()

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
            if entry.name == CREATED and number < self._unsettled_when_asked:
                continue  # the answer is of what was created
            if entry.name != CREATED and entry.id and not is_after(entry.id, state.last):
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
