"""A viewer that wants the whole attempt, from its first entry."""

import gc
import weakref

from actors.mailbox import Ending, Mailbox
from actors.messages import Deregister, Register
from eventlog.catch_up import CatchUp
from schema.resume import From
from tests.support.job_world import JobLog, Scene, publication
from tests.support.sse import Event, Parser


class Held(Mailbox):
    """A mailbox that a test can look whether anybody still holds."""


class Slow:
    """A viewer that takes nothing until it is told to read."""

    def __init__(self, bound: int = 2000) -> None:
        self.mailbox = Held(bound, lambda _frame: False, lambda: None)
        self.events: list[Event] = []
        self.most = 0
        self._parser = Parser()

    @property
    def ids(self) -> list[str]:
        return [event.id for event in self.events]

    def read(self, size: int = 500) -> bool:
        """Read some of what waits; say whether there was anything."""
        self.most = max(self.most, self.mailbox.size)
        frames = self.mailbox.take(size)
        self.events += self._parser.feed(b"".join(frame.data for frame in frames))
        return bool(frames)


async def come(scene: Scene, slow: Slow) -> None:
    await scene.tell(Register(slow.mailbox, From.START))


async def read_all(scene: Scene, slow: Slow) -> None:
    """Read until nothing more comes, answering what is asked for that."""
    while slow.read() or scene.asked:
        await scene.answer_all()
        await scene.tell()


async def test_every_entry_of_the_attempt_comes_and_then_what_happens(
    scene: Scene, log: JobLog
) -> None:
    await scene.live()
    await scene.publish(log.start(), log.progress(10), log.append("note", {"n": 1}))
    watcher = await scene.watch(From.START)
    assert scene.asked == ["1-0"]
    await scene.publish(log.progress(20))
    await scene.answer_all()
    await scene.publish(log.progress(30), log.append("complete", {"result": 1}))
    await scene.answer_all()
    assert watcher.ids == [f"{number}-0" for number in range(2, 8)]
    assert watcher.names[:3] == ["step-change", "progress-update", "note"]
    assert (watcher.resets, watcher.ending) == ([], Ending.FINISHED)


async def test_of_a_queued_job_nothing_comes_until_something_happens(
    scene: Scene, log: JobLog
) -> None:
    await scene.live()
    watcher = await scene.watch(From.START)
    assert (watcher.events, scene.asked) == ([], [])
    await scene.publish(log.start())
    assert watcher.names == ["step-change"]


async def test_an_attempt_that_was_trimmed_before_any_of_it_came_is_reset_to_the_next_one(
    scene: Scene, log: JobLog
) -> None:
    await scene.live()
    watcher = await scene.watch(From.START)
    log.start()
    log.append("failed", {"error": "x", "errorCode": None})
    log.append("_retried")
    log.cut()
    await scene.subscribed()
    await scene.answer_all()
    assert watcher.resets == [(2, "attempt")]
    assert watcher.names == ["reset", "progress-update"]


async def test_who_comes_before_the_job_is_known_gets_the_same(log: JobLog, scene: Scene) -> None:
    log.start()
    log.progress(10)
    watcher = await scene.watch(From.START)
    await scene.subscribed()
    await scene.answer_all()
    assert watcher.ids == ["2-0", "3-0"]


async def test_of_a_job_that_was_retried_the_current_attempt_comes(
    scene: Scene, log: JobLog
) -> None:
    log.start()
    log.append("failed", {"error": "x", "errorCode": None})
    log.append("_retried")
    await scene.live()
    queued = await scene.watch(From.START)
    assert queued.events == []
    await scene.publish(log.start(), log.progress(10))
    running = await scene.watch(From.START)
    await scene.answer_all()
    assert queued.ids == running.ids == ["5-0", "6-0"]


async def test_a_retry_while_the_first_page_is_read_leads_to_the_next_attempt(
    scene: Scene, log: JobLog
) -> None:
    await scene.live()
    await scene.publish(log.start(), log.progress(10))
    watcher = await scene.watch(From.START)
    log.append("failed", {"error": "x", "errorCode": None})
    log.append("_retried")
    log.start()
    await scene.answer_all()
    await scene.publish(log.progress(5))
    await scene.answer_all()
    assert (watcher.ids, watcher.resets) == (["6-0", "7-0"], [])


async def test_a_retry_after_the_first_page_is_a_reset(scene: Scene, log: JobLog) -> None:
    log.page = 1
    await scene.live()
    await scene.publish(log.start(), log.progress(10))
    watcher = await scene.watch(From.START)
    await scene.answer()
    assert watcher.ids == ["2-0"]
    log.append("failed", {"error": "x", "errorCode": None})
    log.append("_retried")
    await scene.subscribed()
    await scene.answer_all()
    assert watcher.names == ["step-change", "reset", "progress-update"]
    assert (watcher.resets, watcher.ids[-1]) == ([(2, "attempt")], log.last)


