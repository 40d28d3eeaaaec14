"""The promises, as pure functions over histories. What they return are the broken ones, as text."""

import json
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from schema.entry import Entry
from schema.entry_id import position
from schema.events import ProgressUpdate, StepChange
from schema.state import JobState, apply
from tests.faults.history import (
    FOREIGN,
    PROGRESS,
    RESET,
    STEP,
    TERMINAL,
    History,
    Shown,
    Source,
    Truth,
    Visit,
)

_SEEN = 204
_UNKNOWN = 404


def violations(history: History, truth: Truth) -> list[str]:
    """Say what a page was shown, or was not, against the promises."""
    log = _Log(truth)
    found = [
        f"{history.viewer}: {text}"
        for source in history.sources
        for text in _Reading(log, source).violations()
    ]
    if not history.gone:
        found += (f"{history.viewer}: {text}" for text in _at_the_end(history, log))
    return found


def truth_violations(truth: Truth) -> list[str]:
    """Say where a job's log breaks its promises, whoever watched."""
    return [f"job {truth.job_id}: {text}" for text in _of_the_log(_Log(truth))]


class _Log:
    """The log, with what it amounts to after each of its entries."""

    def __init__(self, truth: Truth) -> None:
        self.truth = truth
        self.entries = list(truth.entries)
        self.states: list[JobState] = []
        for entry in self.entries:
            self.states.append(apply(self.states[-1] if self.states else None, entry))
        self.place = {str(entry.id): number for number, entry in enumerate(self.entries)}

    def state(self, entry_id: str) -> JobState:
        return self.states[self.place[entry_id]]

    def is_entry(self, shown: Shown) -> bool:
        entry = self.entries[self.place[shown.id]]
        return shown.name == entry.name and shown.data == json.loads(entry.data)

    def is_snapshot(self, shown: Shown) -> bool:
        name, line = self.state(shown.id).snapshot()
        return shown.name == name and shown.data == json.loads(line)

    def between(self, one: str, other: str) -> list[Entry]:
        """Return what viewers are owed of the entries between two."""
        after, before = position(one), position(other)
        inside = (e for e in self.entries if after < position(str(e.id)) < before)
        return [entry for entry in inside if entry.event is not None]


class _Reading:
    """What one EventSource was shown, read from its first event to its last."""

    def __init__(self, log: _Log, source: Source) -> None:
        self._log = log
        self._source = source
        self._lost = log.truth.lost
        self._last: Shown | None = None
        self._progress: Shown | None = None
        self._reset: Shown | None = None
        self._anew = True
        self._ends = Counter[int]()

    def violations(self) -> Iterator[str]:
        for visit in self._source.visits:
            yield from self._answer(visit)
            yield from self._order_within(visit)
            self._anew, self._reset = not visit.cursor, None
            for shown in visit.shown:
                if self._is_foreign(shown):
                    yield f"was shown {_named(shown)} of somebody else's job: {shown.data}"
                elif shown.name == RESET:
                    yield from self._told_to_begin_anew(shown)
                elif shown.name != "connected":
                    yield from self._event(shown)
        for attempt, times in self._ends.items():
            if times > 1:
                yield f"attempt {attempt} ended {times} times"

    def _is_foreign(self, shown: Shown) -> bool:
        return shown.id in self._log.truth.foreign or FOREIGN in json.dumps(shown.data)

    def _answer(self, visit: Visit) -> Iterator[str]:
        match visit.status:
            case 0:
                pass
            case 200:
                if visit.content_type.partition(";")[0] != "text/event-stream":
                    yield f"was given {visit.content_type} for a stream"
            case 204:
                if self._last is None or self._last.name not in TERMINAL:
                    yield "was told that it had seen the end, and had not"
            case 404:
                if self._log.truth.state is not None:
                    yield "was told that there is no such job"
            case status:
                if visit.cursor:
                    yield f"was refused for good with {status} as it came back"

    def _order_within(self, visit: Visit) -> Iterator[str]:
        names = [shown.name for shown in visit.shown]
        if names and names[0] != "connected":
            yield f"was greeted with {names[0]}"
        if "connected" in names[1:]:
            yield "was greeted twice"
        for one, other in pairwise(names):
            if one in TERMINAL:
                yield f"was shown {other} after {one} in one response"

    def _told_to_begin_anew(self, shown: Shown) -> Iterator[str]:
        """Look at a reset: it voids what was shown before, and nothing else does."""
        if self._anew:
            yield f"was told {shown.data}, and had seen nothing that it could void"
        self._anew, self._reset = True, shown
        last = self._last
        if self._lost or last is None or last.id not in self._log.place:
            return
        match shown.data["reason"]:
            case "attempt":
                if self._log.state(last.id).attempt >= shown.data["attempt"]:
                    yield f"was told {shown.data} after {_named(last)}, which is of that attempt"
            case "trimmed":
                if position(last.id) >= position(self._log.truth.first):
                    yield f"was told {shown.data} after {_named(last)}, which the log still has"
            case _:
                yield f"was told {shown.data} after {_named(last)}, which is in the log"

    def _event(self, shown: Shown) -> Iterator[str]:
        last, self._last = self._last, shown
        anew, self._anew = self._anew, False
        if shown.id not in self._log.place:
            if not self._lost:
                yield f"was shown {_named(shown)}, which is not in the log"
            return
        is_snapshot = anew and self._log.is_snapshot(shown)
        # Redis forgot what followed: that an attempt had ended may be told again.
        is_back = self._lost and is_snapshot and last is not None and _is_before(shown, last)
        if anew:
            yield from self._begun(shown, is_snapshot=is_snapshot)
        elif not self._log.is_entry(shown):
            yield f"was shown {_named(shown)} with {shown.data}, which the log does not say"
        if last is not None and position(shown.id) <= position(last.id):
            if not (self._lost and is_snapshot):
                yield f"was shown {_named(shown)} after {_named(last)}"
        elif last is not None and not anew:
            yield from self._gap(last, shown)
        yield from self._reported(shown, is_snapshot=is_snapshot)
        if shown.name in TERMINAL and not is_back:
            yield from self._ended(shown, is_all=is_snapshot)

    def _begun(self, shown: Shown, *, is_snapshot: bool) -> Iterator[str]:
        if not is_snapshot:
            yield f"began with {_named(shown)}, which is no snapshot"
        reset = self._reset
        if reset is not None and reset.data["attempt"] != self._log.state(shown.id).attempt:
            yield f"was told {reset.data}, and shown the state {shown.id} of another attempt"

    def _gap(self, last: Shown, shown: Shown) -> Iterator[str]:
        for entry in self._log.between(last.id, shown.id):
            if entry.name != PROGRESS:
                yield f"was never shown {entry.name} {entry.id}, but then {_named(shown)}"

    def _reported(self, shown: Shown, *, is_snapshot: bool) -> Iterator[str]:
        if shown.name not in (PROGRESS, STEP):
            return
        before, self._progress = self._progress, shown
        if before is None or shown.name == STEP or is_snapshot:
            return
        if shown.data["progress"] < before.data["progress"]:
            yield f"saw progress fall from {before.data} to {shown.data} at {shown.id}"

    def _ended(self, shown: Shown, *, is_all: bool) -> Iterator[str]:
        """Look at an end; ``is_all`` says that nothing of the attempt was owed before it."""
        state = self._log.state(shown.id)
        self._ends[state.attempt] += 1
        if is_all:
            return
        reports = [
            str(entry.id)
            for entry, after in zip(self._log.entries, self._log.states, strict=True)
            if entry.name in (PROGRESS, STEP) and after.attempt == state.attempt
        ]
        newest = self._progress
        if reports and (newest is None or position(newest.id) < position(reports[-1])):
            yield f"was shown the end {shown.id} without the newest progress {reports[-1]}"


