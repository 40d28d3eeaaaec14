"""The viewers of one job: live, resuming and waiting ones."""

from collections.abc import Iterable, Sequence
from types import MappingProxyType
from typing import Any, Final

from actors.mailbox import Ending, Recipient
from actors.resumption import Resumption
from eventlog.pace import Deliveries
from schema.resume import Beginning
from schema.sse import Frame

_PART: Final = 32
"""Viewers that get an event at once: 0.4 ms of work."""

_PART_BYTES: Final = 1024 * 1024

_FEW: Final = 4
"""Live viewers in a tuple: one takes 48 bytes, in a dict 224."""

_NOBODY: Final[Any] = MappingProxyType({})
"""In place of an empty dict of 64 bytes for each job."""


class Audience:
    """The viewers of a job.

    A ``live`` viewer gets each event at once; a ``resuming`` one first gets what it missed; a
    ``waiting`` one registered before the actor knew the job's state.
    """

    __slots__ = ("_pending_parts", "live", "resuming", "waiting")

    def __init__(self) -> None:
        self._pending_parts = 0  # of an event that is delivered in parts
        self.live: tuple[Recipient, ...] | dict[Recipient, None] = ()
        self.resuming: dict[Recipient, Resumption] = _NOBODY
        self.waiting: dict[Recipient, Beginning] = _NOBODY

    def __bool__(self) -> bool:
        """Say whether there is any viewer."""
        return bool(self.live or self.resuming or self.waiting)

    def admit(self, mailbox: Recipient) -> None:
        """Make a viewer live."""
        if isinstance(self.live, dict):
            self.live[mailbox] = None
        elif mailbox not in self.live:
            live = (*self.live, mailbox)
            self.live = live if len(live) <= _FEW else dict.fromkeys(live)

    def resume(self, mailbox: Recipient, resumption: Resumption) -> None:
        """Keep live events for a viewer that catches up."""
        self.resuming = self.resuming or {}
        self.resuming[mailbox] = resumption

    def wait(self, mailbox: Recipient, start: Beginning) -> None:
        """Keep a viewer until the job's state is known."""
        self.waiting = self.waiting or {}
        self.waiting[mailbox] = start

    def broadcast(self, frame: Frame) -> None:
        """Deliver an event to live viewers, and keep it for resuming ones."""
        count = len(self.live)
        if self._pending_parts or count > _PART or count * frame.size > _PART_BYTES:
            self._deliver_in_parts(frame)
        else:
            for mailbox in self.live:
                mailbox.put(frame)
        if self.resuming:
            self._keep(frame)

    def _deliver_in_parts(self, frame: Frame) -> None:
        """Deliver an event to the present live viewers at the pace of the loop."""
        pace, viewers = Deliveries.here(), list(self.live)
        most = max(1, min(_PART, _PART_BYTES // frame.size))
        for first in range(0, len(viewers), most):
            self._pending_parts += 1
            pace.do(self._deliver_part, viewers[first : first + most], frame)

    def _deliver_part(self, viewers: Sequence[Recipient], frame: Frame) -> None:
        self._pending_parts -= 1
        for mailbox in viewers:
            mailbox.put(frame)

    def _keep(self, frame: Frame) -> None:
        for mailbox, resumption in self.resuming.items():
            if not resumption.keep(frame):
                mailbox.end(Ending.RETRY)
                resumption.forget()

    def dismiss(self) -> None:
        """End the streams of live viewers, who got the end of the job."""
        viewers, self.live = self.live, ()
        if self._pending_parts:
            Deliveries.here().do(_end, viewers, Ending.FINISHED)
        else:
            _end(viewers, Ending.FINISHED)

    def take_waiting(self) -> Iterable[tuple[Recipient, Beginning]]:
        """Remove the waiting viewers; return them with their beginnings."""
        waiting, self.waiting = self.waiting, _NOBODY
        return waiting.items()

    def remove(self, mailbox: Recipient) -> None:
        """Remove a viewer."""
        mailbox.when_empty(None)
        if isinstance(self.live, dict):
            self.live.pop(mailbox, None)
        else:
            self.live = tuple(each for each in self.live if each is not mailbox)
        if self.resuming:
            self.resuming.pop(mailbox, None)
        if self.waiting:
            self.waiting.pop(mailbox, None)

    def send_back(self) -> None:
        """Make all viewers reconnect."""
        _end((*self.live, *self.resuming, *self.waiting), Ending.RETRY)
        self.live, self.resuming, self.waiting = (), _NOBODY, _NOBODY


def _end(viewers: Iterable[Recipient], ending: Ending) -> None:
    for mailbox in viewers:
        mailbox.end(ending)
