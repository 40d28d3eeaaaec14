import logging

import msgspec
import pytest

from actors import job_actor
from actors.mailbox import Ending
from actors.messages import Register
from eventlog.catch_up import CatchUp
from schema.events import Complete, Failed
from tests.support.job_world import JOB, JobLog, Scene, Watcher, handled, publication, stopped
from tests.support.sse import Event


async def test_it_follows_the_channel_first_and_asks_when_that_is_in_force(scene: Scene) -> None:
    assert scene.feed.inbox is scene.inbox
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


async def test_what_comes_in_one_read_is_delivered_whole_while_that_is_little_work(
    scene: Scene, log: JobLog
) -> None:
    watchers = [await scene.live(), await scene.watch()]
    await scene.publish_together(log.start(), *(log.progress(percent) for percent in range(99)))
    for watcher in watchers:
        assert watcher.names[1:] == ["step-change", *["progress-update"] * 99]
    assert scene.asked == []


async def test_of_more_in_one_read_than_can_be_delivered_in_time_the_newest_progress_counts(
    scene: Scene, log: JobLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_actor, "_MAX_DELIVERIES", 10)
    watchers = [await scene.live(), await scene.watch()]
    few = [log.start(), *(log.progress(percent) for percent in range(4))]
    await scene.publish_together(*few)
    many = [log.progress(5), log.append("note", {}), log.progress(6), log.progress(7)]
    await scene.publish_together(*many, log.append("note", {}), log.append("note", {}))
    for watcher in watchers:
        assert watcher.names[1:6] == ["step-change", *["progress-update"] * 4]
        assert watcher.names[6:] == ["note", "progress-update", "note", "note"]
        assert watcher.events[7].data["progress"] == 7
    late = await scene.watch()
    assert late.events[0].data["progress"] == 7
    await scene.publish(log.progress(8))
    assert {watcher.ids[-1] for watcher in (*watchers, late)} == {log.last}


async def test_what_follows_in_one_read_is_looked_up_when_something_is_missing(
    scene: Scene, log: JobLog
) -> None:
    watcher = await scene.live()
    log.start()  # its publication is lost
    await scene.publish_together(log.progress(1), log.progress(2), log.append("complete", {}))
    await scene.answer_all()
    assert watcher.ids == ["1-0", "2-0", "3-0", "4-0", "5-0"]
    assert watcher.ending is Ending.FINISHED


async def test_an_end_that_was_published_before_a_retry_is_not_that_of_the_next_attempt(
    log: JobLog,
) -> None:
    scene = Scene(log, log.state)
    await scene.watch()
    await scene.subscribed()
    await scene.publish(publication("failed", '{"error":"No disk"}'))
    log.append("failed", {"error": "No disk"})
    log.append("_retried")
    await scene.answer_all()
    assert [attempt for _, attempt in log.settled] == [1]
    await stopped(scene.inbox)


async def test_an_actor_that_is_given_the_state_looks_what_became_of_it_before_it_shows_it(
    log: JobLog,
) -> None:
    scene = Scene(log, log.state)
    watcher = await scene.watch()
    given = log.last
    missed = [log.start(), log.progress(1)]
    await scene.subscribed()
    await scene.publish(log.progress(2))
    assert (watcher.events, scene.asked) == ([], [given])
    await scene.answer_all()
    await scene.publish(*missed)
    assert watcher.ids == ["4-0"]
    assert watcher.events[0].data["progress"] == 2
    await stopped(scene.inbox)


async def test_a_viewer_that_comes_when_the_given_state_has_ended_is_shown_the_end(
    log: JobLog,
) -> None:
    scene = Scene(log, log.state)
    early = await scene.watch()
    log.start()
    log.append("complete", {"result": 1})
    await scene.subscribed()
    question = scene.log.questions.pop(0)
    question.given(log.read(question.cursor))
    late = Watcher()
    scene.inbox.tell(Register(late.mailbox, None))
    await scene.answer_all()
    await scene.tell()
    for watcher in (early, late):
        assert (watcher.names[-1], watcher.ending) == ("complete", Ending.FINISHED)


async def test_an_actor_that_is_given_the_state_shows_no_less_when_nothing_happened(
    log: JobLog,
) -> None:
    scene = Scene(log, log.state)
    watcher = await scene.watch()
    await scene.subscribed()
    await scene.answer_all()
    assert (watcher.names, watcher.ids) == (["progress-update"], [log.last])
    await stopped(scene.inbox)


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


@pytest.mark.parametrize(
    "data",
    ['{"result":NaN}', "Done", "[1]", '{"result":"\r"}', '{"result":%s}' % ("[" * 100_000)],
    ids=lambda data: data[:20],
)
async def test_of_an_end_that_cant_be_read_the_log_is_asked(
    scene: Scene, log: JobLog, data: str
) -> None:
    watcher = await scene.live()
    await scene.publish(log.start())
    prev = log.last
    log.append("complete", {"result": None})
    await scene.publish(publication("complete", data, log.last, prev))
    assert scene.asked == [prev]
    await scene.answer()
    assert watcher.names == ["progress-update", "step-change", "complete"]
    assert watcher.ending is Ending.FINISHED
    assert scene.registrar.dropped == 1


