"""The state machine of a job followed by its channel: publications and answers in, frames out.

A publication is accepted if its ``prev`` is the last known entry, unless it is terminal. Otherwise,
and after a reconnect, the log is read and decides: it fills gaps, discards duplicates and forged
publications, and leads to a new snapshot after a loss of data. A forged publication that was
accepted is rolled back in the same way.

A job may also vanish, and its id be reused, while the connection lives. Then the channel is silent,
announces a creation, or carries publications that do not follow. The last two make this read the
log at once, silence does after a while. Events of another creation are never passed on.

There is no I/O here and no actor: the owner carries out the outputs.
"""

from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from typing import Any, Final

from msgspec import Struct

from eventlog.catch_up import CatchUp
from eventlog.outline import mark
from eventlog.publication import decode_publication, may_be_logged
from schema.entry import CREATED, Entry
from schema.entry_id import is_after
from schema.events import TERMINAL_TYPES, InvalidEvent, Terminal
from schema.resume import Reason
from schema.sse import Frame, encode, encode_entry, encode_reset, encode_snapshot
from schema.state import Creation, JobState, apply


class Read(Struct, frozen=True):
    """Read the entries after a cursor, or the state alone; pass the answer to ``caught_up``.

    For a log that must have more: after a gap and at a job's end. It takes one round trip.
    """

    cursor: str | None


class ReadIfChanged(Struct, frozen=True):
    """Read the state, and the entries only if it has changed, which is rare."""

    known: JobState


class CheckExistence(Struct, frozen=True):
    """Read whether the state has changed; pass the answer to ``verified``."""

    known: JobState


class Settle(Struct, frozen=True):
    """Append the terminal event of a publish-only worker."""

    event: Terminal
    known: JobState
    attempt: int


class Dropped(Struct, frozen=True):
    """A publication was not used: it is unreadable, though the log may have it, or forged."""

    why: str


class Milestone(Enum):
    """Changes that concern the viewers."""

    CURRENT = "current"
    """The state is current: waiting viewers can be admitted."""

    ATTEMPT_ENDED = "attempt-ended"
    """Live viewers got the end of their attempt; the next one has begun already."""

    ENDED = "ended"
    """Live viewers got the end of the job."""

    GONE = "gone"
    """The job has vanished, or another one has its id."""


_NONE: Final[Any] = ()
"""In place of an empty list of 56 bytes for each job."""

Output = Frame | Read | ReadIfChanged | CheckExistence | Settle | Dropped | Milestone
"""What the owner carries out; frames go to the live viewers."""


