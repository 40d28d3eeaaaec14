"""One job, its actors and its viewers, with everything happening in any order.

Whatever the order, each viewer's events must tell one story: the snapshot, or every event after its
cursor, or every event of the attempt; once each, in order, up to the end of the attempt. Where that
can't be, a reset with the reason, and a snapshot to go on from. When the job vanishes, or another
one is created under its id, its viewers are sent back, and see nothing of that one.
"""

import asyncio
import json
from contextlib import ExitStack
from dataclasses import dataclass, field

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
from actors.job_actor import LINGER_S
from actors.mailbox import Ending
from actors.messages import Expire
from actors.runtime import LoopInbox
from eventlog.channel import Published, Subscribed
from schema.entry import Entry
from schema.entry_id import position
from schema.resume import Beginning, From, Reason
from schema.state import JobState, apply
from tests.support.job_world import JOB, Feed, JobLog, Watcher, handled, publication
from tests.support.sse import Event

SAID = "said"
"""What a publish-only worker says."""

KINDS = ("fresh", "fresh", "seen", "seen", "seen", "any", "whole", "whole", "wrong", "malformed")
places = st.integers(0, 10**6)


@dataclass
class Life:
    """One of the jobs that have the id, one after the other.

    Attributes:
        number: tells its events from those of others, whose ids may be the same.
        history: its entries, and what each amounts to.
        lowest: where its log begins.
    """

    number: int
    history: list[tuple[Entry, JobState]] = field(default_factory=list)
    lowest: tuple[int, int] = (0, 0)


