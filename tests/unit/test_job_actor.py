import logging
from collections.abc import AsyncIterator

import pytest
from pykka import ActorRegistry

from actors.job_actor import JobActor
from actors.mailbox import Ending
from actors.messages import CaughtUp, Deregister, Expire, Published, Register
from actors.questions import Ref
from schema.events import Complete, Failed
from tests.job_world import JOB, Feed, JobLog, Registrar, Scene, Watcher, handled, publication


def start(feed: Feed, log: JobLog, registrar: Registrar) -> Ref:
    return JobActor.start(JOB, feed, log, registrar)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    played = Scene(start, JobLog())
    await handled(played.ref)
    yield played
    if played.ref.is_alive():
        await played.ref.stop(block=False)


@pytest.fixture
def log(scene: Scene) -> JobLog:
    return scene.log


async def test_it_follows_the_channel_first_and_asks_when_that_is_in_force(scene: Scene) -> None:
    assert scene.feed.ref is scene.ref
    assert scene.asked == []
    await scene.subscribed()
    assert scene.asked == [None]


async def test_a_viewer_waits_for_the_state_and_gets_it_as_a_snapshot(scene: Scene) -> None:
    scene.log.start()
    scene.log.progress(40)
    watcher = await scene.watch()
    await scene.subscribed()
    assert watcher.events == []
    await scene.answer()
    assert (watcher.names, watcher.ids) == (["progress-update"], [scene.log.last])
    assert watcher.events[0].data["progress"] == 40


async def test_a_later_viewer_gets_the_state_at_once(scene: Scene, log: JobLog) -> None:
    await scene.live()
    await scene.publish(log.start(), log.progress(40))
    late = await scene.watch()
    assert [event.data["progress"] for event in late.events] == [40]
    assert scene.asked == []


async def test_what_is_published_reaches_every_viewer_once_and_in_order(
    scene: Scene, log: JobLog
) -> None:
    watchers = [await scene.live(), await scene.watch()]
    await scene.publish(log.start(), log.progress(1), log.append("note", {"a": 1}), log.progress(2))
    for watcher in watchers:
        assert watcher.names[1:] == ["step-change", "progress-update", "note", "progress-update"]
        assert watcher.ids == ["1-0", "2-0", "3-0", "4-0", "5-0"]
    assert scene.asked == []


async def test_what_is_published_while_the_state_is_read_follows_the_snapshot(
    scene: Scene, log: JobLog
) -> None:
    watcher = await scene.watch()
    await scene.publish(log.start())
    await scene.subscribed()
    await scene.publish(log.progress(1))
    scene.log.questions[0].answer = log.read(None)
    await scene.publish(log.progress(2), log.progress(3))
    await scene.answer()
    assert watcher.ids == ["3-0", "4-0", "5-0"]
    assert [event.data["progress"] for event in watcher.events] == [1, 2, 3]
    assert scene.registrar.dropped == 0


async def test_a_gap_is_filled_from_the_log(scene: Scene, log: JobLog) -> None:
    watcher = await scene.live()
    await scene.publish(log.start())
    log.progress(1)
    await scene.publish(log.progress(2))
    assert watcher.ids == ["1-0", "2-0"]
    assert scene.asked == ["2-0"]
    await scene.publish(log.progress(3))
    await scene.answer()
    assert watcher.ids == ["1-0", "2-0", "3-0", "4-0", "5-0"]
    assert scene.asked == []


async def test_a_publication_that_came_before_the_answer_it_is_in_is_not_delivered_twice(
    scene: Scene, log: JobLog
) -> None:
    watcher = await scene.live()
    log.start()
    await scene.publish(log.progress(1), log.progress(2))
    await scene.answer()
    await scene.publish(log.progress(3))
    assert watcher.ids == ["1-0", "2-0", "3-0", "4-0", "5-0"]


async def test_a_duplicate_is_ignored_after_a_look_at_the_log(scene: Scene, log: JobLog) -> None:
    watcher = await scene.live()
    payload = log.start()
    await scene.publish(payload, payload)
    assert scene.asked == ["2-0"]
    await scene.answer()
    await scene.publish(log.progress(1))
    assert watcher.ids == ["1-0", "2-0", "3-0"]


async def test_a_log_only_entry_between_two_events_costs_a_look_and_nothing_else(
    scene: Scene, log: JobLog
) -> None:
    watcher = await scene.live()
    await scene.publish(log.start())
    log.append("_cancel-requested")
    await scene.publish(log.progress(1))
    await scene.answer()
    assert watcher.ids == ["1-0", "2-0", "4-0"]
    late = await scene.watch("3-0")
    await scene.answer()
    assert late.ids == ["4-0"]