class FollowedLog:
    """Follows one job.

    The owner carries out each output before it takes the next, so that ``state`` is the one at
    which the output was made.

    Args:
        state: the job's state, just read. Of a finished one only the creation is used: the job may
            have been retried since.
        is_bridged: whether a bridge appends the events of publish-only workers. Viewers then get
            the publications of those appends, and not the events themselves.

    Attributes:
        creation: distinguishes the job from others with its id; None if there was no state yet.
        state: the last known state.
        is_current: whether viewers may get ``state``.
        ended: whether the end of the job is known.
    """

    __slots__ = (
        *("_catching_up", "_deferred", "_deferred_at_read", "_following"),
        *("_is_bridged", "_last_verified", "_previous", "_read_again", "_reading"),
        *("_rolled_back", "_verifying"),
        *("creation", "ended", "is_current", "state"),
    )

    def __init__(
        self, state: JobState | None, is_bridged: Callable[[], bool] = lambda: False
    ) -> None:
        self._is_bridged = is_bridged
        self.state = None if state is None or state.finished else state
        self.is_current = self.ended = False
        self.creation: Creation | None = None if state is None else state.creation
        self._previous: JobState | None = None  # restored if the log denies the last event
        self._rolled_back = False
        self._following = False
        self._catching_up = True  # before ``subscribed``, and until the log was read after it
        self._reading = False
        self._read_again = False
        # With the attempts of their arrival:
        self._deferred: list[tuple[Entry, int | None]] = _NONE
        self._deferred_at_read = 0
        self._last_verified = ""  # the last entry at the preceding ``verify``, unless that read
        self._verifying = False

    def published(self, payload: bytes) -> Iterable[Output]:
        """Handle a publication."""
        try:
            entry = decode_publication(payload)
        except InvalidEvent as error:
            return self._unreadable(payload, str(error))
        if entry.id is None and self._is_bridged():
            return ()
        if not self._catching_up:
            output = self._accept(entry)
            if output is not None:
                return (output,)
        return self._defer(entry)

    def subscribed(self) -> Iterator[Output]:
        """Handle a confirmed subscription: earlier publications may have been missed."""
        self._following = True
        return self.catch_up(has_more=False)

    def caught_up(self, answer: CatchUp, *, is_last: bool = True) -> Iterator[Output]:
        """Handle the answer to ``Read`` or ``ReadIfChanged``.

        Args:
            answer: the answer, or one part of a large one.
            is_last: whether this is the last part.
        """
        self._reading = not is_last
        if self.ended:
            return
        known = self.state
        if answer.state is None or self._is_another(answer.state):
            yield from self.lose()
            return
        if known is None:
            self.creation = answer.state.creation
            yield from self._replace(answer.state, Reason.UNKNOWN)
        elif answer.missed is not None:
            if self._rolled_back:
                yield encode_reset(known, Reason.UNKNOWN)
            self._previous, self._rolled_back = None, False
            yield from self._deliver_missed(known, answer.missed, answer.state.attempt)
            if not is_last:
                return
            yield from self._adopt(answer.state)
        elif self._previous is not None:
            self.state, self._previous, self._rolled_back = self._previous, None, True
            yield from self.catch_up()
            return
        else:
            self._rolled_back = False
            yield from self._replace(
                answer.state, answer.reset_reason(known.last) or Reason.UNKNOWN
            )
        if not self.ended:
            yield from self._continue(more=answer.more)

    def catch_up(self, *, has_more: bool = True) -> Iterator[Output]:
        """Read the log.

        Args:
            has_more: whether it has more than is known.
        """
        self._catching_up = True
        if self._reading:
            self._read_again = True
            return
        self._reading = True
        self._deferred_at_read = len(self._deferred)
        if self.state is None or has_more:
            yield Read(None if self.state is None else self.state.last)
        else:
            yield ReadIfChanged(self.state)

    def verify(self) -> Iterator[Output]:
        """Check whether the job still exists, unless it has changed since the preceding call.

        Publications are still accepted until the answer.
        """
        state = self.state
        if state is None or self._catching_up or self.ended or self._verifying:
            return
        if state.last != self._last_verified:
            self._last_verified = state.last
            return
        self._verifying, self._last_verified = True, ""
        yield CheckExistence(state)

    def verified(self, answer: CatchUp) -> Iterator[Output]:
        """Handle the answer to ``CheckExistence``."""
        self._verifying = False
        if self.ended or self.state is None:
            return
        if answer.state is None or self._is_another(answer.state):
            yield from self.lose()
        elif mark(answer.state) == mark(self.state):
            self._previous = None  # the log has the last event
        elif not self._catching_up:
            yield from self.catch_up()

    def lose(self) -> Iterator[Output]:
        """Accept no further publications: the job has vanished, or another one has its id."""
        self._catching_up = True
        yield Milestone.GONE

    def _unreadable(self, payload: bytes, why: str) -> Iterator[Output]:
        yield Dropped(why)
        if self._following and not self.ended and may_be_logged(payload):
            yield from self.catch_up()  # the log may hold it, even if it is unreadable here

    def _defer(self, entry: Entry) -> Iterator[Output]:
        """Keep a publication until the log has been read, and request that read."""
        if not self._following:
            return  # it may be for an earlier subscriber
        self._deferred = self._deferred or []
        self._deferred.append((entry, None if self.state is None else self.state.attempt))
        if not self._catching_up:
            yield from self.catch_up()

    def _accept(self, entry: Entry, attempt: int | None = None) -> Frame | Settle | None:
        """Return the output of a publication; None if the log has to be read first.

        The terminal event of a publish-only worker ends the attempt in which it arrived: another
        may have begun while the log was read.
        """
        state = self.state
        if state is None:
            return None
        if entry.id is None:
            if isinstance(entry.event, Terminal):
                return Settle(entry.event, state, attempt or state.attempt)
            return encode_entry(entry)
        if entry.prev != state.last or not is_after(entry.id, state.last):
            return None
        if type(entry.event) in TERMINAL_TYPES:
            return None  # only the log ends a job: see ``eventlog.catch_up``
        self._previous = state
        self.state = apply(state, entry)
        return encode(entry.name, entry.data, entry.id)  # ``encode_entry`` would be one call more

    def _continue(self, *, more: bool) -> Iterator[Output]:
        """Read again if there is more, else handle the deferred publications.

        One that arrived before the read and is not in the log was never appended.
        """
        if self._read_again or more:
            self._read_again = False
            yield from self.catch_up()
            return
        self._catching_up = False
        self.is_current = True
        yield Milestone.CURRENT
        deferred, self._deferred = self._deferred, _NONE
        for number, (entry, attempt) in enumerate(deferred):
            precedes_read = number < self._deferred_at_read
            if self._is_known(entry, precedes_read=precedes_read):
                continue
            output = None if self._catching_up else self._accept(entry, attempt)
            if output is not None:
                yield output
            elif precedes_read:
                yield Dropped(f"id {entry.id} is not in the log")
            else:
                self._deferred = self._deferred or []
                self._deferred.append((entry, attempt))
                if not self._catching_up:
                    yield from self.catch_up()

    def _is_known(self, entry: Entry, *, precedes_read: bool) -> bool:
        """Say whether the state includes a publication."""
        if entry.name == CREATED:
            return precedes_read  # the read was of the job that was created
        return bool(self.state and entry.id and not is_after(entry.id, self.state.last))

    def _deliver_missed(
        self, state: JobState, missed: Iterable[Entry], attempt: int
    ) -> Iterator[Output]:
        """Deliver missed entries, up to the end of the job's latest attempt.

        The state that was read with them confirms each end among them.
        """
        for entry in missed:
            after = self.state = apply(state, entry)
            if entry.event is not None:
                yield encode_entry(entry)
            if entry.is_terminal and state.attempt >= attempt:
                yield from self._conclude()
                return
            if entry.is_terminal:
                yield Milestone.ATTEMPT_ENDED
            state = after

    def _adopt(self, state: JobState) -> Iterator[Output]:
        """Adopt the state as read: it includes entries that were unreadable or missing."""
        if self.ended or self.state is None or self.state.last != state.last:
            return
        self.state = state
        if state.finished:
            yield encode_snapshot(state)
            yield from self._conclude()

    def _replace(self, state: JobState, reason: Reason) -> Iterator[Output]:
        """Adopt a state to which the log does not lead from the known one."""
        known, self.state = self.state, state
        if known is not None and known.last != state.last:
            yield encode_reset(state, reason)
        elif known is not None and state.finished:
            yield encode_snapshot(state)
        if state.finished:
            yield from self._conclude()

    def _conclude(self) -> Iterator[Output]:
        self.ended = self.is_current = True
        yield Milestone.ENDED

    def _is_another(self, state: JobState) -> bool:
        """Say whether a state is another job's with the same id."""
        return self.creation is not None and state.creation != self.creation
