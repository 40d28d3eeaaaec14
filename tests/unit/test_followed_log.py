"""What is known of a job by its publications and by the answers of its log, in any order.

Nothing is simulated: publications and answers go in, and what comes out is looked at. Frames must
tell every event of the log once and in order, except after a reset; and whatever happened, once all
questions are answered the state is the log's.
"""

import gc
from collections.abc import Iterable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from msgspec.structs import replace

from actors.followed_log import (
    CheckExistence,
    Dropped,
    FollowedLog,
    Milestone,
    Output,
    Read,
    ReadIfChanged,
    Settle,
)
from eventlog.catch_up import CatchUp
from schema.entry_id import position
from schema.sse import Frame
from schema.state import JobState
from tests.support.job_world import JobLog, publication
from tests.support.sse import Event, Parser

places = st.integers(0, 10**6)


def known(follower: FollowedLog) -> JobState:
    assert follower.state is not None
    return follower.state


def shown(state: JobState) -> JobState:
    """Return a state as a viewer knows it: whose run it is is not published."""
    return replace(state, run=None)


def events(outputs: Iterable[Output]) -> list[Event]:
    """Return what the frames among them tell, as a browser reads it."""
    parser = Parser()
    frames = [output for output in outputs if isinstance(output, Frame)]
    return [event for frame in frames for event in parser.feed(frame.data)]


class InAnyOrder(RuleBasedStateMachine):
    """One log and one that follows it; what is published is lost, repeated and reordered."""

    def __init__(self) -> None:
        super().__init__()
        self.log = JobLog(page=3)
        self.follower = FollowedLog(self.log.state)
        self.shown_up_to = self.log.last
        self.outputs: list[Output] = []
        self.questions: list[Read | ReadIfChanged | CheckExistence] = []
        self.on_the_way: list[bytes] = []
        self.take(self.follower.subscribed())

    def take(self, outputs: Iterable[Output]) -> None:
        for output in outputs:
            self.outputs.append(output)
            if isinstance(output, Read | ReadIfChanged | CheckExistence):
                self.questions.append(output)
            elif isinstance(output, Frame):
                self.show(output)
            else:
                assert output is not Milestone.GONE
                assert not isinstance(output, Settle)

    def show(self, frame: Frame) -> None:
        """Check that a frame tells the next event, or that all before it is void."""
        assert frame.id is not None
        [*resets, event] = Parser().feed(frame.data)
        if resets:
            assert (event.name, event.id) == ("progress-update", frame.id)
        else:
            between = [
                entry.id
                for entry in self.log.entries
                if entry.event is not None
                and position(self.shown_up_to) < position(entry.id or "") < position(frame.id)
            ]
            assert position(frame.id) > position(self.shown_up_to)
            assert not between or self.was_cut(between), f"{frame.id} leaves {between} out"
        self.shown_up_to = frame.id

    def was_cut(self, missing: list[str | None]) -> bool:
        return self.log.entries[0].id in missing

    def answer_for(self, question: Read | ReadIfChanged | CheckExistence) -> CatchUp:
        return self.log.read(question.cursor if isinstance(question, Read) else question.known.last)

    @precondition(lambda self: not self.log.state.finished)
    @rule(lost=st.booleans(), log_only=st.booleans())
    def something_happens(self, *, lost: bool, log_only: bool) -> None:
        if self.log.state.status == "queued":
            payload = self.log.start()
        elif log_only and not self.log.state.cancel_requested:
            payload = self.log.append("_cancel-requested")
        else:
            payload = self.log.progress(len(self.log.entries) % 101)
        if payload and not lost:
            self.on_the_way.append(payload)

    @precondition(lambda self: self.log.state.status == "running")
    @rule(retried=st.sampled_from([True, True, True, False]))
    def the_attempt_ends(self, *, retried: bool) -> None:
        self.on_the_way.append(self.log.append("failed", {"error": "x", "errorCode": None}))
        if retried:
            self.log.append("_retried")

    @precondition(lambda self: self.on_the_way)
    @rule(place=places, again=st.booleans())
    def a_publication_arrives(self, place: int, *, again: bool) -> None:
        number = place % len(self.on_the_way)
        self.take(self.follower.published(self.on_the_way[number]))
        if not again:
            del self.on_the_way[number]

    @precondition(lambda self: self.on_the_way)
    @rule()
    def all_arrives_and_all_is_answered(self) -> None:
        while self.on_the_way:
            self.a_publication_arrives(0, again=False)
        self.come_to_rest()

    @rule(kind=st.sampled_from(["invention", "reconnect", "verify", "verify", "verify"]))
    def something_makes_it_look(self, kind: str) -> None:
        if kind == "invention":
            self.take(self.follower.published(publication("note", "{}", "999-9", "998-9")))
        elif kind == "reconnect":
            self.take(self.follower.subscribed())
        else:
            self.take(self.follower.verify())

    @precondition(lambda self: self.questions)
    @rule(place=places, in_parts=st.booleans())
    def a_question_is_answered(self, place: int, *, in_parts: bool) -> None:
        question = self.questions.pop(place % len(self.questions))
        answer = self.answer_for(question)
        if isinstance(question, CheckExistence):
            self.take(self.follower.verified(answer))
        elif in_parts and answer.missed:
            first = CatchUp(answer.state, answer.missed[:1], answer.more)
            rest = CatchUp(answer.state, answer.missed[1:], answer.more)
            self.take(self.follower.caught_up(first, is_last=False))
            self.take(self.follower.caught_up(rest))
        else:
            self.take(self.follower.caught_up(answer))

    @invariant()
    def one_question_of_a_kind_is_asked_at_a_time(self) -> None:
        checks = [question for question in self.questions if isinstance(question, CheckExistence)]
        assert len(checks) <= 1
        assert len(self.questions) - len(checks) <= 1

    @invariant()
    def what_is_known_is_in_the_log(self) -> None:
        state = self.follower.state
        assert state is not None
        assert position(state.last) <= position(self.log.last)
        if state.last == self.log.last:
            assert shown(state) == shown(self.log.state)

    def come_to_rest(self) -> None:
        while self.questions:
            self.a_question_is_answered(0, in_parts=False)

    def teardown(self) -> None:
        for _ in range(3):
            self.come_to_rest()
            self.take(self.follower.verify())
        assert self.follower.is_current
        assert self.follower.ended == self.log.state.finished
        assert shown(known(self.follower)) == shown(self.log.state)