@pytest.mark.parametrize("invented", ["9-0", "1-5", "99999999999-0"])
async def test_an_invented_id_is_dropped_when_the_log_does_not_have_it(
    scene: Scene, log: JobLog, invented: str
) -> None:
    watcher = await scene.live()
    await scene.publish(publication("note", "{}", invented))
    assert scene.asked == ["1-0"]
    await scene.answer()
    assert watcher.names == ["progress-update"]
    await scene.publish(log.start())
    assert watcher.ids == ["1-0", "2-0"]
    assert scene.asked == []


async def test_an_invention_that_came_after_the_question_costs_a_look_of_its_own(
    scene: Scene, log: JobLog
) -> None:
    watcher = await scene.watch()
    await scene.subscribed()
    await scene.publish(publication("note", "{}", "9-0"))
    await scene.answer()
    assert scene.asked == ["1-0"]
    await scene.publish(log.start())
    await scene.answer()
    assert watcher.ids == ["1-0", "2-0"]
    assert scene.registrar.dropped == 1


async def test_an_invention_hides_no_event_that_has_the_same_id(scene: Scene, log: JobLog) -> None:
    watcher = await scene.live()
    await scene.publish(publication("note", '{"invented":true}', "2-0"))
    await scene.publish(log.start())
    await scene.answer()
    assert watcher.names == ["progress-update", "step-change"]


async def test_what_is_malformed_is_dropped_counted_and_logged_once_a_job(
    scene: Scene, log: JobLog, caplog: pytest.LogCaptureFixture
) -> None:
    watcher = await scene.live()
    with caplog.at_level(logging.WARNING, "jobcast.actors"):
        await scene.publish(b"nonsense", b"{}", b"[]", publication("connected", "{}"), b"\xff")
    assert scene.registrar.dropped == 5
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert JOB in caplog.text
    await scene.publish(log.start())
    assert watcher.ids == ["1-0", "2-0"]


async def test_after_a_reconnect_the_log_says_what_was_missed(scene: Scene, log: JobLog) -> None:
    watcher = await scene.live()
    log.start()
    log.progress(1)
    await scene.subscribed()
    await scene.publish(log.progress(2))
    await scene.answer()
    assert watcher.ids == ["1-0", "2-0", "3-0", "4-0"]


async def test_a_reconnect_while_a_question_is_open_asks_again(scene: Scene, log: JobLog) -> None:
    watcher = await scene.live()
    await scene.subscribed()
    scene.log.questions[0].answer = log.read("1-0")
    log.start()
    await scene.subscribed()
    assert scene.asked == ["1-0"]
    await scene.answer()
    assert scene.asked == ["1-0"]
    await scene.answer()
    assert watcher.ids == ["1-0", "2-0"]


async def test_what_was_missed_may_have_many_pages(scene: Scene, log: JobLog) -> None:
    log.page = 3
    watcher = await scene.live()
    log.start()
    for percent in range(10):
        log.progress(percent)
    await scene.subscribed()
    await scene.answer_all()
    assert watcher.ids == [f"{number}-0" for number in range(1, 13)]


async def test_the_end_may_be_among_what_was_missed(scene: Scene, log: JobLog) -> None:
    watcher = await scene.live()
    log.start()
    log.append("complete", {"result": 1})
    await scene.subscribed()
    await scene.answer()
    assert watcher.names[1:] == ["step-change", "complete"]
    assert watcher.ending is Ending.FINISHED


async def test_a_log_that_was_cut_past_the_cursor_gives_a_snapshot(
    scene: Scene, log: JobLog
) -> None:
    watcher = await scene.live()
    log.start()
    log.progress(50)
    log.cut()
    log.progress(60)
    await scene.subscribed()
    await scene.answer()
    assert (watcher.names, watcher.ids) == (["progress-update"] * 2, ["1-0", log.last])
    assert watcher.events[-1].data["progress"] == 60


async def test_a_log_that_is_shorter_than_the_cursor_wins(scene: Scene, log: JobLog) -> None:
    watcher = await scene.live()
    await scene.publish(log.start(), log.progress(50), log.progress(60))
    del log.entries[-2:]
    await scene.subscribed()
    await scene.answer_all()
    assert watcher.ids == ["1-0", "2-0", "3-0", "4-0", "2-0"]
    assert watcher.events[-1].data["progress"] == 0