class Watched(Watcher):
    """A viewer: first its request, for which the state was read, then its context."""

    def __init__(self, life: Life, state: JobState, cursor: Beginning) -> None:
        super().__init__(cursor)
        self.life = life
        self._state = state
        self._open = ExitStack()

    def enter(self, directory: Directory) -> None:
        self._open.enter_context(directory.viewing(JOB, self._state, self.mailbox, self.cursor))

    def leave(self) -> None:
        self._open.close()

    @property
    def story(self) -> list[Event]:
        """Return what it was sent of the log."""
        return [event for event in self.events if event.name != SAID]


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
        self.reminders: list[tuple[LoopInbox, object]] = []
        self.directory.remind = self._remind  # type: ignore[method-assign]
        self.life = Life(1)
        self.on_the_way: list[object] = []
        self.connected = True
        self.followed: object = None
        self.here: list[Watched] = []
        self.all: list[Watched] = []
        self.coming: list[Watched] = []
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
        assert self.feed.inbox is None

    @precondition(lambda self: not self.log.gone)
    @rule()
    def the_job_goes_on(self) -> None:
        status, life = self.log.state.status, self.life
        if status == "queued":
            self._append(self.log.start(life=life.number))
        elif status == "running":
            self._append(self.log.progress(len(life.history) % 101, life=life.number))
        else:
            self._append(self.log.append("_retried"))

    @precondition(lambda self: not self.log.gone)
    @rule()
    def the_job_vanishes(self) -> None:
        self.log.gone = True

    @rule(same_owner=st.booleans())
    def another_job_gets_its_id(self, *, same_owner: bool) -> None:
        """Its first entry has another id, or its owner is another one: one of the two suffices."""
        self.log.gone = True
        self.life = Life(self.life.number + 1)
        if same_owner:
            self._append(self.log.create("s1", after=100 * self.life.number))
        else:
            self._append(self.log.create(f"s{self.life.number}", after=0))

    @precondition(lambda self: not self.log.gone)
    @rule()
    def a_publish_only_worker_says_something(self) -> None:
        self._publish(publication(SAID, json.dumps({"life": self.life.number})))

    @precondition(lambda self: self._runs())
    @rule(name=st.sampled_from(["note", "_cancel-requested", "step-change"]))
    def something_else_happens(self, name: str) -> None:
        number = self.life.number
        data = {"progress": 1, "currentStep": "x", "estimatedTimeRemaining": None, "life": number}
        if name == "_cancel-requested" and self.log.state.cancel_requested:
            return
        self._append(self.log.append(name, data if name == "step-change" else {"n": number}))

    @precondition(lambda self: self._runs())
    @rule(name=st.sampled_from(["complete", "failed", "failed", "failed"]))
    def the_job_ends(self, name: str) -> None:
        life = str(self.life.number)
        data = {"result": life} if name == "complete" else {"error": life, "errorCode": None}
        self._append(self.log.append(name, data))

    @precondition(lambda self: not self.log.gone and not self.log.state.finished)
    @rule()
    def the_log_is_cut(self) -> None:
        self.log.cut()
        self.life.lowest = position(self.log.entries[0].id or "")
        self.life.history.append((self.log.entries[0], self.log.state))
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
        """Confirm the subscription: after a loss, or anew, as for a slot that is being moved."""
        self._subscribe_if_asked()  # a new actor's own confirmation comes first
        self.connected = True
        self.followed = self.feed.inbox
        if self.feed.inbox is not None:
            self.on_the_way.append(Subscribed())

    @precondition(lambda self: not self.log.gone)
    @rule(
        place=places,
        kind=st.sampled_from(KINDS),
        late=st.sampled_from([False, False, False, True]),
    )
    def a_viewer_comes(self, place: int, kind: str, *, late: bool) -> None:
        ids = [entry.id for entry, _ in self.life.history]
        cursor = {
            "fresh": None,
            "whole": From.START,
            "malformed": Reason.UNKNOWN,
            "seen": ids[-1 - place % min(6, len(ids))],
            "any": ids[place % len(ids)],
            "wrong": f"{place % (len(ids) + 3)}-5",
        }[kind]
        watched = self._admitted(cursor)
        if late:
            self.coming.append(watched)
        else:
            self.runner.run(self._come(watched))

    @precondition(lambda self: self.coming)
    @rule(place=places)
    def a_viewer_that_was_admitted_before_comes(self, place: int) -> None:
        self.runner.run(self._come(self.coming.pop(place % len(self.coming))))

    @precondition(lambda self: self.here)
    @rule(place=places)
    def a_viewer_goes(self, place: int) -> None:
        self.runner.run(self._leave(self.here[place % len(self.here)]))

    @precondition(lambda self: self.all and not self.log.gone)
    @rule(place=places)
    def a_viewer_comes_back(self, place: int) -> None:
        seen = [watched.events[-1].id for watched in self.all if watched.events]
        cursors = [each for each in seen if _place_of(self.life, each) is not None]
        if cursors:
            self.runner.run(self._come(self._admitted(cursors[place % len(cursors)])))

    @rule()
    def time_passes(self) -> None:
        self.runner.run(self._expire())

    @rule()
    def all_is_quiet_for_a_while(self) -> None:
        self.runner.run(self._hear_all())

    @rule()
    def an_actor_has_its_turn_to_verify_its_job(self) -> None:
        self.runner.run(self._verify())

    @precondition(lambda self: self.connected and self.feed.inbox is not None)
    @rule()
    def somebody_publishes_an_invention(self) -> None:
        self.on_the_way.append(Published([publication("note", '{"invented":1}', "999-9")]))

    @invariant()
    def no_progress_is_shown_twice_or_out_of_order(self) -> None:
        for watched in self.here:
            ids = [position(event.id) for event in watched.story if event.name != "reset"]
            assert ids == sorted(set(ids)), watched.events

    @invariant()
    def nobody_is_shown_anything_of_another_job(self) -> None:
        for watched in self.all:
            for event in watched.events:
                life = event.data.get("life", watched.life.number)
                assert life == watched.life.number, (watched.life, watched.events)

    def _runs(self) -> bool:
        return not self.log.gone and self.log.state.status == "running"

    def _append(self, payload: bytes) -> None:
        self._note()
        self._publish(payload)

    def _publish(self, payload: bytes) -> None:
        self._subscribe_if_asked()
        if self.connected and self.feed.inbox is not None and payload:
            self.on_the_way.append(Published([payload]))

    def _note(self) -> None:
        entry, history = self.log.entries[-1], self.life.history
        state = history[-1][1] if history else None
        history.append((entry, apply(state, entry)))

    def _admitted(self, cursor: Beginning) -> Watched:
        """Return a viewer whose request has just read the state."""
        return Watched(self.life, self.log.state, cursor)

    def _subscribe_if_asked(self) -> None:
        if self.connected and self.feed.inbox is not self.followed:
            self.followed = self.feed.inbox
            # A confirmation is for the actor that asked.
            self.on_the_way = [each for each in self.on_the_way if isinstance(each, Published)]
            if self.feed.inbox is not None:
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
            inbox = self.feed.inbox
            if inbox is not None:
                inbox.tell(message)
                await handled(inbox)

    async def _answer(self, place: int) -> None:
        question = self.log.questions.pop(place)
        answer = question.answer or self.log.read(question.cursor, question.most)
        question.given(answer)
        await handled(question.inbox)

    async def _come(self, watched: Watched) -> None:
        watched.enter(self.directory)
        self.here.append(watched)
        self.all.append(watched)
        if self.feed.inbox is not None:
            await handled(self.feed.inbox)

    async def _leave(self, watched: Watched) -> None:
        inbox = self.feed.inbox
        self.here.remove(watched)
        watched.leave()
        if inbox is not None:
            await handled(inbox)

    async def _expire(self) -> None:
        reminders, self.reminders = self.reminders, []
        for inbox, message in reminders:
            assert isinstance(message, Expire)
            if inbox.is_open():
                inbox.tell(message)
                await handled(inbox)

    def _remind(self, delay_s: float, inbox: LoopInbox, message: object) -> None:
        assert delay_s == LINGER_S
        self.reminders.append((inbox, message))

    async def _verify(self) -> None:
        self.directory._verify_next()
        if self.feed.inbox is not None:
            await handled(self.feed.inbox)

    async def _come_to_rest(self) -> None:
        if not self.connected:
            self.the_connection_is_back()
        self._subscribe_if_asked()
        for _ in range(3):
            await self._hear_all()
            await self._verify()
        await self._hear_all()

    async def _hear_all(self) -> None:
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
        life, story = watched.life, watched.story
        at = _place_of(life, watched.cursor)
        anew = watched.cursor is None
        for number, event in enumerate(story):
            if event.name == "reset":
                assert not anew
                _check_reset(life, event, at, watched.cursor if number == 0 else From.START)
                anew = True
                continue
            if anew:
                place = _place_of(life, event.id)
                assert place is not None, event
                assert at is None or at <= place, "it went back"
                _check_snapshot(event, life.history[place][1])
                _check_attempt(story[:number], life.history[place][1])
            else:
                place = _next(life, at) if number or at is not None else _first_of(life, event)
                assert place is not None, (watched.cursor, watched.events)
                assert _is(event, life.history[place][0]), (watched.cursor, watched.events)
            at, anew = place, False
        assert not anew or not story, "a snapshot is missing"
        self._check_end(watched, at)

    def _check_end(self, watched: Watched, at: int | None) -> None:
        life = watched.life
        if watched.ending is Ending.FINISHED:
            assert at is None or life.history[at][1].finished or _next(life, at) is None
        if watched not in self.here or watched.ending is not None:
            return
        assert life is self.life, "it watches a job that is gone"
        assert not self.log.gone
        if at is None:
            assert watched.cursor is From.START
            at = _place_of(life, self.log.state.attempt_id)
        assert at is not None
        assert _next(life, at) is None, "events were missed"
        assert not self.log.state.finished


