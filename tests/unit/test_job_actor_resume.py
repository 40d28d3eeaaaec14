import pytest

from actors.mailbox import Ending
from actors.messages import Register
from schema.resume import Beginning, Reason
from tests.support.job_world import JobLog, Scene, Watcher, handled, publication, stopped


@pytest.fixture
async def scene(scene: Scene) -> Scene:
    """Return an actor that knows its job, which has come to its fifth entry, ``5-0``."""
    scene.log.start()
    for percent in (10, 20, 30):
        scene.log.progress(percent)
    await scene.live()
    return scene


async def test_a_viewer_at_the_end_gets_what_comes_and_nothing_else(
    scene: Scene, log: JobLog
) -> None:
    watcher = await scene.watch("5-0")
    assert scene.asked == []
    await scene.publish(log.progress(40))
    assert watcher.ids == ["6-0"]


async def test_a_viewer_gets_what_it_missed(scene: Scene, log: JobLog) -> None:
    watcher = await scene.watch("3-0")
    assert scene.asked == ["3-0"]
    await scene.answer()
    await scene.publish(log.progress(40))
    assert watcher.ids == ["4-0", "5-0", "6-0"]


@pytest.mark.parametrize("read_before", [True, False])
async def test_what_is_published_meanwhile_comes_after_it_and_once(
    scene: Scene, log: JobLog, *, read_before: bool
) -> None:
    watcher = await scene.watch("3-0")
    if read_before:
        log.questions[0].answer = log.read("3-0")
    await scene.publish(log.progress(40), log.append("note", {}))
    assert watcher.events == []
    await scene.answer()
    await scene.publish(log.progress(50))
    assert watcher.ids == ["4-0", "5-0", "6-0", "7-0", "8-0"]


async def test_what_was_read_but_not_published_yet_comes_once(scene: Scene, log: JobLog) -> None:
    watcher = await scene.watch("3-0")
    payload = log.progress(40)
    await scene.answer()
    await scene.publish(payload, log.progress(50))
    assert watcher.ids == ["4-0", "5-0", "6-0", "7-0"]


async def test_a_viewer_that_has_seen_more_than_the_actor_sees_nothing_twice(
    scene: Scene, log: JobLog
) -> None:
    payloads = [log.progress(40), log.progress(50)]
    watcher = await scene.watch("7-0")
    await scene.answer()
    await scene.publish(*payloads, log.progress(60))
    await scene.answer_all()
    assert watcher.ids == ["8-0"]


async def test_a_viewer_that_would_be_shown_less_than_it_has_seen_waits_for_the_actor(
    scene: Scene, log: JobLog
) -> None:
    payloads = [log.progress(40), log.progress(50)]
    log.cut()
    payloads.append(log.progress(60))
    watcher = await scene.watch("7-0")
    await scene.answer_all()
    await scene.publish(*payloads)
    await scene.answer_all()
    assert watcher.ids == ["", "9-0"]
    assert watcher.resets == [(1, "trimmed")]


async def test_many_pages_are_asked_for_one_by_one(scene: Scene, log: JobLog) -> None:
    log.page = 2
    for percent in range(31, 40):
        await scene.publish(log.progress(percent))
    watcher = await scene.watch("2-0")
    await scene.answer()
    assert (watcher.ids, scene.asked) == (["3-0", "4-0"], ["4-0"])
    await scene.publish(log.progress(40))
    await scene.answer_all()
    await scene.publish(log.progress(50))
    assert watcher.ids == [f"{number}-0" for number in range(3, 17)]


async def test_what_came_live_before_a_page_is_not_repeated_after_it(
    scene: Scene, log: JobLog
) -> None:
    log.page = 5
    watcher = await scene.watch("1-0")
    await scene.publish(log.progress(40))
    payload = log.progress(50)
    await scene.answer_all()
    await scene.publish(payload)
    await scene.answer_all()
    assert watcher.ids == ["2-0", "3-0", "4-0", "5-0", "6-0", "7-0"]


@pytest.mark.parametrize("cursor", ["0-1", "4-1", "99-0", Reason.UNKNOWN])
async def test_a_cursor_that_is_not_in_the_log_gives_a_reset_and_a_snapshot(
    scene: Scene, log: JobLog, cursor: Beginning
) -> None:
    watcher = await scene.watch(cursor)
    await scene.answer_all()
    assert watcher.names == ["reset", "progress-update"]
    assert (watcher.resets, watcher.ids) == ([(1, "unknown")], ["", "5-0"])
    assert watcher.events[1].data["progress"] == 30
    await scene.publish(log.progress(40))
    assert watcher.ids == ["", "5-0", "6-0"]


async def test_what_can_t_be_a_cursor_needs_nobody_s_answer(scene: Scene) -> None:
    watcher = await scene.watch(Reason.UNKNOWN)
    assert scene.asked == []
    assert watcher.names == ["reset", "progress-update"]


async def test_a_cursor_before_what_the_log_still_has_is_trimmed(scene: Scene, log: JobLog) -> None:
    log.cut()
    await scene.publish(log.progress(40))
    await scene.answer_all()
    watcher = await scene.watch("3-0")
    await scene.answer_all()
    assert (watcher.names, watcher.resets) == (["reset", "progress-update"], [(1, "trimmed")])
    assert watcher.ids == ["", log.last]


