"""The viewers of one job: those who see events live, and those who are not there yet."""

from collections.abc import Iterable, Sequence
from typing import Final

from actors.mailbox import Ending, Mailbox
from actors.resumption import Resumption
from eventlog.pace import Deliveries
from schema.resume import Beginning
from schema.sse import Frame

_FEW: Final = 32
"""Viewers that get an event in one go: 0.4 ms of work."""

_BYTES_AT_ONCE: Final = 1024 * 1024


class Audience:
    """Who watches a job.

    A viewer is in one of three places: ``live`` viewers get each event at once; a ``resuming`` one
    has to get first what it missed; a ``waiting`` one (with where its events begin) came before the
    actor knew the job's state.
    """

    __slots__ = ("_pending_parts", "live", "resuming", "waiting")

    def __init__(self) -> None:
        self._pending_parts = 0  # parts of an event's viewers that have yet to get it
        self.live: dict[Mailbox, None] = {}
        self.resuming: dict[Mailbox, Resumption] = {}
        self.waiting: dict[Mailbox, Beginning] = {}

    def __bool__(self) -> bool:
        """Say whether anybody watches."""
        return bool(self.live or self.resuming or self.waiting)

    def broadcast(self, frame: Frame) -> None:
        """Deliver an event to all who are live, and keep it for those who resume."""
        count = len(self.live)
        if self._pending_parts or count > _FEW or count * frame.size > _BYTES_AT_ONCE:
            self._deliver_slowly(frame)
        else:
            for mailbox in self.live:
                mailbox.put(frame)
        if self.resuming:
            self._keep(frame)

    def _deliver_slowly(self, frame: Frame) -> None:
        """Deliver an event to many at the pace of the loop, to those who are live now."""
        pace, viewers = Deliveries.here(), list(self.live)
        most = max(1, min(_FEW, _BYTES_AT_ONCE // frame.size))
        for first in range(0, len(viewers), most):
            self._pending_parts += 1
            pace.do(self._deliver_some, viewers[first : first + most], frame)

    def _deliver_some(self, viewers: Sequence[Mailbox], frame: Frame) -> None:
        self._pending_parts -= 1
        for mailbox in viewers:
            mailbox.put(frame)

    def _keep(self, frame: Frame) -> None:
        for mailbox, resumption in self.resuming.items():
            if not resumption.keep(frame):
                mailbox.end(Ending.RETRY)
                resumption.forget()

    def dismiss(self) -> None:
        """Let those go who have seen the end of the job."""
        viewers, self.live = self.live, {}
        if self._pending_parts:
            Deliveries.here().do(_end, viewers, Ending.FINISHED)
        else:
            _end(viewers, Ending.FINISHED)

    def take_waiting(self) -> Iterable[tuple[Mailbox, Beginning]]:
        """Return those who wait, and where their events begin; they wait no more."""
        waiting, self.waiting = self.waiting, {}
        return waiting.items()

    def remove(self, mailbox: Mailbox) -> None:
        """Forget a viewer that went."""
        mailbox.when_empty(None)
        self.live.pop(mailbox, None)
        self.resuming.pop(mailbox, None)
        self.waiting.pop(mailbox, None)

    def send_back(self) -> None:
        """Have all come again."""
        _end((*self.live, *self.resuming, *self.waiting), Ending.RETRY)
        self.live, self.resuming, self.waiting = {}, {}, {}


def _end(viewers: Iterable[Mailbox], ending: Ending) -> None:
    for mailbox in viewers:
        mailbox.end(ending)
