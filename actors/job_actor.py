"""The actor of one job: follows its channel, holds its state, feeds its viewers.

What arrives on the channel is believed when it says that it follows the last entry that the actor
knows (``prev``), unless it ends the job. Anything else, after a reconnect too, makes the actor look
at the log, and the log decides: a gap is filled, a duplicate ignored, an invention dropped, lost data
answered with a new snapshot. An invention that was believed is taken back in the same way.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

from actors.loop_actor import LoopActor
from actors.mailbox import Ending, Mailbox
from actors.messages import (
    CaughtUp,
    Deregister,
    Expire,
    Published,
    Register,
    Resumed,
    Subscribed,
)
from actors.questions import Ref
from eventlog.reader import CatchUp
from schema.entry import Entry
from schema.entry_id import position
from schema.events import InvalidEvent, Terminal
from schema.sse import Frame, encode_entry, encode_snapshot
from schema.state import JobState, apply
from schema.wire import decode_publication

_log = logging.getLogger("jobcast.actors")

LINGER_S: Final = 5.0
"""How long a job stays followed when its last viewer has gone."""

_RESUMING_FRAMES: Final = 2000


class Feed(Protocol):
    """Where published events come from."""

    def follow(self, job_id: str, ref: Ref) -> None: ...  # noqa: D102
    def unfollow(self, job_id: str, ref: Ref) -> None: ...  # noqa: D102


class Log(Protocol):
    """Who answers what an actor asks of Redis."""

    def catch_up(  # noqa: D102
        self, job_id: str, cursor: str | None, ref: Ref, answer: Callable[[CatchUp], object]
    ) -> None: ...
    def settle(self, job_id: str, event: Terminal, attempt: int) -> None: ...  # noqa: D102
    def remind(self, delay_s: float, ref: Ref, message: object) -> None: ...  # noqa: D102


class Registrar(Protocol):
    """Who knows which actor serves a job."""

    def forget(self, job_id: str, ref: Ref) -> None: ...  # noqa: D102
    def note_dropped(self) -> None: ...  # noqa: D102


class JobActor(LoopActor):
    """Serves the viewers of one job."""

    def __init__(self, job_id: str, feed: Feed, log: Log, registrar: Registrar) -> None:
        super().__init__()
        self._job_id = job_id
        self._feed = feed
        self._log = log
        self._registrar = registrar
        self._state: JobState | None = None
        self._before: JobState | None = None  # what is returned to if the log denies the last event
        self._returned = False
        self._viewers: dict[Mailbox, None] = {}
        self._resuming: dict[Mailbox, list[Frame]] = {}
        self._waiting: dict[Mailbox, str | None] = {}
        self._looking = True  # until the first Subscribed was answered nothing is known
        self._asked = False
        self._ask_again = False
        self._unsettled: list[Entry] = []
        self._unsettled_when_asked = 0
        self._complained = False

    def on_start(self) -> None:
        """Follow the job's channel; ``Subscribed`` will say when that is in force."""
        self._feed.follow(self._job_id, self.actor_ref)

    def on_stop(self) -> None:
        """Let go of viewers that a stop from outside would leave behind."""
        self._leave(Ending.RETRY)

    def on_failure(self, *_error: object) -> None:
        """Send the viewers back: a new actor will recover from Redis."""
        self._leave(Ending.RETRY)

    def on_discard(self, message: Any) -> None:  # noqa: ANN401 - a message is anything
        """Send back a viewer that came while the actor was stopping."""
        if isinstance(message, Register | Resumed):
            message.mailbox.end(Ending.RETRY)

    def on_receive(self, message: Any) -> None:  # noqa: ANN401 - a message is anything
        """Handle one message."""
        match message:
            case Published(payload):
                self._published(payload)
            case Register(mailbox, cursor):
                self._register(mailbox, cursor)
            case Deregister(mailbox):
                self._deregister(mailbox)
            case Resumed(mailbox, cursor, answer):
                self._resumed(mailbox, cursor, answer)
            case CaughtUp(answer):
                self._caught_up(answer)
            case Subscribed():
                self._look()
            case Expire():
                if self._nobody():
                    self._retire()
            case _:
                super().on_receive(message)

    def _published(self, payload: bytes) -> None:
        try:
            entry = decode_publication(payload)
        except InvalidEvent as error:
            self._drop(str(error))
            return
        if self._looking:
            self._unsettled.append(entry)
        elif not self._settle(entry):
            self._unsettled.append(entry)
            self._look()

    def _settle(self, entry: Entry) -> bool:
        """Deal with a publication if nothing need be looked up for it."""
        state = self._state
        if state is None:
            return False
        if entry.id is None:
            if isinstance(entry.event, Terminal):
                self._log.settle(self._job_id, entry.event, state.attempt)
            else:
                self._broadcast(encode_entry(entry))
            return True
        if entry.prev != state.last or position(entry.id) <= position(state.last):
            return False
        if entry.is_terminal:
            return False
        self._before = state
        self._advance(entry)
        return True

    def _advance(self, entry: Entry) -> None:
        self._state = apply(self._state, entry)
        if entry.event is not None:
            self._broadcast(encode_entry(entry))
            if self._state.finished:
                self._finish()

    def _broadcast(self, frame: Frame) -> None:
        for mailbox in self._viewers:
            mailbox.put(frame)
        for mailbox, frames in self._resuming.items():
            frames.append(frame)
            if len(frames) > _RESUMING_FRAMES:
                mailbox.end(Ending.RETRY)
                frames.clear()

    def _look(self) -> None:
        self._looking = True
        if self._asked:
            self._ask_again = True
            return
        self._asked = True
        self._unsettled_when_asked = len(self._unsettled)
        cursor = None if self._state is None else self._state.last
        self._log.catch_up(self._job_id, cursor, self.actor_ref, CaughtUp)

    def _caught_up(self, answer: CatchUp) -> None:
        self._asked = False
        if self._finished():
            return
        if answer.state is None:
            self._retire()
            return
        if self._state is None:
            self._replace(answer.state)
        elif (end := self._end_before(answer.state)) is not None:
            self._advance(end)
            return
        elif answer.missed is None and self._before is not None:
            self._state, self._before, self._returned = self._before, None, True
            self._look()
            return
        elif answer.missed is None:
            self._returned = False
            self._replace(answer.state)
        else:
            if self._returned:
                self._broadcast(encode_snapshot(self._state))
            self._before, self._returned = None, False
            for entry in answer.missed:
                self._advance(entry)
                if self._finished():
                    return
        if self._ask_again or answer.more:
            self._ask_again = False
            self._look()
            return
        self._looking = False
        waiting, self._waiting = self._waiting, {}
        for mailbox, cursor in waiting.items():
            self._admit(mailbox, cursor)
        self._settle_rest()

    def _end_before(self, state: JobState) -> Entry | None:
        """Return the published end of the actor's attempt, if the log is in a later one already."""
        known = self._state
        if known is None or known.attempt >= state.attempt:
            return None
        chained = (e for e in self._unsettled if e.id is not None and e.prev == known.last)
        return next((entry for entry in chained if entry.is_terminal), None)

    def _replace(self, state: JobState) -> None:
        known, self._state = self._state, state
        if known is not None and known.last != state.last:
            self._broadcast(encode_snapshot(state))
        if state.finished:
            self._finish()

    def _settle_rest(self) -> None:
        """Judge what arrived while the log was read.

        What had arrived before the question and is not in the answer was never appended.
        """
        unsettled, self._unsettled = self._unsettled, []
        for number, entry in enumerate(unsettled):
            state = self._state
            if self._finished() or state is None:
                return
            if entry.id is not None and position(entry.id) <= position(state.last):
                continue
            if self._looking:
                self._unsettled.append(entry)
            elif not self._settle(entry):
                if number < self._unsettled_when_asked:
                    self._drop(f"id {entry.id} is not in the log")
                else:
                    self._unsettled.append(entry)
                    self._look()

    def _register(self, mailbox: Mailbox, cursor: str | None) -> None:
        if mailbox.ending is not None:
            return
        if self._state is None:
            self._waiting[mailbox] = cursor
        else:
            self._admit(mailbox, cursor)

    def _admit(self, mailbox: Mailbox, cursor: str | None) -> None:
        if self._state is not None and cursor is not None and cursor != self._state.last:
            self._resuming[mailbox] = []
            self._ask_for(mailbox, cursor)
        else:
            self._show(mailbox, snapshot=cursor is None)

    def _ask_for(self, mailbox: Mailbox, cursor: str) -> None:
        self._log.catch_up(
            self._job_id, cursor, self.actor_ref, lambda answer: Resumed(mailbox, cursor, answer)
        )

    def _show(self, mailbox: Mailbox, *, snapshot: bool) -> None:
        if self._state is None:
            return
        if snapshot:
            mailbox.put(encode_snapshot(self._state))
        if self._state.finished:
            mailbox.end(Ending.FINISHED)
        else:
            self._viewers[mailbox] = None

    def _resumed(self, mailbox: Mailbox, cursor: str, answer: CatchUp) -> None:
        frames = self._resuming.get(mailbox)
        if frames is None or self._state is None:
            return
        known = position(self._state.last)
        if answer.state is None:
            self._resuming.pop(mailbox)
            mailbox.end(Ending.RETRY)
        elif answer.missed is None and position(answer.state.last) > known:
            self._catch_up_first(mailbox, None)
        elif answer.missed is not None and position(cursor) > known:
            self._catch_up_first(mailbox, cursor)
        elif answer.missed is None:
            self._resuming.pop(mailbox)
            self._show(mailbox, snapshot=True)
            _put(mailbox, (frame for frame in frames if frame.id is None))
        else:
            self._deliver_missed(mailbox, answer, frames)
        self._stop_if_done()

    def _catch_up_first(self, mailbox: Mailbox, cursor: str | None) -> None:
        """Let a viewer wait that has seen, or would be shown, more than the actor knows yet."""
        self._resuming.pop(mailbox)
        if self._finished():
            mailbox.end(Ending.RETRY)
        else:
            self._waiting[mailbox] = cursor
            self._look()

    def _deliver_missed(self, mailbox: Mailbox, answer: CatchUp, frames: list[Frame]) -> None:
        if self._state is None or answer.missed is None:
            return
        known = position(self._state.last)
        seen = (0, 0)
        for entry in answer.missed:
            if entry.id is None or position(entry.id) > known:
                break  # it is still to come to the actor, which will deliver it
            seen = position(entry.id)
            if entry.event is not None:
                mailbox.put(encode_entry(entry))
            if entry.is_terminal:
                self._resuming.pop(mailbox)
                mailbox.end(Ending.FINISHED)
                return
        else:
            if answer.more and answer.missed[-1].id is not None:
                self._ask_for(mailbox, answer.missed[-1].id)
                return
        self._resuming.pop(mailbox)
        _put(mailbox, (f for f in frames if f.id is None or position(f.id) > seen))
        self._show(mailbox, snapshot=False)

    def _deregister(self, mailbox: Mailbox) -> None:
        self._viewers.pop(mailbox, None)
        self._resuming.pop(mailbox, None)
        self._waiting.pop(mailbox, None)
        if self._nobody() and not self._finished():
            self._log.remind(LINGER_S, self.actor_ref, Expire())
        self._stop_if_done()

    def _finished(self) -> bool:
        return self._state is not None and self._state.finished

    def _nobody(self) -> bool:
        return not (self._viewers or self._resuming or self._waiting)

    def _finish(self) -> None:
        """Take no new viewer, and let those go who have seen the job's end."""
        self._registrar.forget(self._job_id, self.actor_ref)
        self._feed.unfollow(self._job_id, self.actor_ref)
        viewers, self._viewers = self._viewers, {}
        for mailbox in viewers:
            mailbox.end(Ending.FINISHED)
        waiting, self._waiting = self._waiting, {}
        for mailbox, cursor in waiting.items():
            self._admit(mailbox, cursor)
        self._stop_if_done()

    def _stop_if_done(self) -> None:
        if self._finished() and self._nobody():
            self.stop()

    def _retire(self) -> None:
        self._leave(Ending.RETRY)
        self.stop()

    def _leave(self, ending: Ending) -> None:
        self._registrar.forget(self._job_id, self.actor_ref)
        self._feed.unfollow(self._job_id, self.actor_ref)
        for mailbox in (*self._viewers, *self._resuming, *self._waiting):
            mailbox.end(ending)
        self._viewers, self._resuming, self._waiting = {}, {}, {}

    def _drop(self, why: str) -> None:
        self._registrar.note_dropped()
        if not self._complained:
            self._complained = True
            _log.warning("job %s: dropped a publication: %s", self._job_id, why[:200])


def _put(mailbox: Mailbox, frames: Iterable[Frame]) -> None:
    for frame in frames:
        mailbox.put(frame)
