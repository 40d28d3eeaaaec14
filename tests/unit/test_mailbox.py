from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace

from actors.mailbox import Ending, Mailbox
from schema.sse import Frame, encode

BOUND = 1000


def progress(number: int, size: int = 100) -> Frame:
    return frame("progress-update", number, size)


def custom(number: int, size: int = 100) -> Frame:
    return frame("note", number, size)


def frame(name: str, number: int, size: int = 100) -> Frame:
    """Return a frame of exactly so many bytes."""
    bare = len(encode(name, b"", f"{number}-0").data)
    return encode(name, b"x" * (size - bare), f"{number}-0")


class Viewer:
    """Takes frames at once while it is not slow."""

    def __init__(self, *, slow: bool = True) -> None:
        self.slow = slow
        self.got: list[Frame] = []
        self.ends = 0
        self.mailbox = Mailbox(BOUND, self._offer, self._end)

    def put(self, *frames: Frame) -> None:
        for one in frames:
            self.mailbox.put(one)

    def take(self, limit: int = 10 * BOUND) -> list[Frame]:
        taken = self.mailbox.take(limit)
        self.got += taken
        return taken

    def _offer(self, one: Frame) -> bool:
        if not self.slow:
            self.got.append(one)
        return not self.slow

    def _end(self) -> None:
        self.ends += 1


def test_a_frame_goes_straight_to_a_viewer_that_takes_it() -> None:
    viewer = Viewer(slow=False)
    viewer.put(progress(1), custom(2))
    assert viewer.got == [progress(1), custom(2)]
    assert len(viewer.mailbox) == 0


def test_nothing_overtakes_what_waits() -> None:
    viewer = Viewer()
    viewer.put(custom(1))
    viewer.slow = False
    viewer.put(custom(2))
    assert viewer.got == []
    assert viewer.take() == [custom(1), custom(2)]


def test_up_to_the_bound_nothing_is_dropped() -> None:
    viewer = Viewer()
    frames = [progress(number) for number in range(10)]
    viewer.put(*frames)
    assert viewer.mailbox.size == BOUND
    assert viewer.take() == frames
    assert viewer.mailbox.conflated == 0


def test_past_the_bound_only_the_newest_progress_stays_and_other_events_all_do() -> None:
    viewer = Viewer()
    viewer.put(progress(1), custom(2), *(progress(number) for number in range(3, 11)), custom(11))
    assert viewer.take() == [custom(2), progress(10), custom(11)]
    assert viewer.mailbox.conflated == 8
    assert viewer.mailbox.ending is None


def test_the_newest_progress_stays_where_it_was() -> None:
    viewer = Viewer()
    viewer.put(progress(1, 900), custom(2), custom(3))
    assert viewer.take() == [progress(1, 900), custom(2), custom(3)]


def test_a_step_and_an_end_are_never_dropped() -> None:
    viewer = Viewer()
    step, end = frame("step-change", 2, 400), frame("complete", 4, 400)
    viewer.put(progress(1, 300), step, progress(3, 100), end)
    assert viewer.take() == [step, progress(3, 100), end]


def test_progress_alone_never_ends_a_stream() -> None:
    viewer = Viewer()
    viewer.put(custom(0, 950), *(progress(number) for number in range(1, 50)))
    assert viewer.mailbox.ending is None
    assert viewer.take() == [custom(0, 950), progress(49)]


def test_when_the_other_frames_alone_pass_the_bound_the_viewer_shall_come_again() -> None:
    viewer = Viewer()
    viewer.put(*(custom(number) for number in range(11)))
    assert viewer.mailbox.ending is Ending.RETRY
    assert viewer.ends == 1
    assert viewer.take() == [custom(number) for number in range(10)]


def test_one_frame_may_be_larger_than_the_bound() -> None:
    viewer = Viewer()
    viewer.put(custom(1, 5000))
    assert viewer.mailbox.ending is None
    assert viewer.take() == [custom(1, 5000)]


def test_what_waits_at_the_end_is_still_delivered_and_nothing_more_comes() -> None:
    viewer = Viewer()
    viewer.put(custom(1))
    viewer.mailbox.end(Ending.FINISHED)
    viewer.put(custom(2))
    assert viewer.take() == [custom(1)]


def test_the_first_ending_counts() -> None:
    viewer = Viewer()
    viewer.mailbox.end(Ending.FINISHED)
    viewer.mailbox.end(Ending.RETRY)
    assert viewer.mailbox.ending is Ending.FINISHED
    assert viewer.ends == 1


