"""The actor of one job: follows its log and feeds its viewers.

``followed_log`` decides what publications and answers mean, ``resumption`` how far a resuming
viewer has caught up; the actor carries out their outputs.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from actors.audience import Audience
from actors.followed_log import (
    CheckExistence,
    Dropped,
    FollowedLog,
    Milestone,
    Output,
    Read,
    ReadIfChanged,
    Settle,
)
from actors.mailbox import Ending, Recipient, conflate
from actors.messages import (
    Deregister,
    Emptied,
    Expire,
    Forgotten,
    Register,
    Replaced,
    Resumed,
    Verified,
    Verify,
)
from actors.resumption import Resumption, Step
from actors.runtime import LoopActor, LoopInbox
from eventlog.catch_up import PAGE, CatchUp, IsWanted, OnAnswer
from eventlog.channel import Published, Subscribed, Subscriber
from eventlog.pace import Pages
from schema.events import Terminal
from schema.resume import Beginning, From, Reason
from schema.sse import Frame, encode_reset, encode_snapshot
from schema.state import JobState

if TYPE_CHECKING:
    from actors.directory import Directory

_log = logging.getLogger("jobcast.actors")

LINGER_S: Final = 5.0
"""How long a job is followed after its last viewer has disconnected."""

_MAX_DELIVERIES: Final = 4000
"""Deliveries of one read without conflation: some 50 ms of the 100 ms allowed for an event."""


class Subscriptions(Protocol):
    """The subscriptions to job channels, as in ``eventlog.subscriptions``."""

    def follow(self, job_id: str, subscriber: Subscriber) -> None:
        """Pass a job's publications to a subscriber, after ``Subscribed``."""

    def unfollow(self, job_id: str, subscriber: Subscriber) -> None:
        """Stop passing publications to a subscriber."""


class Questions(Protocol):
    """Reads of the log that are retried until Redis answers, as in ``eventlog.questions``."""

    def catch_up(
        self,
        job_id: str,
        cursor: str | None,
        on_answer: OnAnswer,
        is_wanted: IsWanted,
        most: int = PAGE,
    ) -> None:
        """Read a job's state and its entries after a cursor."""

    def catch_up_if_changed(
        self, job_id: str, known: JobState, on_answer: OnAnswer, is_wanted: IsWanted
    ) -> None:
        """Read a job's state, and its entries if the state has changed."""

    def settle(self, job_id: str, event: Terminal, known: JobState, attempt: int) -> None:
        """Append a publish-only worker's terminal event to the known job."""


