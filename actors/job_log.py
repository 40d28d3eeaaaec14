"""A job's log as its actor knows it: publications and answers in, frames and questions out.

A publication is believed when it says that it follows the last entry that is known (``prev``),
unless it ends the job. Anything else, after a reconnect too, raises a question, and the log
decides: a gap is filled, a duplicate ignored, an invention dropped, lost data answered with a new
snapshot. An invention that was believed is taken back in the same way.

A job may also vanish, and its id be used again, while the connection lives. Then the channel is
silent, or says that a job was created, or brings what does not follow. The log is looked at in the
last two cases, and in the first one after a while; another creation's events are never passed on.

There is no I/O in here, and no actor: whoever holds it carries out what comes out of it.
"""

from collections.abc import Iterable, Iterator
from enum import Enum

from msgspec import Struct

from eventlog.catch_up import CatchUp, mark
from eventlog.publication import decode_publication, may_be_logged
from schema.entry import CREATED, Entry
from schema.entry_id import is_after
from schema.events import TERMINAL, InvalidEvent, Terminal
from schema.resume import Reason
from schema.sse import Frame, encode, encode_entry, encode_reset, encode_snapshot
from schema.state import Creation, JobState, apply


class Read(Struct, frozen=True):
    """Ask what the log has after an entry, or for the state alone; ``caught_up`` takes the answer.

    It costs one round trip, and is asked when the log must have more: after a gap and at an end.
    """

    cursor: str | None


class Look(Struct, frozen=True):
    """Ask the same if the job is no longer as it is known, which it mostly is."""

    known: JobState


class Check(Struct, frozen=True):
    """Ask whether the job is still as it is known; ``verified`` takes the answer."""

    known: JobState


class Settle(Struct, frozen=True):
    """Append the end that a publish-only worker published in an attempt."""

    event: Terminal
    known: JobState
    attempt: int


class Dropped(Struct, frozen=True):
    """A publication was invalid, or an invention."""

    why: str


class Milestone(Enum):
    """What has become of the job."""

    KNOWN = "known"
    """Its state is known: viewers that waited for that may be shown it."""

    ATTEMPT_ENDED = "attempt-ended"
    """Live viewers were shown the end of their attempt; another one has begun already."""

    ENDED = "ended"
    """Live viewers were shown the end of the job."""

    GONE = "gone"
    """Redis has it no longer, or has another one under its id."""


Output = Frame | Read | Look | Check | Settle | Dropped | Milestone
"""What is to be done: a frame goes to the live viewers."""


