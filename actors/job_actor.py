"""The actor of one job: follows it, and feeds its viewers."""

from collections.abc import Sequence
from typing import Any, Final, Self

from pykka import ActorRef

from actors.audience import Audience, deliver
from actors.follower import Follower
from actors.mailbox import Ending, Mailbox, conflated
from actors.messages import (
    CaughtUp,
    Deregister,
    Expire,
    Forgotten,
    Published,
    Register,
    Resumed,
    Subscribed,
)
from actors.ports import Feed, Log, Registrar
from eventlog.catch_up import CatchUp
from schema.entry_id import position
from schema.sse import Frame, encode_entry, encode_snapshot
from schema.state import JobState

LINGER_S: Final = 5.0
"""How long a job stays followed when its last viewer has gone."""

_MOST_AT_ONCE: Final = 4000
"""Deliveries: some 50 ms of work, of the 100 ms that an event may be on its way."""


class JobActor(Follower):
    """Serves the viewers of one job."""

    def __init__(
        self,
        job_id: str,
        feed: Feed,
        log: Log,
        registrar: Registrar,
        state: JobState | None = None,
    ) -> None:
        super().__init__(job_id, feed, log, registrar, state)
        self._audience = Audience()
        self._forgotten = False
        self._together: list[Frame] | None = None

    @classmethod
    def start(cls, *args: Any, **kwargs: Any) -> ActorRef[Self]:  # noqa: ANN401 - Pykka's signature
        """Start an actor that only the directory knows.

        Pykka would enter it into its registry, a list that is searched as an actor stops, and spell
        its name for log messages that nobody reads.
        """
        actor = cls(*args, **kwargs)
        actor._start_actor_loop()
        return actor.actor_ref

    def on_start(self) -> None:
        """Follow the job's channel; ``Subscribed`` will say when that is in force."""
        self._feed.follow(self._job_id, self.actor_ref)

    def on_stop(self) -> None:
        """Let go of viewers that a stop from outside would leave behind."""
        self._leave()

    def on_failure(self, *_error: object) -> None:
        """Send the viewers back: a new actor will recover from Redis."""
        self._leave()

    def on_discard(self, message: Any) -> None:  # noqa: ANN401 - a message is anything
        """Send back a viewer that came while the actor was stopping."""
        if isinstance(message, Register | Resumed):
            message.mailbox.end(Ending.RETRY)

    def on_receive(self, message: Any) -> None:  # noqa: ANN401 - a message is anything
        """Handle one message."""
        if type(message) is not Published:
            self._receive_other(message)
        elif len(message.payloads) == 1:
            self._published(message.payloads[0])
        else:
            self._published_together(message.payloads)

    def _receive_other(self, message: Any) -> None:  # noqa: ANN401 - a message is anything
        match message:
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
            case Forgotten():
                self._forgotten = True
                self._stop_if_done()
            case Expire():
                if not self._audience:
                    self._retire()
            case _:
                super().on_receive(message)

    def _published_together(self, payloads: Sequence[bytes]) -> None:
        """Deliver what came in one read, conflated if all of it would take this process too long.

        That many arrive together while the process is busy with the ones before. Viewers who read
        fast enough never let a mailbox fill, so without this they would be shown ever older events.
        """
        frames = self._together = []
        try:
            for payload in payloads:
                self._published(payload)
        finally:
            self._together = None
        if len(frames) * len(self._audience.live) > _MOST_AT_ONCE:
            frames = conflated(frames)
        for frame in frames:
            self._audience.broadcast(frame)

    def _on_event(self, frame: Frame) -> None:
        if self._together is None:
            self._audience.broadcast(frame)
        else:
            self._together.append(frame)

    def _on_attempt_end(self) -> None:
        self._audience.dismiss()

    def _on_end(self) -> None:
        self._registrar.forget(self._job_id, self.actor_ref)
        self._feed.unfollow(self._job_id, self.actor_ref)
        self._audience.dismiss()
        self._on_known()
        self.actor_ref.tell(Forgotten())

    def _on_known(self) -> None:
        for mailbox, cursor in self._audience.take_waiting():
            self._admit(mailbox, cursor)

    def _on_lost(self) -> None:
        self._retire()

    def _register(self, mailbox: Mailbox, cursor: str | None) -> None:
        if mailbox.ending is not None:
            return
        if not self._known:
            self._audience.waiting[mailbox] = cursor
        else:
            self._admit(mailbox, cursor)

    def _admit(self, mailbox: Mailbox, cursor: str | None) -> None:
        if self._state is not None and cursor is not None and cursor != self._state.last:
            self._audience.resuming[mailbox] = []
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
            self._audience.live[mailbox] = None

    def _resumed(self, mailbox: Mailbox, cursor: str, answer: CatchUp) -> None:
        frames = self._audience.resuming.get(mailbox)
        if frames is None or self._state is None:
            return
        known = position(self._state.last)
        answer = answer.for_viewer(cursor)
        if answer.state is None:
            self._audience.resuming.pop(mailbox)
            mailbox.end(Ending.RETRY)
        elif answer.missed is None and position(answer.state.last) > known:
            self._catch_up_first(mailbox, None)
        elif answer.missed is not None and position(cursor) > known:
            self._catch_up_first(mailbox, cursor)
        elif answer.missed is None:
            self._audience.resuming.pop(mailbox)
            self._show(mailbox, snapshot=True)
            deliver(mailbox, (frame for frame in frames if frame.id is None))
        else:
            self._deliver_missed(mailbox, cursor, answer, frames)
        self._stop_if_done()

    def _catch_up_first(self, mailbox: Mailbox, cursor: str | None) -> None:
        """Let a viewer wait that has seen, or would be shown, more than the actor knows yet."""
        self._audience.resuming.pop(mailbox)
        if self._over:
            mailbox.end(Ending.RETRY)
        else:
            self._audience.waiting[mailbox] = cursor
            self._look()

    def _deliver_missed(
        self, mailbox: Mailbox, cursor: str, answer: CatchUp, frames: list[Frame]
    ) -> None:
        if self._state is None or answer.missed is None:
            return
        known = position(self._state.last)
        seen = position(cursor)
        for entry in answer.missed:
            if entry.id is None or position(entry.id) > known:
                break  # it is still to come to the actor, which will deliver it
            seen = position(entry.id)
            if entry.event is not None:
                mailbox.put(encode_entry(entry))
            if entry.is_terminal:
                self._audience.resuming.pop(mailbox)
                mailbox.end(Ending.FINISHED)
                return
        else:
            if answer.more and answer.missed[-1].id is not None:
                self._ask_for(mailbox, answer.missed[-1].id)
                return
        self._audience.resuming.pop(mailbox)
        deliver(mailbox, (f for f in frames if f.id is None or position(f.id) > seen))
        self._show(mailbox, snapshot=False)

    def _deregister(self, mailbox: Mailbox) -> None:
        self._audience.remove(mailbox)
        if not self._audience and not self._over:
            self._log.remind(LINGER_S, self.actor_ref, Expire())
        self._stop_if_done()

    def _stop_if_done(self) -> None:
        if self._forgotten and not self._audience:
            self.stop()

    def _retire(self) -> None:
        self._leave()
        self.stop()

    def _leave(self) -> None:
        self._registrar.forget(self._job_id, self.actor_ref)
        self._feed.unfollow(self._job_id, self.actor_ref)
        self._audience.send_back()
