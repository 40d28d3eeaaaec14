"""What the viewers saw of a job, and what there was to see."""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis

from schema.entry import Entry, entry_from_log
from schema.entry_id import position
from schema.state import JobState
from tests.support.stored import log_of, state_of

PROGRESS = "progress-update"
STEP = "step-change"
TERMINAL = ("complete", "failed")
RESET = "reset"
CONTROL = ("connected", RESET, "ping")
"""What a stream says of itself; it has no id of its own."""

FOREIGN = "private to somebody else"
"""What is in all events of a job that somebody else has under an id that was used before."""

Fields = dict[str, str]
"""Those of an entry in the log."""


@dataclass(frozen=True)
class Shown:
    """One event that a viewer was shown, and when (seconds of ``time.time``)."""

    at: float
    name: str
    data: Any
    id: str


@dataclass
class Visit:
    """One request of an EventSource.

    Attributes:
        cursor: the ``Last-Event-ID`` that was sent; empty for none.
        at: when (seconds of ``time.time``).
        status: of the answer; 0 when there was none.
        content_type: of the answer.
        shown: every event, those of the stream itself included.
    """

    cursor: str
    at: float = field(default_factory=time.time)
    status: int = 0
    content_type: str = ""
    shown: list[Shown] = field(default_factory=list)


@dataclass
class Source:
    """One EventSource, from its making to where it gives up."""

    visits: list[Visit] = field(default_factory=list)
    closed: bool = False

    @property
    def shown(self) -> list[Shown]:
        """Return the job's events, in the order in which they came."""
        return [each for visit in self.visits for each in visit.shown if each.name not in CONTROL]


@dataclass
class History:
    """One page that watches one job: its EventSources, one after the other.

    Attributes:
        viewer: a name for messages.
        job_id: the job.
        gone: whether it left before the end, so that nothing can be owed to it.
    """

    viewer: str
    job_id: str
    sources: list[Source] = field(default_factory=list)
    gone: bool = False


@dataclass(frozen=True)
class Truth:
    """A job as Redis has it in the end.

    Attributes:
        entries: its log, with what was cut off on the way unless data were lost.
        state: what the state hash says; None when there is no such job.
        confirmed: ids of the entries that the worker was told it had written.
        first: id of the first entry that was not cut off.
        owed: numbers of steps and custom events that had to wait and are in the log for certain.
        lost: whether Redis lost data on the way.
        foreign: ids of the entries of a job that somebody else has under the id since.
    """

    job_id: str
    entries: Sequence[Entry]
    state: JobState | None
    confirmed: Sequence[str] = ()
    first: str = "0-0"
    lost: bool = False
    foreign: Collection[str] = ()
    owed: Collection[int] = ()


async def read_truth(
    redis: Redis,
    job_id: str,
    confirmed: Sequence[str] = (),
    copied: Mapping[str, Fields] | None = None,
    *,
    lost: bool = False,
) -> Truth:
    """Read a job's log and state; ``copied`` is what was in the log earlier."""
    state = await state_of(redis, job_id)
    log = dict(await log_of(redis, job_id))
    whole = log if lost else {**(copied or {}), **log}
    entries = [entry_from_log(each, whole[each]) for each in sorted(whole, key=position)]
    known = JobState.from_hash(state) if state else None
    return Truth(job_id, entries, known, confirmed, next(iter(log), "0-0"), lost)


def truth_of_deleted(
    job_id: str, confirmed: Sequence[str], copied: Mapping[str, Fields], foreign: Collection[str]
) -> Truth:
    """Return the truth of a job that is gone, from what was in the log of its id earlier.

    Args:
        job_id: the job.
        confirmed: ids of the entries that the worker was told it had written.
        copied: what was in the log.
        foreign: the ids in it of a job that somebody else has under the id since.
    """
    own = {each: fields for each, fields in copied.items() if each not in foreign}
    entries = [entry_from_log(each, own[each]) for each in sorted(own, key=position)]
    return Truth(job_id, entries, None, confirmed, lost=True, foreign=foreign)
