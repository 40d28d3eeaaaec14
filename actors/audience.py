"""The viewers of one job: those who see events live, and those who are not there yet."""

from collections.abc import Iterable
from typing import Final

from actors.mailbox import Ending, Mailbox
from schema.sse import Frame

_RESUMING_FRAMES: Final = 2000
"""Events that may come while the log is read for one viewer; past that it begins anew."""


class Audience:
    """Who watches a job.

    A viewer is in one of three places: ``live`` viewers get each event at once; a ``resuming`` one
    has to get first what it missed, and events that come meanwhile are kept for it; a ``waiting``
    one (with the cursor that it came with) came before the actor knew the job's state.
    """

    __slots__ = ("live", "resuming", "waiting")

    def __init__(self) -> None:
        self.live: dict[Mailbox, None] = {}
        self.resuming: dict[Mailbox, list[Frame]] = {}
        self.waiting: dict[Mailbox, str | None] = {}

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
        for mailbox, frames in self.resuming.items():
            frames.append(frame)
            if len(frames) > _RESUMING_FRAMES:
                mailbox.end(Ending.RETRY)
                frames.clear()

    def dismiss(self) -> None:
        """Let those go who have seen the end of the job."""
        viewers, self.live = self.live, {}
        for mailbox in viewers:
            mailbox.end(Ending.FINISHED)

    def take_waiting(self) -> Iterable[tuple[Mailbox, str | None]]:
        """Return those who wait, and their cursors; they wait no more."""
        waiting, self.waiting = self.waiting, {}
        return waiting.items()

    def remove(self, mailbox: Mailbox) -> None:
        """Forget a viewer that went."""
        self.live.pop(mailbox, None)
        self.resuming.pop(mailbox, None)
        self.waiting.pop(mailbox, None)

    def send_back(self) -> None:
        """Have all come again."""
        for mailbox in (*self.live, *self.resuming, *self.waiting):
            mailbox.end(Ending.RETRY)
        self.live, self.resuming, self.waiting = {}, {}, {}


def deliver(mailbox: Mailbox, frames: Iterable[Frame]) -> None:
    """Put frames into a mailbox, in order."""
    for frame in frames:
        mailbox.put(frame)