async def test_a_snapshot_instead_of_what_was_missed_is_not_followed_by_it(
    scene: Scene, log: JobLog
) -> None:
    watcher = await scene.watch("0-1")
    await scene.publish(log.progress(40), publication("note", "{}"), log.progress(50))
    await scene.answer_all()
    assert watcher.names == ["reset", "progress-update", "note"]
    assert watcher.events[1].data["progress"] == 50
    assert watcher.events[1].id == "7-0"


async def test_a_log_that_is_cut_between_two_pages_gives_a_reset_and_a_snapshot(
    scene: Scene, log: JobLog
) -> None:
    log.page = 1
    watcher = await scene.watch("2-0")
    await scene.answer()
    log.cut()
    await scene.publish(log.progress(40))
    await scene.answer_all()
    assert watcher.ids == ["3-0", "3-0", "7-0"]
    assert (watcher.names[1], watcher.resets) == ("reset", [(1, "trimmed")])


async def test_the_job_may_end_while_a_viewer_resumes(scene: Scene, log: JobLog) -> None:
    watcher = await scene.watch("3-0")
    await scene.publish(log.append("complete", {"result": 1}))
    assert watcher.events == []
    await scene.answer_all()
    assert (watcher.ids, watcher.ending) == (["4-0", "5-0", "6-0"], Ending.FINISHED)
    await handled(scene.inbox)
    assert not scene.inbox.is_open()


async def test_who_was_sent_here_just_before_the_job_ended_is_shown_its_end(
    scene: Scene, log: JobLog
) -> None:
    await scene.publish(log.append("complete", {"result": None}))
    question = log.questions.pop()
    watcher = Watcher("4-0")
    scene.inbox.tell(Register(watcher.mailbox, watcher.cursor))  # the end is read before its turn
    question.given(log.read(question.cursor))
    await handled(scene.inbox)
    await scene.answer_all()
    assert watcher.ids == ["5-0", "6-0"]
    assert watcher.ending is Ending.FINISHED
    assert not scene.inbox.is_open()


async def test_the_end_may_come_while_an_older_answer_is_on_its_way(
    scene: Scene, log: JobLog
) -> None:
    watcher = await scene.watch("3-0")
    log.questions[0].answer = log.read("3-0")
    await scene.publish(log.append("complete", {"result": 1}))
    await scene.answer_all()
    assert (watcher.ids, watcher.ending) == (["4-0", "5-0", "6-0"], Ending.FINISHED)
    await handled(scene.inbox)
    assert not scene.inbox.is_open()


async def test_the_actor_ends_when_the_last_resuming_viewer_of_a_finished_job_goes(
    scene: Scene, log: JobLog
) -> None:
    watcher = await scene.watch("3-0")
    await scene.publish(log.append("complete", {"result": 1}))
    unanswered = log.questions.pop(0)
    await scene.answer()
    assert unanswered.cursor == "3-0"
    assert scene.inbox.is_open()
    await scene.leave(watcher)
    assert not scene.inbox.is_open()
    assert watcher.events == []


async def test_a_viewer_that_resumes_from_an_earlier_attempt_gets_a_reset_and_a_snapshot(
    log: JobLog, scene: Scene
) -> None:
    await scene.publish(log.append("failed", {"error": "x", "errorCode": None}))
    log.append("_retried")
    again = Scene(log)
    watcher = await again.watch("4-0")
    await again.subscribed()
    await again.answer_all()
    assert (watcher.names, watcher.ids) == (["reset", "progress-update"], ["", "7-0"])
    assert watcher.resets == [(2, "attempt")]
    await stopped(again.inbox)


async def test_a_resuming_viewer_of_a_job_that_is_gone_comes_again(
    scene: Scene, log: JobLog
) -> None:
    watcher = await scene.watch("3-0")
    log.gone = True
    await scene.answer()
    assert watcher.ending is Ending.RETRY


async def test_an_answer_for_a_viewer_that_left_is_ignored(scene: Scene) -> None:
    watcher = await scene.watch("3-0")
    await scene.leave(watcher)
    await scene.answer()
    assert watcher.events == []
    assert scene.inbox.is_open()


async def test_a_viewer_that_never_gets_its_answer_does_not_fill_the_memory(
    scene: Scene, log: JobLog
) -> None:
    watcher = await scene.watch("3-0")
    for number in range(3000):
        await scene.publish(log.append("note", {"number": number}))
        if watcher.ending is not None:
            break
    assert watcher.ending is Ending.RETRY
    await scene.leave(watcher)
    await scene.answer_all()
    assert watcher.events == []


async def test_a_resume_before_the_state_is_known_waits_for_it(log: JobLog, scene: Scene) -> None:
    fresh = Scene(log)
    watchers = [await fresh.watch(cursor) for cursor in ("3-0", "5-0", None)]
    await fresh.subscribed()
    assert fresh.asked == [None]
    await fresh.answer_all()
    assert [watcher.ids for watcher in watchers] == [["4-0", "5-0"], [], ["5-0"]]
    await stopped(fresh.inbox)


async def test_a_resume_during_a_reconnect_misses_nothing(scene: Scene, log: JobLog) -> None:
    await scene.subscribed()
    missed = [log.progress(40), log.progress(50)]
    watcher = await scene.watch("4-0")
    while scene.asked:
        await scene.answer()
    await scene.publish(log.progress(60))
    assert len(missed) == 2
    assert watcher.ids == ["5-0", "6-0", "7-0", "8-0"]