def test_taking_is_limited_but_gives_one_frame_at_least() -> None:
    viewer = Viewer()
    viewer.put(custom(1, 300), custom(2, 300), custom(3, 300))
    assert viewer.take(599) == [custom(1, 300)]
    assert viewer.take(1) == [custom(2, 300)]
    assert viewer.mailbox.size == 300
    assert viewer.take(300) == [custom(3, 300)]
    assert viewer.take(300) == []
    assert viewer.mailbox.size == 0


class AnyOrder(RuleBasedStateMachine):
    """Puts, takes and endings in any order; ``accepted`` is what was put while it was open."""

    def __init__(self) -> None:
        super().__init__()
        self.viewer = Viewer()
        self.mailbox = self.viewer.mailbox
        self.number = 0
        self.accepted: list[Frame] = []

    @rule(slow=st.booleans())
    def the_viewer_becomes(self, *, slow: bool) -> None:
        self.viewer.slow = slow

    @precondition(lambda self: self.mailbox.ending is None)
    @rule(name=st.sampled_from(["progress-update", "note"]), size=st.integers(60, 700))
    def a_frame_comes(self, name: str, size: int) -> None:
        self.number += 1
        one = frame(name, self.number, size)
        waiting, before = list(self.mailbox._waiting), self.mailbox.size
        self.mailbox.put(one)
        others = [f for f in (*waiting, one) if not f.conflatable]
        needed = sum(len(f.data) for f in others) > BOUND and len(waiting) > 0
        assert (self.mailbox.ending is Ending.RETRY) == needed
        if needed:
            return
        self.accepted.append(one)
        if self.viewer.got[-1:] == [one]:
            assert waiting == []
        elif before + size <= BOUND:
            assert self.mailbox._waiting == [*waiting, one]

    @precondition(lambda self: self.mailbox.ending is not None)
    @rule(name=st.sampled_from(["progress-update", "note"]))
    def a_frame_comes_too_late(self, name: str) -> None:
        before = list(self.mailbox._waiting)
        self.viewer.put(frame(name, 10**6))
        assert self.mailbox._waiting == before

    @rule(limit=st.integers(0, 2 * BOUND))
    def some_are_taken(self, limit: int) -> None:
        waited = len(self.mailbox)
        taken = self.viewer.take(limit)
        assert bool(taken) == bool(waited)
        assert sum(len(f.data) for f in taken) <= limit or len(taken) == 1

    @rule(ending=st.sampled_from(Ending))
    def the_stream_ends(self, ending: Ending) -> None:
        self.mailbox.end(ending)

    @invariant()
    def it_is_over_its_bound_by_one_frame_at_most(self) -> None:
        sizes = [len(f.data) for f in self.mailbox._waiting]
        assert self.mailbox.size == sum(sizes)
        assert len(self.mailbox) == len(sizes)
        if sum(sizes) > BOUND and len(sizes) > 1:
            [newest] = [f for f in self.mailbox._waiting if f.conflatable]
            assert sum(sizes) - len(newest.data) <= BOUND

    @invariant()
    def order_is_kept_and_only_progress_is_dropped(self) -> None:
        kept = [*self.viewer.got, *self.mailbox._waiting]
        numbers = [int((f.id or "").partition("-")[0]) for f in kept]
        assert numbers == sorted(set(numbers))
        missing = [f for f in self.accepted if f not in kept]
        assert all(f.conflatable for f in missing)
        assert len(missing) == self.mailbox.conflated

    @invariant()
    def the_newest_progress_is_never_dropped(self) -> None:
        newest = next((f for f in reversed(self.accepted) if f.conflatable), None)
        assert newest is None or newest in (*self.viewer.got, *self.mailbox._waiting)

    @invariant()
    def its_end_is_told_once(self) -> None:
        assert self.viewer.ends == (self.mailbox.ending is not None)


TestAnyOrder = AnyOrder.TestCase


def of_job(job_id: str, one: Frame) -> Frame:
    return replace(one, job_id=job_id)


def test_progress_of_one_job_is_never_replaced_by_that_of_another() -> None:
    viewer = Viewer()
    frames = [of_job("ab"[number % 2], progress(number)) for number in range(12)]
    viewer.put(*frames)
    assert viewer.take() == [frames[9], frames[10], frames[11]][-3:]
    assert {frame.job_id for frame in viewer.got} == {"a", "b"}


def test_the_newest_of_so_many_jobs_that_they_pass_the_bound_end_the_mailbox() -> None:
    viewer = Viewer()
    viewer.put(*(of_job(str(number), progress(number)) for number in range(11)))
    assert viewer.mailbox.ending is Ending.RETRY
    assert [frame.job_id for frame in viewer.take()] == [str(number) for number in range(10)]
