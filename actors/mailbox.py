"""The buffer of one viewer: lossless up to its bound, conflated past it."""

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Protocol

from schema.sse import Frame


class Ending(Enum):
    """Why a stream ends."""

    FINISHED = "finished"
    """The job's last event was delivered."""

    RETRY = "retry"
    """The viewer must reconnect: the response ends with ``retry:``."""


class Recipient(Protocol):
    """What an actor needs of a viewer: a ``Mailbox``, or the ``Seat`` of a viewer of many jobs.

    Attributes:
        ending: why nothing more is accepted; None while it is.
    """

    ending: Ending | None

    def __len__(self) -> int:
        """Count the buffered frames."""

    def has_room(self, frame: Frame) -> bool:
        """Say whether a frame fits without conflation."""

    def when_empty(self, call: Callable[[], object] | None) -> None:
        """Call something once, as soon as nothing is buffered; None cancels that."""

    def put(self, frame: Frame) -> None:
        """Deliver a frame, or buffer it."""

    def end(self, ending: Ending) -> None:
        """Accept no further frames; buffered ones are still delivered."""


class Mailbox:
    """The frames buffered for one viewer.

    Frames go straight to ``offer`` until it refuses one, because the viewer reads too slowly. Then
    they are buffered, up to ``bound`` bytes. Past that only the newest ``progress-update`` (of each
    job) is kept, even if it exceeds the bound; if the other frames alone exceed it, or the newest
    ones of several jobs do, the mailbox ends with ``RETRY`` after its contents, and the viewer
    resumes from the log. A single frame may be larger than the bound.

    Args:
        bound: bytes to buffer.
        offer: writes a frame and returns True, or refuses it.
        on_end: called once, on the first ``end``.
    """

    __slots__ = (
        *("_bound", "_offer", "_on_empty", "_on_end", "_size", "_waiting", "conflated", "ending"),
    )

    def __init__(
        self, bound: int, offer: Callable[[Frame], bool], on_end: Callable[[], None]
    ) -> None:
        self._bound = bound
        self._offer = offer
        self._on_end = on_end
        self._on_empty: Callable[[], object] | None = None
        self._waiting: list[Frame] = []
        self._size = 0
        self.ending: Ending | None = None
        self.conflated = 0

    def __len__(self) -> int:
        """Count the buffered frames."""
        return len(self._waiting)

    @property
    def size(self) -> int:
        """Buffered bytes."""
        return self._size

    def has_room(self, frame: Frame) -> bool:
        """Say whether a frame fits without conflation."""
        return not self._waiting or self._size + frame.size <= self._bound

    def when_empty(self, call: Callable[[], object] | None) -> None:
        """Call something once, as soon as the mailbox is empty; None cancels that."""
        self._on_empty = call

    def put(self, frame: Frame) -> None:
        """Deliver a frame, or buffer it."""
        if self.ending is not None or (not self._waiting and self._offer(frame)):
            return
        self._waiting.append(frame)
        self._size += frame.size
        if self._size > self._bound and len(self._waiting) > 1:
            self._conflate()

    def end(self, ending: Ending) -> None:
        """Accept no further frames; buffered ones are still delivered."""
        if self.ending is None:
            self.ending = ending
            self._on_empty = None
            self._on_end()

    def take(self, limit: int) -> list[Frame]:
        """Remove and return frames, oldest first, of ``limit`` bytes or a single larger one."""
        if self._size <= limit:
            taken, self._waiting, self._size = self._waiting, [], 0
            self._emptied()
            return taken
        size = count = 0
        for frame in self._waiting:
            size += frame.size
            if size > limit and count:
                size -= frame.size
                break
            count += 1
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        self._size -= size
        if not self._waiting:
            self._emptied()
        return taken

    def _emptied(self) -> None:
        call, self._on_empty = self._on_empty, None
        if call is not None:
            call()

    def _conflate(self) -> None:
        kept = conflate(self._waiting)
        self.conflated += len(self._waiting) - len(kept)
        self._waiting = kept
        self._size = sum(frame.size for frame in kept)
        updates = [frame.size for frame in kept if frame.conflatable]
        others = self._size - sum(updates)
        if (others > self._bound and len(kept) > 1) or (
            len(updates) > 1 and sum(updates) > self._bound
        ):
            self._overflow()

    def _overflow(self) -> None:
        last = self._waiting.pop()
        self._size -= last.size
        self.end(Ending.RETRY)


def conflate(frames: Sequence[Frame]) -> list[Frame]:
    """Return the frames without all ``progress-update``s but the newest of each job."""
    newest = {frame.job_id: frame for frame in frames if frame.conflatable}
    return [frame for frame in frames if not frame.conflatable or frame is newest[frame.job_id]]