def _at_the_end(history: History, log: _Log) -> Iterator[str]:
    state = log.truth.state
    last = history.sources[-1] if history.sources else Source()
    statuses = [visit.status for visit in last.visits]
    if not last.closed:
        yield f"still waits in the end, after {statuses[-5:]}"
    elif state is None:
        if statuses[-1:] != [_UNKNOWN]:
            yield f"was told {statuses[-1:]} of a job that is lost"
    elif statuses[-1:] != [_SEEN]:
        yield f"ended with {statuses[-1:]}"
    if state is not None:
        ends = [shown.id for shown in last.shown if shown.name in TERMINAL]
        # Who was told an end that Redis lost afterwards is gone when there is another one.
        is_lost = log.truth.lost and any(end not in log.place for end in ends[-1:])
        if ends[-1:] != [state.last] and not is_lost:
            yield f"was shown {ends[-1:]} as the end of the job, which is {state.last}"


def _of_the_log(log: _Log) -> Iterator[str]:
    truth = log.truth
    if truth.state is None:
        if not truth.lost:
            yield "is lost"
        return
    if not log.states or log.states[-1] != truth.state:
        yield f"the state is {truth.state}, the log amounts to {log.states[-1:]}"
    if not truth.lost:
        missing = [each for each in truth.confirmed if each not in log.place]
        yield from (f"{each} was confirmed and is not in the log" for each in missing)
    if not truth.state.finished:
        yield f"has not ended: {truth.state.status}"
    numbers = Counter(_number(entry) for entry in log.entries)
    yield from (f"note {n} is {c} times in the log" for n, c in numbers.items() if n and c > 1)
    yield from _of_the_order(truth)
    ends = Counter(
        state.attempt
        for entry, state in zip(log.entries, log.states, strict=True)
        if entry.is_terminal
    )
    yield from (f"attempt {n} has {count} ends" for n, count in ends.items() if count > 1)
    for before, (entry, state) in zip(
        log.states, list(zip(log.entries, log.states, strict=True))[1:], strict=False
    ):
        if isinstance(entry.event, ProgressUpdate) and state.progress < before.progress:
            yield f"progress falls from {before.progress} to {state.progress} at {entry.id}"


def _of_the_order(truth: Truth) -> Iterator[str]:
    """Look at what one worker has numbered, whatever kind of event that is."""
    given = [json.loads(entry.data).get("n") for entry in truth.entries if entry.event is not None]
    numbers = [number for number in given if isinstance(number, int)]
    for one, other in pairwise(numbers):
        if other <= one:
            yield f"event {other} comes after {one} in the log"
    if not truth.lost:
        missing = sorted(set(truth.owed) - set(numbers))
        yield from (f"event {n} had to wait, and is not in the log" for n in missing)


def _number(entry: Entry) -> Any:  # noqa: ANN401 - of JSON
    if entry.event is None or isinstance(entry.event, ProgressUpdate | StepChange):
        return None
    return json.loads(entry.data).get("n")


def _is_before(shown: Shown, other: Shown) -> bool:
    return position(shown.id) < position(other.id)


def _named(shown: Shown) -> str:
    return f"{shown.name} {shown.id}"