async def test_an_invention_that_was_believed_is_taken_back(scene: Scene, log: JobLog) -> None:
    watcher = await scene.live()
    await scene.publish(log.start())
    await scene.publish(publication("note", "{}", "2-7", "2-0"))
    await scene.publish(log.append("note", {"real": True}), log.progress(10))
    await scene.answer_all()
    assert watcher.names[2:] == ["note", "progress-update", "note", "progress-update"]
    assert watcher.ids[2:] == ["2-7", "2-0", "3-0", "4-0"]


async def test_an_invented_end_ends_nothing(scene: Scene, log: JobLog) -> None:
    watcher = await scene.live()
    await scene.publish(log.start())
    await scene.publish(publication("complete", '{"result":1}', "3-0", "2-0"))
    await scene.answer_all()
    await scene.publish(log.progress(10))
    assert watcher.names[1:] == ["step-change", "progress-update"]
    assert watcher.ending is None


async def test_an_end_that_a_retry_has_followed_ends_those_who_saw_it_and_nobody_else(
    scene: Scene, log: JobLog
) -> None:
    watcher = await scene.live()
    log.start()
    log.append("failed", {"error": "x", "errorCode": None})
    log.append("_retried")
    await scene.subscribed()
    late = await scene.watch()
    await scene.answer_all()
    assert (watcher.names[-1], watcher.ending) == ("failed", Ending.FINISHED)
    assert late.names[-1] == "failed"
    again = await scene.watch(watcher.ids[-1])
    await scene.answer_all()
    await scene.publish(log.start())
    await scene.answer_all()
    assert again.ids == ["4-0", "5-0"]


async def test_a_job_that_redis_has_lost_sends_its_viewers_back(scene: Scene, log: JobLog) -> None:
    live, resuming = await scene.live(), await scene.watch("0-7")
    log.gone = True
    await scene.subscribed()
    await scene.answer_all()
    assert (live.ending, resuming.ending) == (Ending.RETRY, Ending.RETRY)
    assert scene.feed.ref is None
    assert scene.registrar.forgotten[0] is scene.ref
    assert not scene.ref.is_alive()


async def test_a_job_that_never_was_sends_its_viewers_back(scene: Scene, log: JobLog) -> None:
    log.gone = True
    watcher = await scene.live()
    assert watcher.ending is Ending.RETRY
    assert not scene.ref.is_alive()


@pytest.mark.parametrize("end", ["complete", "failed"])
async def test_an_end_is_delivered_and_ends_the_streams_and_the_actor(
    scene: Scene, log: JobLog, end: str
) -> None:
    watcher = await scene.live()
    data = {"complete": {"result": 1}, "failed": {"error": "x", "errorCode": None}}[end]
    await scene.publish(log.start(), log.append(end, data), publication("note", "{}"))
    assert scene.asked == ["2-0"]
    await scene.answer()
    assert watcher.names[1:] == ["step-change", end]
    assert watcher.events[-1].data == data
    assert watcher.ending is Ending.FINISHED
    assert scene.registrar.forgotten[0] is scene.ref
    assert scene.feed.ref is None
    assert not scene.ref.is_alive()


async def test_a_job_that_had_finished_before_gives_its_end_as_a_snapshot(
    scene: Scene, log: JobLog
) -> None:
    log.start()
    log.append("complete", {"result": 1})
    watcher = await scene.live()
    assert (watcher.names, watcher.ids) == (["complete"], ["3-0"])
    assert watcher.ending is Ending.FINISHED


async def test_a_viewer_that_comes_just_after_the_end_is_not_left_alone(
    scene: Scene, log: JobLog
) -> None:
    await scene.live()
    late = Watcher()
    await scene.tell(
        *map(Published, (log.start(), log.append("complete", {"result": 1}))),
        Register(late.mailbox, None),
    )
    await scene.answer_all()
    assert (late.names, late.ending) == (["progress-update", "complete"], Ending.FINISHED)


async def test_a_viewer_that_comes_while_the_actor_stops_is_sent_back(scene: Scene) -> None:
    late = Watcher()
    stop = scene.ref.stop(block=False)
    scene.ref.tell(Register(late.mailbox, None))
    await stop
    assert late.ending is Ending.RETRY


async def test_a_stop_from_outside_sends_all_viewers_back(scene: Scene) -> None:
    live, resuming = await scene.live(), await scene.watch("0-7")
    await scene.ref.stop(block=False)
    assert (live.ending, resuming.ending) == (Ending.RETRY, Ending.RETRY)
    assert scene.feed.ref is None