async def test_where_the_beginning_was_trimmed_the_oldest_state_comes_and_what_followed(
    scene: Scene, log: JobLog
) -> None:
    log.start()
    log.append("progress-update", {"progress": 40, "currentStep": "Two", "further": [1]})
    log.cut()
    log.append("note", {"n": 1})
    log.progress(50)
    await scene.live()
    watcher = await scene.watch(From.START)
    await scene.answer_all()
    await scene.publish(log.progress(60))
    assert watcher.names[:3] == ["reset", "progress-update", "note"]
    assert watcher.ids == ["", "4-0", "5-0", "6-0", "7-0"]
    assert watcher.resets == [(1, "trimmed")]
    assert watcher.events[1].data == {
        "progress": 40,
        "currentStep": "Two",
        "estimatedTimeRemaining": None,
        "further": [1],
    }


async def test_where_the_beginning_was_trimmed_by_hand_the_state_comes(
    scene: Scene, log: JobLog
) -> None:
    log.start()
    log.progress(10)
    await scene.live()
    watcher = await scene.watch(From.START)
    log.questions[0].answer = CatchUp(log.state, oldest=log.entries[2])
    await scene.answer_all()
    await scene.publish(log.progress(20))
    assert watcher.names == ["reset", "progress-update", "progress-update"]
    assert (watcher.resets, watcher.ids) == ([(1, "trimmed")], ["", "3-0", "4-0"])


async def test_a_log_that_is_cut_amid_is_a_reset_like_any_other(scene: Scene, log: JobLog) -> None:
    log.page = 1
    log.start()
    log.progress(10)
    await scene.live()
    watcher = await scene.watch(From.START)
    await scene.answer()
    log.cut()
    await scene.publish(log.progress(20))
    await scene.answer_all()
    assert watcher.names == ["step-change", "reset", "progress-update"]
    assert (watcher.resets, watcher.ids[-1]) == ([(1, "trimmed")], log.last)


async def test_a_slow_viewer_loses_nothing_and_costs_no_more_than_its_mailbox(
    scene: Scene, log: JobLog
) -> None:
    await scene.live()
    log.start()
    for number in range(300):
        log.append("progress-update", {"progress": 0, "n": number, "text": "x" * (number % 90)})
    await scene.subscribed()
    await scene.answer_all()
    slow = Slow()
    await come(scene, slow)
    for number in range(300):
        await scene.publish(log.append("note", {"n": number}))
        await scene.answer_all()
        if number % 9 == 0:
            slow.read()
    await read_all(scene, slow)
    assert slow.ids == [f"{number}-0" for number in range(2, 603)]
    assert slow.most <= 2000
    await scene.publish(log.append("complete", {"result": 1}))
    await scene.answer_all()
    await read_all(scene, slow)
    assert (slow.ids[-1], slow.mailbox.ending) == (log.last, Ending.FINISHED)


async def test_the_job_may_end_while_a_slow_viewer_reads(scene: Scene, log: JobLog) -> None:
    await scene.live()
    await scene.publish(log.start(), *(log.append("note", {"n": n}) for n in range(200)))
    slow = Slow()
    await come(scene, slow)
    await scene.answer_all()
    await scene.publish(log.append("complete", {"result": 1}))
    await scene.answer_all()
    assert scene.inbox.is_open()
    await read_all(scene, slow)
    assert slow.ids == [f"{number}-0" for number in range(2, 204)]
    assert slow.mailbox.ending is Ending.FINISHED
    assert not scene.inbox.is_open()


async def test_a_slow_viewer_that_goes_leaves_nothing_behind(scene: Scene, log: JobLog) -> None:
    await scene.live()
    await scene.publish(log.start(), *(log.append("note", {"n": n}) for n in range(200)))
    slow = Slow()
    await come(scene, slow)
    await scene.answer_all()
    await scene.tell(Deregister(slow.mailbox))
    while slow.read():
        await scene.tell()
    assert scene.asked == []
    assert len(slow.ids) < 200
    gone = weakref.ref(slow.mailbox)
    gc.disable()
    try:
        del slow
        assert gone() is None  # it was in no cycle
    finally:
        gc.enable()


async def test_what_has_no_place_in_the_log_comes_to_a_slow_viewer_too(
    scene: Scene, log: JobLog
) -> None:
    await scene.live()
    await scene.publish(log.start(), *(log.append("note", {"n": n}) for n in range(100)))
    slow = Slow()
    await come(scene, slow)
    await scene.publish(publication("tick", "{}"))
    await scene.answer_all()
    await scene.publish(publication("tock", "{}"))
    await read_all(scene, slow)
    names = [event.name for event in slow.events]
    assert [name for name in names if name != "note"] == ["step-change", "tick", "tock"]
    assert names.count("note") == 100


async def test_large_entries_are_read_a_few_at_a_time(scene: Scene, log: JobLog) -> None:
    await scene.live()
    await scene.publish(log.start(), *(log.append("note", {"x": "x" * 40_000}) for _ in range(20)))
    await scene.publish(*(log.append("note", {"n": n}) for n in range(100)))
    watcher = await scene.watch(From.START)
    asked = []
    while scene.asked:
        asked.append(log.questions[0].most)
        await scene.answer()
    assert len(watcher.ids) == 121
    assert asked[0] == 8
    assert asked[1:8] == [1] * 7
    assert asked[-1] == 64
