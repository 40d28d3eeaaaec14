"""The actor of one job: follows it, and feeds its viewers."""

from collections.abc import Sequence
from typing import Any, Final, Self

from pykka import ActorRef

from actors.admission import Admission
from actors.mailbox import Ending, Mailbox, conflated
from actors.messages import (
    Deregister,
    Emptied,
    Expire,
    Forgotten,
    Register,
    Resumed,
)
from actors.ports import Feed, Log, Registrar
from eventlog.channel import Published
from schema.sse import Frame
from schema.state import JobState

LINGER_S: Final = 5.0
"""How long a job stays followed when its last viewer has gone."""

_MOST_AT_ONCE: Final = 4000
"""Deliveries: some 50 ms of work, of the 100 ms that an event may be on its way."""


class JobActor(Admission):
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
        self._feed.follow(self._job_id, self.actor_inbox.hand)

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
            case Register(mailbox, begins):
                self._register(mailbox, begins)
            case Deregister(mailbox):
                self._deregister(mailbox)
            case Resumed(mailbox, answer):
                self._resumed(mailbox, answer)
            case Emptied(mailbox):
                self._emptied(mailbox)
            case Forgotten():
                self._forgotten = True
                self._stop_if_done()
            case Expire():
                if not self._audience:
                    self._retire()
            case _:
                self._told(message)

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
        self._feed.unfollow(self._job_id, self.actor_inbox.hand)
        self._audience.dismiss()
        self._on_known()
        self.actor_ref.tell(Forgotten())

    def _on_lost(self) -> None:
        self._retire()

    def _deregister(self, mailbox: Mailbox) -> None:
        self._audience.remove(mailbox)
        if not self._audience and not self._over:
            self._registrar.remind(LINGER_S, self.actor_ref, Expire())
        self._stop_if_done()

    def _stop_if_done(self) -> None:
        if self._forgotten and not self._audience:
            self.stop()

    def _retire(self) -> None:
        self._leave()
        self.stop()

    def _leave(self) -> None:
        self._registrar.forget(self._job_id, self.actor_ref)
        self._feed.unfollow(self._job_id, self.actor_inbox.hand)
        self._audience.send_back()
