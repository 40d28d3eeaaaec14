"""How the viewers of a job come from where their events begin to the events that happen.

A viewer that has seen nothing is shown the state. One with a cursor is brought what it missed, page
by page; if the log can't tell what that is, it is told so (``reset``) and shown the state. One that
wants the whole attempt is brought that from its first entry in the same way.
"""

from abc import abstractmethod
from functools import partial

from actors.audience import Audience
from actors.follower import Follower
from actors.mailbox import Ending, Mailbox
from actors.messages import Emptied, Resumed
from actors.ports import Feed, Log, Registrar
from actors.resumption import Resumption, Step
from eventlog.catch_up import CatchUp
from schema.entry_id import position
from schema.resume import Beginning, From, Reason
from schema.sse import encode_reset, encode_snapshot
from schema.state import JobState


class Admission(Follower):
    """Admits viewers to the events of the job that it follows."""

    def __init__(
        self, job_id: str, feed: Feed, log: Log, registrar: Registrar, state: JobState | None
    ) -> None:
        super().__init__(job_id, feed, log, registrar, state)
        self._audience = Audience()

    @abstractmethod
    def _stop_if_done(self) -> None:
        """Stop if no viewer is left and none will come."""

    def _register(self, mailbox: Mailbox, begins: Beginning) -> None:
        if mailbox.ending is not None:
            return
        if not self._known:
            self._audience.waiting[mailbox] = begins
        else:
            self._admit(mailbox, begins)

    def _on_known(self) -> None:
        for mailbox, begins in self._audience.take_waiting():
            self._admit(mailbox, begins)

    def _admit(self, mailbox: Mailbox, begins: Beginning) -> None:
        if self._state is None:
            return
        whole = begins is From.START
        cursor = self._state.attempt_id if whole else begins
        if isinstance(cursor, str) and cursor != self._state.last:
            resumption = self._audience.resuming[mailbox] = Resumption(cursor, whole=whole)
            self._ask_for(mailbox, resumption)
        else:
            self._show(mailbox, begins)

    def _ask_for(self, mailbox: Mailbox, resumption: Resumption) -> None:
        resumption.ask()
        self._log.catch_up(
            self._job_id,
            resumption.at,
            partial(self._tell_self, partial(Resumed, mailbox)),
            self.actor_ref.is_alive,
            resumption.most,
        )

    def _show(self, mailbox: Mailbox, begins: Beginning) -> None:
        """Show the state, with a reset or without, unless the viewer has seen it; then go live."""
        if self._state is None:
            return
        if begins is None:
            mailbox.put(encode_snapshot(self._state))
        elif isinstance(begins, Reason):
            mailbox.put(encode_reset(self._state, begins))
        if self._state.finished:
            mailbox.end(Ending.FINISHED)
        else:
            self._audience.live[mailbox] = None

    def _resumed(self, mailbox: Mailbox, answer: CatchUp) -> None:
        resumption = self._audience.resuming.get(mailbox)
        if resumption is None or self._state is None:
            return
        if answer.state is None or self._is_another(answer.state):
            self._lose()
            return
        resumption.asked = False
        reason = answer.reset_reason(resumption.at)
        if _is_behind(self._state, resumption.at, reason, answer.state):
            begins = From.START if resumption.whole else resumption.at
            self._catch_up_first(mailbox, reason if reason is Reason.UNKNOWN else begins)
        elif reason is None:
            self._deliver_missed(mailbox, resumption, answer)
        elif resumption.whole and reason is not Reason.UNKNOWN:
            self._begin_at_oldest(mailbox, resumption, answer, reason)
        else:
            self._begin_anew(mailbox, resumption, reason)
        self._stop_if_done()

    def _catch_up_first(self, mailbox: Mailbox, begins: Beginning) -> None:
        """Let a viewer wait, and then be judged anew, until the actor knows what the log has."""
        self._audience.resuming.pop(mailbox)
        if self._over:
            mailbox.end(Ending.RETRY)
        else:
            self._audience.waiting[mailbox] = begins
            self._look()

    def _begin_anew(self, mailbox: Mailbox, resumption: Resumption, reason: Reason) -> None:
        self._audience.resuming.pop(mailbox)
        self._show(mailbox, reason)
        for frame in resumption.kept_without_id():
            mailbox.put(frame)

    def _begin_at_oldest(
        self, mailbox: Mailbox, resumption: Resumption, answer: CatchUp, reason: Reason
    ) -> None:
        """Show a viewer that wants the whole attempt what is left of it."""
        oldest = answer.oldest_state()
        if reason is Reason.ATTEMPT:  # another one has begun, and nothing was shown of this one
            self._catch_up_first(mailbox, From.START)
        elif oldest is None:
            self._begin_anew(mailbox, resumption, reason)
        elif self._is_another(oldest):
            self._lose()
        elif self._state is not None and position(oldest.last) > position(self._state.last):
            self._catch_up_first(mailbox, From.START)
        else:
            mailbox.put(encode_reset(oldest, reason))
            resumption.at, resumption.whole = oldest.last, False
            self._go_on(mailbox, resumption)

    def _deliver_missed(self, mailbox: Mailbox, resumption: Resumption, answer: CatchUp) -> None:
        if self._state is None:
            return
        match resumption.deliver(mailbox, answer, position(self._state.last)):
            case Step.MORE:
                self._go_on(mailbox, resumption)
            case Step.LIVE:
                self._audience.resuming.pop(mailbox)
                self._show(mailbox, resumption.at)
            case Step.OVER:
                self._audience.resuming.pop(mailbox)

    def _go_on(self, mailbox: Mailbox, resumption: Resumption) -> None:
        """Ask for a further page, once the viewer has taken what it was brought."""
        if mailbox.ending is not None:
            return
        if len(mailbox):
            mailbox.when_empty(partial(self.actor_inbox.post, Emptied(mailbox)))
        else:
            self._ask_for(mailbox, resumption)

    def _emptied(self, mailbox: Mailbox) -> None:
        resumption = self._audience.resuming.get(mailbox)
        if resumption is not None and not resumption.asked:
            self._go_on(mailbox, resumption)


def _is_behind(known: JobState, cursor: str, reason: Reason | None, state: JobState) -> bool:
    """Say whether an actor would show a viewer less than it has seen, or another attempt.

    Args:
        known: the state as the actor knows it.
        cursor: id of the last entry that the viewer has seen.
        reason: why it can't go on from that; None if it can.
        state: the state as the log has it.
    """
    match reason:
        case Reason.ATTEMPT:
            return position(cursor) >= position(known.attempt_id)
        case Reason.UNKNOWN:
            return position(state.last) > position(known.last)
    return position(cursor) > position(known.last)