class JobActor(LoopActor):
    """Serves the viewers of one job.

    A viewer without a cursor gets the state. One with a cursor gets the missed entries, page by
    page, or a ``reset`` and the state if the log does not have them. One that requested the whole
    attempt resumes from its first entry.

    Attributes:
        creation: distinguishes the job from others with its id; None without a ``state``.
    """

    def __init__(
        self,
        job_id: str,
        subscriptions: Subscriptions,
        questions: Questions,
        directory: "Directory",
        state: JobState | None = None,
    ) -> None:
        super().__init__()
        self._job_id = job_id
        self._subscriptions = subscriptions
        self._questions = questions
        self._directory = directory
        self._log = FollowedLog(state, directory.is_bridged)
        self._audience = Audience()
        self.creation = self._log.creation
        self._is_forgotten = False
        self._has_logged_drop = False

    def on_start(self) -> None:
        """Follow the job's channel; ``Subscribed`` confirms it."""
        self._subscriptions.follow(self._job_id, self.actor_inbox)

    def on_stop(self) -> None:
        """Send the viewers back, if Pykka stopped this actor."""
        self._send_back()

    def on_failure(self, *_error: object) -> None:
        """Send the viewers back: a new actor reads everything from Redis."""
        self._send_back()

    def on_discard(self, message: Any) -> None:  # noqa: ANN401 - a message is anything
        """Send back a viewer that registered while the actor was stopping."""
        if isinstance(message, Register | Resumed):
            message.mailbox.end(Ending.RETRY)

    def on_receive(self, message: Any) -> None:  # noqa: ANN401, C901, PLR0912 - one case a message
        """Handle one message."""
        if type(message) is Published:  # before the patterns, which take longer than the rest
            payloads = message.payloads
            if len(payloads) == 1:
                self._do(self._log.published(payloads[0]), self._audience.broadcast)
            else:
                self._published_together(payloads)
            return
        match message:
            case Register(mailbox, start):
                self._register(mailbox, start)
            case Deregister(mailbox):
                self._deregister(mailbox)
            case Resumed(mailbox, answer):
                self._resumed(mailbox, answer)
            case Emptied(mailbox):
                self._emptied(mailbox)
            case CatchUp():
                self._caught_up(message)
            case Subscribed():
                self._do(self._log.subscribed())
            case Verify():
                self._do(self._log.verify())
            case Verified(answer):
                self._do(self._log.verified(answer))
            case Replaced():
                self._do(self._log.lose())
            case Forgotten():
                self._is_forgotten = True
                self._stop_if_done()
            case Expire():
                if not self._audience:
                    self._send_back_and_stop()
            case _:
                super().on_receive(message)

    def _published_together(self, payloads: Sequence[bytes]) -> None:
        """Deliver the publications of one read, conflated if there are too many.

        Many arrive together when the process is behind. As the mailboxes of fast viewers never
        fill, they would get ever older events otherwise.
        """
        frames: list[Frame] = []
        for payload in payloads:
            self._do(self._log.published(payload), frames.append)
        if len(frames) * len(self._audience.live) > _MAX_DELIVERIES:
            frames = conflate(frames)
        for frame in frames:
            self._audience.broadcast(frame)

    def _caught_up(self, answer: CatchUp) -> None:
        part, rest = answer.split()
        self._do(self._log.caught_up(part, is_last=rest is None))
        if rest is not None:
            Pages.here().do(self.actor_inbox.tell, rest)

    def _do(  # noqa: C901 - one case an output
        self, outputs: Iterable[Output], deliver: Callable[[Frame], object] | None = None
    ) -> None:
        """Carry out outputs of the followed log, in order.

        Args:
            outputs: the outputs.
            deliver: takes the frames; broadcasts them if None.
        """
        deliver = deliver or self._audience.broadcast
        job_id, inbox = self._job_id, self.actor_inbox
        for output in outputs:
            if type(output) is Frame:
                deliver(output)
                continue
            match output:
                case Read(cursor):
                    self._questions.catch_up(job_id, cursor, inbox.hand, inbox.is_open)
                case ReadIfChanged(known):
                    self._questions.catch_up_if_changed(job_id, known, inbox.hand, inbox.is_open)
                case CheckExistence(known):
                    verified = partial(_hand_as, inbox, Verified)
                    self._questions.catch_up_if_changed(job_id, known, verified, inbox.is_open)
                case Settle(event, known, attempt):
                    self._questions.settle(job_id, event, known, attempt)
                case Dropped(why):
                    self._drop(why)
                case Milestone.CURRENT:
                    self._admit_waiting()
                case Milestone.ATTEMPT_ENDED:
                    self._audience.dismiss()
                case Milestone.ENDED:
                    self._conclude()
                case Milestone.GONE:
                    self._send_back_and_stop()

    def _drop(self, why: str) -> None:
        self._directory.note_dropped()
        if not self._has_logged_drop:
            self._has_logged_drop = True
            _log.warning("job %s: dropped a publication: %s", self._job_id, why[:200])

    def _register(self, mailbox: Recipient, start: Beginning) -> None:
        if mailbox.ending is not None:
            return
        if not self._log.is_current:
            self._audience.wait(mailbox, start)
        else:
            self._admit(mailbox, start)

    def _admit_waiting(self) -> None:
        for mailbox, start in self._audience.take_waiting():
            self._admit(mailbox, start)

    def _admit(self, mailbox: Recipient, start: Beginning) -> None:
        state = self._log.state
        if state is None:
            return
        whole = start is From.START
        cursor = state.attempt_id if whole else start
        if isinstance(cursor, str) and cursor != state.last:
            resumption = Resumption(cursor, whole=whole)
            self._audience.resume(mailbox, resumption)
            self._read_page(mailbox, resumption)
        else:
            self._send_state(mailbox, start)

    def _read_page(self, mailbox: Recipient, resumption: Resumption) -> None:
        resumption.begin_page()
        inbox, at, most = self.actor_inbox, resumption.at, resumption.page_size
        on_answer = partial(_hand_as, inbox, partial(Resumed, mailbox))
        self._questions.catch_up(self._job_id, at, on_answer, inbox.is_open, most)

    def _send_state(self, mailbox: Recipient, start: Beginning) -> None:
        """Send the state, after a reset if needed, unless the viewer has it; then make it live."""
        state = self._log.state
        if state is None:
            return
        if start is None:
            mailbox.put(encode_snapshot(state))
        elif isinstance(start, Reason):
            mailbox.put(encode_reset(state, start))
        if state.finished:
            mailbox.end(Ending.FINISHED)
        else:
            self._audience.admit(mailbox)

    def _resumed(self, mailbox: Recipient, answer: CatchUp) -> None:
        resumption = self._audience.resuming.get(mailbox)
        if resumption is None or self._log.state is None:
            return
        step = resumption.deliver(mailbox, answer, self._log.state)
        if step is Step.GONE:
            self._do(self._log.lose())
        elif step is Step.MORE:
            self._continue(mailbox, resumption)
        else:
            del self._audience.resuming[mailbox]
            self._end_resumption(mailbox, resumption, step)
            self._stop_if_done()

    def _end_resumption(self, mailbox: Recipient, resumption: Resumption, step: Step) -> None:
        match step:
            case Step.LIVE:
                self._send_state(mailbox, resumption.at)
            case Step.RESET:
                self._send_state(mailbox, resumption.reason)
                for frame in resumption.kept_without_id():
                    mailbox.put(frame)
            case Step.AHEAD if self._log.ended:
                mailbox.end(Ending.RETRY)
            case Step.AHEAD:  # it is admitted anew when the actor has caught up
                self._audience.wait(mailbox, resumption.beginning())
                self._do(self._log.catch_up())

    def _continue(self, mailbox: Recipient, resumption: Resumption) -> None:
        """Read the next page, once the viewer has taken the previous one."""
        if mailbox.ending is not None:
            return
        if len(mailbox):
            mailbox.when_empty(partial(self.actor_inbox.tell, Emptied(mailbox)))
        else:
            self._read_page(mailbox, resumption)

    def _emptied(self, mailbox: Recipient) -> None:
        resumption = self._audience.resuming.get(mailbox)
        if resumption is not None and not resumption.reading:
            self._continue(mailbox, resumption)

    def _deregister(self, mailbox: Recipient) -> None:
        self._audience.remove(mailbox)
        if not self._audience and not self._log.ended:
            self._directory.remind(LINGER_S, self.actor_inbox, Expire())
        self._stop_if_done()

    def _conclude(self) -> None:
        """End the streams of live viewers, admit waiting ones, and route no more here."""
        self._directory.forget(self._job_id, self)
        self._subscriptions.unfollow(self._job_id, self.actor_inbox)
        self._audience.dismiss()
        self._admit_waiting()
        self.actor_inbox.tell(Forgotten())

    def _stop_if_done(self) -> None:
        if self._is_forgotten and not self._audience:
            self.stop()

    def _send_back_and_stop(self) -> None:
        self._send_back()
        self.stop()

    def _send_back(self) -> None:
        """Send all viewers back, route none here, and unfollow the channel."""
        self._directory.forget(self._job_id, self)
        self._subscriptions.unfollow(self._job_id, self.actor_inbox)
        self._audience.send_back()


def _hand_as(inbox: LoopInbox, kind: Callable[[CatchUp], object], answer: CatchUp) -> None:
    """Hand an answer to an actor as a message."""
    inbox.hand(kind(answer))