async def test_an_end_that_cant_be_read_is_not_missed_while_the_log_is_looked_at(
    scene: Scene, log: JobLog
) -> None:
    watcher = await scene.live()
    await scene.publish(publication("note", "{}", "9-0", "8-0"))
    scene.log.questions[0].answer = log.read("1-0")
    log.start()
    log.append("complete", {"result": None})
    await scene.publish(publication("complete", "Done", log.last, "2-0"))
    await scene.answer_all()
    assert watcher.names[-1] == "complete"
    assert watcher.ending is Ending.FINISHED


async def test_the_state_says_what_an_entry_that_cant_be_read_did_not(
    scene: Scene, log: JobLog
) -> None:
    await scene.live()
    await scene.publish(log.start())
    log.append("progress-update", {"progress": 40})
    unread = msgspec.structs.replace(log.entries[-1], event=None)
    await scene.publish(publication("progress-update", "Writing", log.last, "2-0"))
    scene.log.questions.pop().given(CatchUp(log.state, (unread,)))
    await handled(scene.inbox)
    late = await scene.watch()
    assert [event.data["progress"] for event in late.events] == [40]


async def test_an_end_that_only_the_state_knows_of_is_an_end(scene: Scene, log: JobLog) -> None:
    watcher = await scene.live()
    await scene.publish(log.start())
    await scene.publish(publication("note", "{}", "9-0", "8-0"))
    ended = msgspec.structs.replace(log.state, status="failed", error="No paper")
    scene.log.questions.pop().given(CatchUp(ended, ()))
    await handled(scene.inbox)
    assert watcher.events[-1] == Event("failed", {"error": "No paper", "errorCode": None}, log.last)
    assert watcher.ending is Ending.FINISHED


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


async def test_a_log_that_was_cut_past_the_cursor_gives_a_reset_and_a_snapshot(
    scene: Scene, log: JobLog
) -> None:
    watcher = await scene.live()
    log.start()
    log.progress(50)
    log.cut()
    log.progress(60)
    await scene.subscribed()
    await scene.answer()
    assert watcher.names == ["progress-update", "reset", "progress-update"]
    assert watcher.ids == ["1-0", "1-0", log.last]
    assert watcher.resets == [(1, "trimmed")]
    assert watcher.events[-1].data["progress"] == 60


async def test_a_log_that_was_cut_past_an_earlier_attempt_resets_its_viewers(
    scene: Scene, log: JobLog
) -> None:
    watcher = await scene.live()
    log.start()
    log.append("failed", {"error": "x", "errorCode": None})
    log.append("_retried")
    log.start()
    log.cut()
    log.progress(60)
    await scene.subscribed()
    await scene.answer_all()
    assert watcher.names == ["progress-update", "reset", "progress-update"]
    assert watcher.resets == [(2, "attempt")]
    assert watcher.ids[-1] == log.last


async def test_a_log_that_is_shorter_than_the_cursor_wins(scene: Scene, log: JobLog) -> None:
    watcher = await scene.live()
    await scene.publish(log.start(), log.progress(50), log.progress(60))
    del log.entries[-2:]
    await scene.subscribed()
    await scene.answer_all()
    assert watcher.ids == ["1-0", "2-0", "3-0", "4-0", "4-0", "2-0"]
    assert watcher.names[-2:] == ["reset", "progress-update"]
    assert watcher.resets == [(1, "unknown")]
    assert watcher.events[-1].data["progress"] == 0


async def test_a_log_that_lost_the_end_of_its_job_tells_the_end_that_it_has(
    scene: Scene, log: JobLog
) -> None:
    watcher = await scene.live()
    await scene.publish(log.start(), log.progress(50), log.progress(60))
    del log.entries[-2:]
    log.append("failed", {"error": "x", "errorCode": None})
    await scene.subscribed()
    await scene.answer_all()
    assert watcher.names[-2:] == ["reset", "failed"]
    assert (watcher.resets, watcher.ids[-1]) == ([(1, "unknown")], log.last)
    assert watcher.ending is Ending.FINISHED


async def test_a_log_that_was_lost_alone_shows_nothing_twice(scene: Scene, log: JobLog) -> None:
    watcher = await scene.live()
    await scene.subscribed()
    log.questions[0].answer = CatchUp(log.state)
    await scene.answer()
    assert watcher.ids == ["1-0"]
    assert watcher.resets == []


async def test_an_invention_that_was_believed_is_taken_back(scene: Scene, log: JobLog) -> None:
    watcher = await scene.live()
    await scene.publish(log.start())
    await scene.publish(publication("note", "{}", "2-7", "2-0"))
    await scene.publish(log.append("note", {"real": True}), log.progress(10))
    await scene.answer_all()
    assert watcher.names[2:] == ["note", "reset", "progress-update", "note", "progress-update"]
    assert watcher.ids[2:] == ["2-7", "2-7", "2-0", "3-0", "4-0"]
    assert watcher.resets == [(1, "unknown")]


async def test_an_invention_that_names_the_last_entry_but_lies_before_it_is_not_believed(
    scene: Scene, log: JobLog
) -> None:
    watcher = await scene.live()
    await scene.publish(log.start(), publication("note", "{}", "1-5", "2-0"), log.progress(1))
    await scene.answer_all()
    assert watcher.ids == ["1-0", "2-0", "3-0"]


async def test_an_invented_end_ends_nothing(scene: Scene, log: JobLog) -> None:
    watcher = await scene.live()
    await scene.publish(log.start())
    await scene.publish(publication("complete", '{"result":1}', "3-0", "2-0"))
    await scene.answer_all()
    await scene.publish(log.progress(10))
    assert watcher.names[1:] == ["step-change", "progress-update"]
    assert watcher.ending is None


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