class FollowedLog:
    """Follows one job.

    What a method returns is carried out one by one, each before the next is asked for: ``state`` is
    what it was when the output was made.

    Args:
        state: the job's as it was read just before. If it had finished it was retried since, so
            that it says no more than which creation is followed.

    Attributes:
        state: the job's as far as it is known.
        known: whether ``state`` may be shown.
        over: whether the end of the job is known.
    """

    __slots__ = (
        *("_ask_again", "_asked", "_before", "_creation", "_following", "_looking", "_returned"),
        *("_seen_last", "_unsettled", "_unsettled_when_asked", "_verifying"),
        *("known", "over", "state"),
    )

    def __init__(self, state: JobState | None) -> None:
        self.state = None if state is None or state.finished else state
        self.known = self.over = False
        self._creation: Creation | None = None if state is None else state.creation
        self._before: JobState | None = None  # what is returned to if the log denies the last event
        self._returned = False
        self._following = False
        self._looking = True  # until the first ``subscribed`` was answered events may be missed
        self._asked = False
        self._ask_again = False
        self._unsettled: list[tuple[Entry, int | None]] = []  # and the attempt in which each came
        self._unsettled_when_asked = 0
        self._seen_last = ""  # the last entry when ``verify`` was called before, unless it asked
        self._verifying = False

    def published(self, payload: bytes) -> Iterable[Output]:
        """Take what arrived on the channel."""
        try:
            entry = decode_publication(payload)
        except InvalidEvent as error:
            return self._unreadable(payload, str(error))
        if not self._looking:
            output = self._believe(entry)
            if output is not None:
                return (output,)
        return self._set_aside(entry)

    def subscribed(self) -> Iterator[Output]:
        """Learn that the channel is followed; what was published before may have been missed."""
        self._following = True
        return self._look()

    def caught_up(self, answer: CatchUp, *, whole: bool = True) -> Iterator[Output]:
        """Take the answer to a question.

        Args:
            answer: what was read; a large answer may be given part by part.
            whole: whether this was the last part.
        """
        self._asked = not whole
        if self.over:
            return
        known = self.state
        if answer.state is None or self._is_another(answer.state):
            yield from self._lose()
            return
        if known is None:
            self._creation = answer.state.creation
            yield from self._replace(answer.state, Reason.UNKNOWN)
        elif answer.missed is not None:
            if self._returned:
                yield encode_reset(known, Reason.UNKNOWN)
            self._before, self._returned = None, False
            yield from self._make_good(known, answer.missed, answer.state.attempt)
            if not whole:
                return
            yield from self._adopt(answer.state)
        elif self._before is not None:
            self.state, self._before, self._returned = self._before, None, True
            yield from self.catch_up()
            return
        else:
            self._returned = False
            yield from self._replace(
                answer.state, answer.reset_reason(known.last) or Reason.UNKNOWN
            )
        if not self.over:
            yield from self._go_on(more=answer.more)

    def catch_up(self) -> Iterator[Output]:
        """Ask the log, which has more than is known."""
        return self._look(has_more=True)

    def verify(self) -> Iterator[Output]:
        """Ask whether the job is still there, if nothing has shown that since the call before.

        What is published meanwhile need not wait for the answer.
        """
        state = self.state
        if state is None or self._looking or self.over or self._verifying:
            return
        if state.last != self._seen_last:
            self._seen_last = state.last
            return
        self._verifying, self._seen_last = True, ""
        yield Check(state)

    def verified(self, answer: CatchUp) -> Iterator[Output]:
        """Take the answer to ``Check``."""
        self._verifying = False
        if self.over or self.state is None:
            return
        if answer.state is None or self._is_another(answer.state):
            yield from self._lose()
        elif mark(answer.state) != mark(self.state) and not self._looking:
            yield from self.catch_up()

    def pass_nothing_on(self) -> None:
        """Set aside whatever still arrives."""
        self._looking = True

    def _unreadable(self, payload: bytes, why: str) -> Iterator[Output]:
        yield Dropped(why)
        if self._following and not self.over and may_be_logged(payload):
            yield from self.catch_up()  # the script appends what we do not read, the job's end too

    def _set_aside(self, entry: Entry) -> Iterator[Output]:
        """Keep what can't be judged before the log was read, and have that done."""
        if not self._following:
            return  # it may be meant for whoever followed before
        self._unsettled.append((entry, None if self.state is None else self.state.attempt))
        if not self._looking:
            yield from self.catch_up()

    def _believe(self, entry: Entry, attempt: int | None = None) -> Frame | Settle | None:
        """Return what a publication amounts to; None if only the log can tell.

        The end that a publish-only worker published is that of the attempt in which it came: while
        the log was read, another may have begun.
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
        if type(entry.event) in TERMINAL:
            return None
        self._before = state
        self.state = apply(state, entry)
        return encode(entry.name, entry.data, entry.id)

    def _look(self, *, has_more: bool = False) -> Iterator[Output]:
        self._looking = True
        if self._asked:
            self._ask_again = True
            return
        self._asked = True
        self._unsettled_when_asked = len(self._unsettled)
        if self.state is None or has_more:
            yield Read(None if self.state is None else self.state.last)
        else:
            yield Look(self.state)

    def _go_on(self, *, more: bool) -> Iterator[Output]:
        """Ask again if the answer was not the last word, else judge what arrived meanwhile.

        What had arrived before the question and is not in the answer was never appended.
        """
        if self._ask_again or more:
            self._ask_again = False
            yield from self.catch_up()
            return
        self._looking = False
        self.known = True
        yield Milestone.KNOWN
        unsettled, self._unsettled = self._unsettled, []
        for number, (entry, attempt) in enumerate(unsettled):
            was_asked_for = number < self._unsettled_when_asked
            if self._is_known(entry, was_asked_for=was_asked_for):
                continue
            output = None if self._looking else self._believe(entry, attempt)
            if output is not None:
                yield output
            elif was_asked_for:
                yield Dropped(f"id {entry.id} is not in the log")
            else:
                self._unsettled.append((entry, attempt))
                if not self._looking:
                    yield from self.catch_up()

    def _is_known(self, entry: Entry, *, was_asked_for: bool) -> bool:
        """Say whether the log has told already what a publication said."""
        if entry.name == CREATED:
            return was_asked_for  # the answer is of what was created
        return bool(self.state and entry.id and not is_after(entry.id, self.state.last))

    def _make_good(
        self, state: JobState, missed: Iterable[Entry], attempt: int
    ) -> Iterator[Output]:
        """Deliver what the log has more, up to the end of the job's latest attempt."""
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
        """Take the state for what it is: it tells more than entries that can't be read, or lack."""
        if self.over or self.state is None or self.state.last != state.last:
            return
        self.state = state
        if state.finished:
            yield encode_snapshot(state)
            yield from self._conclude()

    def _replace(self, state: JobState, reason: Reason) -> Iterator[Output]:
        known, self.state = self.state, state
        if known is not None and known.last != state.last:
            yield encode_reset(state, reason)
        if state.finished:
            yield from self._conclude()

    def _conclude(self) -> Iterator[Output]:
        self.over = self.known = True
        yield Milestone.ENDED

    def _lose(self) -> Iterator[Output]:
        self.pass_nothing_on()
        yield Milestone.GONE

    def _is_another(self, state: JobState) -> bool:
        """Say whether a state is of another job that was created under the same id."""
        return self._creation is not None and state.creation != self._creation