def test_it_comes_to_know_the_log_whatever_the_order() -> None:
    run_state_machine_as_test(
        InAnyOrder, settings=settings(max_examples=100, stateful_step_count=50)
    )


@pytest.fixture
def log() -> JobLog:
    return JobLog()


@pytest.fixture
def follower(log: JobLog) -> FollowedLog:
    """Return one that knows the job, which was just started."""
    made = FollowedLog(log.state)
    assert list(made.subscribed()) == [ReadIfChanged(log.state)]
    assert list(made.caught_up(log.read(log.last))) == [Milestone.CURRENT]
    assert [event.name for event in events(made.published(log.start()))] == ["step-change"]
    return made


def test_an_end_costs_one_question_and_is_believed_when_the_log_has_it(
    follower: FollowedLog, log: JobLog
) -> None:
    last = log.last
    assert list(follower.published(log.append("complete", {"result": 1}))) == [Read(last)]
    assert not follower.ended
    *frames, end = follower.caught_up(log.read(last))
    assert [event.name for event in events(frames)] == ["complete"]
    assert end is Milestone.ENDED
    assert follower.ended


def test_an_end_that_the_state_alone_tells_is_shown() -> None:
    started = JobLog()
    started.start()
    follower = FollowedLog(started.state)
    list(follower.subscribed())
    ended = replace(started.state, status="failed", error="Boom")
    *frames, end = follower.caught_up(CatchUp(ended))  # nor is its last entry in the log
    assert [(event.name, event.data["error"]) for event in events(frames)] == [("failed", "Boom")]
    assert end is Milestone.ENDED


def test_so_does_a_gap(follower: FollowedLog, log: JobLog) -> None:
    last = log.last
    log.progress(1)
    assert list(follower.published(log.progress(2))) == [Read(last)]
    assert list(follower.published(log.progress(3))) == []
    outputs = list(follower.caught_up(log.read(last)))
    assert [event.data["progress"] for event in events(outputs)] == [1, 2, 3]
    assert outputs[-1] is Milestone.CURRENT


def test_after_a_reconnect_it_asks_first_whether_anything_has_changed(
    follower: FollowedLog, log: JobLog
) -> None:
    assert list(follower.subscribed()) == [ReadIfChanged(known(follower))]
    assert list(follower.caught_up(CatchUp(log.state, ()))) == [Milestone.CURRENT]


def test_a_job_that_is_no_longer_as_it_was_known_is_read_at_once(
    follower: FollowedLog, log: JobLog
) -> None:
    before = known(follower)
    assert list(follower.verify()) == []
    assert list(follower.verify()) == [CheckExistence(before)]
    log.progress(1)
    assert list(follower.verified(log.read(before.last))) == [Read(before.last)]


def test_the_state_before_an_event_is_kept_until_the_log_has_confirmed_the_event(
    follower: FollowedLog, log: JobLog
) -> None:
    earlier = known(follower)
    list(follower.published(log.progress(1)))
    assert earlier in gc.get_referents(follower)
    assert list(follower.verify()) == []
    assert list(follower.verify()) == [CheckExistence(known(follower))]
    assert list(follower.verified(log.read(log.last))) == []
    assert earlier not in gc.get_referents(follower)
    list(follower.subscribed())
    outputs = list(follower.caught_up(CatchUp(earlier)))  # the event was lost after all
    assert [event.name for event in events(outputs)] == ["reset", "progress-update"]
    assert known(follower) == earlier
    assert outputs[-1] is Milestone.CURRENT


def test_the_state_is_what_it_was_when_the_output_was_made(
    follower: FollowedLog, log: JobLog
) -> None:
    last = log.last
    list(follower.subscribed())
    answer = log.read(last)
    list(follower.published(log.progress(1)))
    seen = [(type(output), known(follower).last) for output in follower.caught_up(answer)]
    assert seen == [(Milestone, last), (Frame, log.last)]


def test_an_invention_is_dropped_once_the_log_does_not_have_it(
    follower: FollowedLog, log: JobLog
) -> None:
    assert list(follower.published(publication("note", "{}", "9-9", "9-8"))) == [Read(log.last)]
    answered = list(follower.caught_up(log.read(log.last)))
    assert answered == [Milestone.CURRENT, Dropped("id 9-9 is not in the log")]


def test_what_is_only_published_is_left_to_a_bridge_as_long_as_there_is_one(log: JobLog) -> None:
    is_bridged = True
    follower = FollowedLog(log.state, lambda: is_bridged)
    list(follower.subscribed())
    note = b'{"event": "note", "data": {}}'
    end = b'{"event": "failed", "data": {"error": "x"}}'
    assert list(follower.published(note)) == []  # nor is it kept for later
    assert list(follower.caught_up(log.read(log.last))) == [Milestone.CURRENT]
    for payload in (note, end):
        assert list(follower.published(payload)) == []
    assert [event.name for event in events(follower.published(log.start()))] == ["step-change"]
    is_bridged = False
    assert [event.name for event in events(follower.published(note))] == ["note"]
    assert [type(output) for output in follower.published(end)] == [Settle]