def _check_reset(life: Life, event: Event, at: int | None, cursor: Beginning) -> None:
    """Check the reason for a reset of a viewer that had come to a place of the history."""
    reason, attempt = Reason(event.data["reason"]), event.data["attempt"]
    if at is None and cursor is From.START:
        # The attempt may have been trimmed, and be over, before any of it was shown.
        assert reason is Reason.TRIMMED or (reason is Reason.ATTEMPT and attempt > 1)
    elif at is None:
        assert reason in {Reason.UNKNOWN, *_guesses(life, cursor)}
    elif reason is Reason.ATTEMPT:
        assert life.history[at][1].attempt < attempt
    else:
        assert reason is Reason.TRIMMED
        assert position(life.history[at][0].id or "") < life.lowest


def _guesses(life: Life, cursor: Beginning) -> set[Reason]:
    """Return what may be said of an id that never was, but whose place was trimmed."""
    was_trimmed = isinstance(cursor, str) and (1, 0) <= position(cursor) < life.lowest
    return {Reason.ATTEMPT, Reason.TRIMMED} if was_trimmed else set()


def _check_attempt(before: list[Event], state: JobState) -> None:
    """Check that a reset named the attempt of its snapshot."""
    if before and before[-1].name == "reset":
        assert before[-1].data["attempt"] == state.attempt


def _check_snapshot(event: Event, state: JobState) -> None:
    name, line = state.snapshot()
    assert (event.name, event.data) == (name, json.loads(line))


def _first_of(life: Life, event: Event) -> int | None:
    """Return the place of an event, if it is the first of its attempt that is shown."""
    place = _place_of(life, event.id)
    assert place is not None, event
    return _next(life, _place_of(life, life.history[place][1].attempt_id))


def _place_of(life: Life, entry_id: Beginning) -> int | None:
    ids = [entry.id for entry, _ in life.history]
    return ids.index(entry_id) if entry_id in ids else None


def _next(life: Life, at: int | None) -> int | None:
    """Return the place of the next event that a viewer is to see."""
    if at is None:
        return None
    shown = (n for n in range(at + 1, len(life.history)) if life.history[n][0].event is not None)
    return next(shown, None)


def _is(event: Event, entry: Entry) -> bool:
    return (event.id, event.name, event.data) == (entry.id, entry.name, json.loads(entry.data))


def test_every_viewer_gets_one_story_whatever_the_order() -> None:
    run_state_machine_as_test(AnyOrder, settings=settings(max_examples=60, stateful_step_count=60))
