"""One job, its actors and its viewers, with everything happening in any order.

Whatever the order, each viewer's events must tell one story: the snapshot, or every event after its
cursor, or every event of the attempt; once each, in order, up to the end of the attempt. Where that
can't be, a reset with the reason, and a snapshot to go on from.
"""

import asyncio
import json
from contextlib import ExitStack

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from actors.directory import Directory
from actors.mailbox import Ending
from actors.messages import Expire, Published, Subscribed
from schema.entry import Entry
from schema.entry_id import position
from schema.owner import Owner
from schema.resume import Beginning, From, Reason
from schema.state import JobState, apply
from tests.job_world import JOB, Feed, JobLog, Watcher, handled, publication
from tests.sse import Event

OWNER = Owner(None, "s1")
KINDS = ("fresh", "fresh", "seen", "seen", "seen", "any", "whole", "whole", "wrong", "malformed")
places = st.integers(0, 10**6)


class Watched(Watcher):
    """A viewer within its context."""

    def __init__(self, directory: Directory, cursor: Beginning) -> None:
        super().__init__(cursor)
        self._open = ExitStack()
        self._open.enter_context(directory.viewing(JOB, OWNER, self.mailbox, cursor))

    def leave(self) -> None:
        self._open.close()


class AnyOrder(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.runner.run(self._prepare())

    async def _prepare(self) -> None:
        self.log = JobLog(page=3)
        self.reads = 0
        self.feed = Feed()
        self.directory = Directory(self.feed, self.log)
        self.history: list[tuple[Entry, JobState]] = []
        self.on_the_way: list[object] = []
        self.connected = True
        self.followed: object = None
        self.here: list[Watched] = []
        self.all: list[Watched] = []
        self.lowest = (0, 0)
        self._note()

    def teardown(self) -> None:
        try:
            self.runner.run(self._come_to_rest())
            for watched in self.all:
                self._check_story(watched)
        finally:
            self.runner.run(self._all_leave())
            self.runner.close()
        assert len(self.directory) == 0
        assert self.feed.ref is None

    @rule()
    def the_job_goes_on(self) -> None:
        status = self.log.state.status
        if status == "queued":
            self._append(self.log.start())
        elif status == "running":
            self._append(self.log.progress(len(self.history) % 101))
        else:
            self._append(self.log.append("_retried"))

    @precondition(lambda self: self.log.state.status == "running")
    @rule(name=st.sampled_from(["note", "_cancel-requested", "step-change"]))
    def something_else_happens(self, name: str) -> None:
        data = {"progress": 1, "currentStep": "x", "estimatedTimeRemaining": None}
        if name == "_cancel-requested" and self.log.state.cancel_requested:
            return
        self._append(self.log.append(name, data if name == "step-change" else {"n": 1}))

    @precondition(lambda self: self.log.state.status == "running")
    @rule(name=st.sampled_from(["complete", "failed", "failed", "failed"]))
    def the_job_ends(self, name: str) -> None:
        data = {"result": {"a": 1}} if name == "complete" else {"error": "x", "errorCode": None}
        self._append(self.log.append(name, data))

    @precondition(lambda self: not self.log.state.finished)
    @rule()
    def the_log_is_cut(self) -> None:
        self.log.cut()
        self.lowest = position(self.log.entries[0].id or "")
        self.history.append((self.log.entries[0], self.log.state))
        self.the_job_goes_on()

    @rule(count=st.integers(1, 5))
    def publications_arrive(self, count: int) -> None:
        self.runner.run(self._arrive(count))

    @rule(place=places)
    def an_answer_is_read(self, place: int) -> None:
        unread = [question for question in self.log.questions if question.answer is None]
        if unread:
            question = unread[place % len(unread)]
            question.answer = self.log.read(question.cursor, question.most)

    @rule(place=places)
    def an_answer_arrives(self, place: int) -> None:
        if self.log.questions:
            self.runner.run(self._answer(place % len(self.log.questions)))

    @rule()
    def the_connection_is_lost(self) -> None:
        self.connected = False
        self.on_the_way.clear()

    @rule()
    def the_connection_is_back(self) -> None:
        self.connected = True
        self.followed = self.feed.ref
        if self.feed.ref is not None:
            self.on_the_way.append(Subscribed())

    @rule(place=places, kind=st.sampled_from(KINDS))
    def a_viewer_comes(self, place: int, kind: str) -> None:
        ids = [entry.id for entry, _ in self.history]
        cursor = {
            "fresh": None,
            "whole": From.START,
            "malformed": Reason.UNKNOWN,
            "seen": ids[-1 - place % min(6, len(ids))],
            "any": ids[place % len(ids)],
            "wrong": f"{place % (len(ids) + 3)}-5",
        }[kind]
        self.runner.run(self._come(cursor))

    @precondition(lambda self: self.here)
    @rule(place=places)
    def a_viewer_goes(self, place: int) -> None:
        self.runner.run(self._leave(self.here[place % len(self.here)]))

    @precondition(lambda self: self.all)
    @rule(place=places)
    def a_viewer_comes_back(self, place: int) -> None:
        seen = [watched.events[-1].id for watched in self.all if watched.events]
        if seen:
            self.runner.run(self._come(seen[place % len(seen)]))

    @rule()
    def time_passes(self) -> None:
        self.runner.run(self._expire())

    @precondition(lambda self: self.connected and self.feed.ref is not None)
    @rule()
    def somebody_publishes_an_invention(self) -> None:
        self.on_the_way.append(Published([publication("note", '{"invented":1}', "999-9")]))

    @invariant()
    def no_progress_is_shown_twice_or_out_of_order(self) -> None:
        for watched in self.here:
            ids = [position(event.id) for event in watched.events if event.name != "reset"]
            assert ids == sorted(set(ids)), watched.events

    def _append(self, payload: bytes) -> None:
        self._note()
        self._subscribe_if_asked()
        if self.connected and self.feed.ref is not None and payload:
            self.on_the_way.append(Published([payload]))

    def _note(self) -> None:
        entry = self.log.entries[-1]
        state = self.history[-1][1] if self.history else None
        self.history.append((entry, apply(state, entry)))

    def _subscribe_if_asked(self) -> None:
        if self.connected and self.feed.ref is not self.followed:
            self.followed = self.feed.ref
            if self.feed.ref is not None:
                self.on_the_way.append(Subscribed())

    def _next_payloads(self) -> list[bytes]:
        message = self.on_the_way.pop(0)
        assert isinstance(message, Published)
        return message.payloads

    def _read_together(self) -> bool:
        """Say whether the next one came in the same read: every other time, if it was published."""
        self.reads += 1
        return self.reads % 2 == 0 and isinstance(self.on_the_way[0], Published)

    async def _arrive(self, count: int) -> None:
        self._subscribe_if_asked()
        for _ in range(min(count, len(self.on_the_way))):
            if not self.on_the_way:
                return
            message = self.on_the_way.pop(0)
            while self.on_the_way and isinstance(message, Published) and self._read_together():
                message = Published([*message.payloads, *self._next_payloads()])
            ref = self.feed.ref
            if ref is not None:
                ref.tell(message)
                await handled(ref)

    async def _answer(self, place: int) -> None:
        question = self.log.questions.pop(place)
        answer = question.answer or self.log.read(question.cursor, question.most)
        if question.ref.is_alive():
            question.ref.tell(question.message(answer))
            await handled(question.ref)

    async def _come(self, cursor: Beginning) -> None:
        watched = Watched(self.directory, cursor)
        self.here.append(watched)
        self.all.append(watched)
        if self.feed.ref is not None:
            await handled(self.feed.ref)

    async def _leave(self, watched: Watched) -> None:
        ref = self.feed.ref
        self.here.remove(watched)
        watched.leave()
        if ref is not None:
            await handled(ref)

    async def _expire(self) -> None:
        reminders, self.log.reminders = self.log.reminders, []
        for _, ref, message in reminders:
            assert isinstance(message, Expire)
            if ref.is_alive():
                ref.tell(message)
                await handled(ref)

    async def _come_to_rest(self) -> None:
        if not self.connected:
            self.the_connection_is_back()
        self._subscribe_if_asked()
        for _ in range(1000):
            if not self.on_the_way and not self.log.questions:
                return
            await self._arrive(1)
            if self.log.questions:
                await self._answer(0)
        raise AssertionError("it never comes to rest")

    async def _all_leave(self) -> None:
        for watched in list(self.here):
            await self._leave(watched)
        await self._come_to_rest()
        await self._expire()

    def _check_story(self, watched: Watched) -> None:
        """Read a viewer's events from the first to the last.

        ``at`` is the place of the last entry that it has, in whichever way.
        """
        at = self._place_of(watched.cursor)
        anew = watched.cursor is None
        for number, event in enumerate(watched.events):
            if event.name == "reset":
                assert not anew
                self._check_reset(event, at, watched.cursor if number == 0 else From.START)
                anew = True
                continue
            if anew:
                place = self._place_of(event.id)
                assert place is not None, event
                assert at is None or at <= place, "it went back"
                self._check_snapshot(event, self.history[place][1])
                self._check_attempt(watched.events[:number], self.history[place][1])
            else:
                place = self._next(at) if number or at is not None else self._first_of(event)
                assert place is not None, (watched.cursor, watched.events)
                assert self._is(event, place), (watched.cursor, watched.events)
            at, anew = place, False
        assert not anew or not watched.events, "a snapshot is missing"
        self._check_end(watched, at)

    def _check_end(self, watched: Watched, at: int | None) -> None:
        if watched in self.here and watched.ending is None:
            if at is None:
                assert watched.cursor is From.START
                at = self._place_of(self.log.state.attempt_id)
            assert at is not None
            assert self._next(at) is None, "events were missed"
            assert not self.log.state.finished
        if watched.ending is Ending.FINISHED:
            assert at is None or self.history[at][1].finished or self._next(at) is None

    def _check_reset(self, event: Event, at: int | None, cursor: Beginning) -> None:
        """Check the reason for a reset of a viewer that had come to a place of the history."""
        reason, attempt = Reason(event.data["reason"]), event.data["attempt"]
        if at is None and cursor is From.START:
            assert reason is Reason.TRIMMED
        elif at is None:
            assert reason in {Reason.UNKNOWN, *self._guesses(cursor)}
        elif reason is Reason.ATTEMPT:
            assert self.history[at][1].attempt < attempt
        else:
            assert reason is Reason.TRIMMED
            assert position(self.history[at][0].id or "") < self.lowest

    def _guesses(self, cursor: Beginning) -> set[Reason]:
        """Return what may be said of an id that never was, but whose place was trimmed."""
        was_trimmed = isinstance(cursor, str) and (1, 0) <= position(cursor) < self.lowest
        return {Reason.ATTEMPT, Reason.TRIMMED} if was_trimmed else set()

    def _check_attempt(self, before: list[Event], state: JobState) -> None:
        """Check that a reset named the attempt of its snapshot."""
        if before and before[-1].name == "reset":
            assert before[-1].data["attempt"] == state.attempt

    def _first_of(self, event: Event) -> int | None:
        """Return the place of an event, if it is the first of its attempt that is shown."""
        place = self._place_of(event.id)
        assert place is not None, event
        begun = self._place_of(self.history[place][1].attempt_id)
        return self._next(begun)

    def _place_of(self, entry_id: Beginning) -> int | None:
        ids = [entry.id for entry, _ in self.history]
        return ids.index(entry_id) if entry_id in ids else None

    def _next(self, at: int | None) -> int | None:
        """Return the place of the next event that a viewer is to see."""
        if at is None:
            return None
        shown = (
            n for n in range(at + 1, len(self.history)) if self.history[n][0].event is not None
        )
        return next(shown, None)

    def _is(self, event: Event, at: int) -> bool:
        entry = self.history[at][0]
        return (event.id, event.name, event.data) == (entry.id, entry.name, json.loads(entry.line))

    def _check_snapshot(self, event: Event, state: JobState) -> None:
        name, line = state.snapshot()
        assert (event.name, event.data) == (name, json.loads(line))


def test_every_viewer_gets_one_story_whatever_the_order() -> None:
    run_state_machine_as_test(AnyOrder, settings=settings(max_examples=60, stateful_step_count=60))
