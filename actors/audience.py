"""The viewers of one job: those who see events live, and those who are not there yet."""

from collections.abc import Iterable

from actors.mailbox import Ending, Mailbox
from actors.resumption import Resumption
from schema.resume import Beginning
from schema.sse import Frame


class Audience:
    """Who watches a job.

    A viewer is in one of three places: ``live`` viewers get each event at once; a ``resuming`` one
    has to get first what it missed; a ``waiting`` one (with where its events begin) came before the
    actor knew the job's state.
    """

    __slots__ = ("live", "resuming", "waiting")

    def __init__(self) -> None:
        self.live: dict[Mailbox, None] = {}
        self.resuming: dict[Mailbox, Resumption] = {}
        self.waiting: dict[Mailbox, Beginning] = {}

    def __bool__(self) -> bool:
        """Say whether anybody watches."""
        return bool(self.live or self.resuming or self.waiting)

    def broadcast(self, frame: Frame) -> None:
        """Deliver an event to all who are live, and keep it for those who resume."""
        for mailbox in self.live:
            mailbox.put(frame)
        if self.resuming:
            self._keep(frame)

    def _keep(self, frame: Frame) -> None:
        for mailbox, resumption in self.resuming.items():
            if not resumption.keep(frame):
                mailbox.end(Ending.RETRY)
                resumption.forget()

    def dismiss(self) -> None:
        """Let those go who have seen the end of the job."""
        viewers, self.live = self.live, {}
        for mailbox in viewers:
            mailbox.end(Ending.FINISHED)

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
        for mailbox in (*self.live, *self.resuming, *self.waiting):
            mailbox.end(Ending.RETRY)
        self.live, self.resuming, self.waiting = {}, {}, {}