async def test_a_failure_sends_all_viewers_back(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    live, waiting = await scene.live(), await scene.watch("0-7")
    monkeypatch.setattr(logging.getLogger("pykka"), "disabled", True)
    await scene.tell(CaughtUp(None))  # type: ignore[arg-type]  # what it can't handle
    assert (live.ending, waiting.ending) == (Ending.RETRY, Ending.RETRY)
    assert scene.registrar.forgotten[0] is scene.ref
    assert scene.feed.ref is None
    assert not scene.ref.is_alive()


async def test_a_publish_only_worker_is_heard_live_and_leaves_no_trace(
    scene: Scene, log: JobLog
) -> None:
    watcher = await scene.live()
    await scene.publish(
        publication("progress-update", '{"progress":70}'),
        publication("progress-update", '{"progress":30}'),
        publication("note", '{"a":1}'),
        log.start(),
    )
    assert watcher.ids == ["1-0", "1-0", "1-0", "1-0", "2-0"]
    assert [event.data.get("progress") for event in watcher.events] == [0, 70, 30, None, 0]
    late = await scene.watch()
    assert [event.data["progress"] for event in late.events] == [0]


async def test_what_a_publish_only_worker_says_before_the_state_is_known_follows_the_snapshot(
    scene: Scene,
) -> None:
    watcher = await scene.watch()
    await scene.subscribed()
    await scene.publish(publication("note", '{"a":1}'))
    await scene.answer()
    assert watcher.names == ["progress-update", "note"]


async def test_a_publish_only_workers_end_is_appended_and_comes_back(
    scene: Scene, log: JobLog
) -> None:
    watcher = await scene.live()
    await scene.publish(publication("complete", '{"result":{"a":1}}'))
    assert watcher.names == ["progress-update"]
    [(event, attempt)] = log.settled
    assert attempt == 1
    assert isinstance(event, Complete)
    assert bytes(event.data.result) == b'{"a":1}'
    await scene.publish(log.append("complete", {"result": {"a": 1}}))
    await scene.answer()
    assert (watcher.names[-1], watcher.ending) == ("complete", Ending.FINISHED)


async def test_a_publish_only_workers_failure_is_appended_too(scene: Scene, log: JobLog) -> None:
    await scene.live()
    await scene.publish(publication("failed", '{"error":"x"}'))
    [(event, _)] = log.settled
    assert isinstance(event, Failed)
    assert event.data.error == "x"


async def test_an_actor_that_nobody_watches_lingers_and_retires(scene: Scene, log: JobLog) -> None:
    watcher = await scene.live()
    await scene.leave(watcher)
    [(delay_s, ref, message)] = log.reminders
    assert 0 < delay_s < 10
    assert ref is scene.ref
    assert scene.ref.is_alive()
    await scene.tell(message)
    assert not scene.ref.is_alive()
    assert scene.feed.ref is None
    assert scene.registrar.forgotten[0] is scene.ref


async def test_a_viewer_that_comes_within_the_linger_time_keeps_the_actor(
    scene: Scene, log: JobLog
) -> None:
    await scene.leave(await scene.live())
    back = await scene.watch()
    await scene.tell(Expire())
    await scene.publish(log.start())
    assert back.ids == ["1-0", "2-0"]


async def test_a_viewer_that_left_gets_nothing_more(scene: Scene, log: JobLog) -> None:
    stays, goes = await scene.live(), await scene.watch()
    await scene.leave(goes)
    await scene.publish(log.start())
    assert (len(stays.events), len(goes.events)) == (2, 1)
    assert log.reminders == []


async def test_a_viewer_that_left_before_the_state_was_known_is_forgotten(scene: Scene) -> None:
    watcher = await scene.watch()
    await scene.leave(watcher)
    await scene.subscribed()
    await scene.answer()
    assert watcher.events == []
    assert len(scene.log.reminders) == 1


async def test_a_viewer_that_ended_before_it_was_registered_is_not(scene: Scene) -> None:
    await scene.live()
    watcher = Watcher()
    watcher.mailbox.end(Ending.RETRY)
    await scene.tell(Register(watcher.mailbox, None), Deregister(watcher.mailbox))
    assert watcher.events == []


async def test_it_keeps_out_of_pykkas_registry_which_is_a_list_to_be_searched(scene: Scene) -> None:
    assert scene.ref not in ActorRegistry.get_all()
