"""A job that vanishes, or whose id another one gets, while the connection to Redis lives."""

import logging
from collections.abc import Callable
from typing import Any

import pytest

from actors.mailbox import Ending
from actors.messages import Replaced, Verify
from tests.support.job_world import JobLog, Scene, publication, stopped

SECRET = '{"secret":true}'

Recreate = Callable[[JobLog], bytes]


def with_other_ids(log: JobLog) -> bytes:
    return log.create("s1", after=50)


def in_the_same_millisecond(log: JobLog) -> bytes:
    return log.create("s2", after=0)


def with_earlier_ids(log: JobLog) -> bytes:
    return log.create("s2", after=-1)


RECREATED = pytest.mark.parametrize(
    "recreate", [with_other_ids, in_the_same_millisecond, with_earlier_ids]
)


def gone(scene: Scene) -> bool:
    is_unfollowed = scene.feed.inbox is None
    return is_unfollowed and not scene.inbox.is_open() and bool(scene.registrar.forgotten)


async def turns(scene: Scene, count: int) -> None:
    await scene.tell(*[Verify()] * count)


async def test_an_actor_whose_channel_is_silent_asks_at_every_second_turn(scene: Scene) -> None:
    watcher = await scene.live()
    asked = []
    for _ in range(6):
        await turns(scene, 1)
        asked.append(len(scene.asked))
        await scene.answer_all()
    assert asked == [0, 1, 0, 1, 0, 1]
    assert (watcher.ids, watcher.ending) == (["1-0"], None)


async def test_what_follows_the_last_entry_spares_the_question(scene: Scene, log: JobLog) -> None:
    await scene.live()
    await scene.publish(log.start())
    for percent in range(10):
        await turns(scene, 1)
        await scene.publish(log.progress(percent))
    assert scene.asked == []
    await turns(scene, 2)
    assert scene.asked == [log.last]


async def test_what_a_publish_only_worker_says_does_not_show_that_the_job_is_there(
    scene: Scene,
) -> None:
    await scene.live()
    for _ in range(2):
        await scene.publish(publication("note", "{}"))
        await turns(scene, 1)
    assert len(scene.asked) == 1


async def test_one_question_is_enough_however_long_its_answer_takes(scene: Scene) -> None:
    await scene.live()
    await turns(scene, 9)
    assert len(scene.asked) == 1


async def test_nothing_is_asked_before_the_job_is_known(scene: Scene) -> None:
    await scene.watch()
    await turns(scene, 4)
    assert scene.asked == []
    await scene.subscribed()
    await turns(scene, 4)
    assert scene.asked == [None]


async def test_what_is_published_meanwhile_does_not_wait_for_the_answer(
    scene: Scene, log: JobLog
) -> None:
    watcher = await scene.live()
    await turns(scene, 2)
    await scene.publish(log.start(), publication("note", "{}"))
    assert watcher.names[1:] == ["step-change", "note"]
    await scene.answer_all()
    await scene.publish(log.progress(1))
    assert watcher.names[1:] == ["step-change", "note", "progress-update"]


async def test_a_publication_that_was_lost_is_found_in_time(scene: Scene, log: JobLog) -> None:
    watcher = await scene.live()
    log.start()
    await turns(scene, 2)
    await scene.answer_all()
    assert watcher.names[1:] == ["step-change"]


async def test_an_end_whose_publication_was_lost_is_found_in_time(
    scene: Scene, log: JobLog
) -> None:
    watcher = await scene.live()
    log.start()
    log.append("complete", {"result": 1})
    await turns(scene, 2)
    await scene.answer_all()
    assert (watcher.names[-1], watcher.ending) == ("complete", Ending.FINISHED)


async def test_older_data_that_are_restored_meanwhile_are_found_in_time(
    scene: Scene, log: JobLog
) -> None:
    watcher = await scene.live()
    await scene.publish(log.start(), log.progress(50), log.progress(60))
    del log.entries[-2:]
    await turns(scene, 2)
    await scene.answer_all()
    assert watcher.ids == ["1-0", "2-0", "3-0", "4-0", "4-0", "2-0"]
    assert watcher.resets == [(1, "unknown")]


async def test_a_job_that_is_gone_sends_its_viewers_back(scene: Scene, log: JobLog) -> None:
    live, resuming = await scene.live(), await scene.watch("0-7")
    log.gone = True
    scene.log.questions.clear()
    await turns(scene, 2)
    await scene.answer_all()
    assert (live.ending, resuming.ending) == (Ending.RETRY, Ending.RETRY)
    assert gone(scene)


async def test_a_retried_job_is_the_same_job(scene: Scene, log: JobLog) -> None:
    watcher = await scene.live()
    log.start()
    log.append("failed", {"error": "x", "errorCode": None})
    log.append("_retried")
    late = await scene.watch()
    await turns(scene, 2)
    await scene.answer_all()
    assert watcher.ending is Ending.FINISHED
    assert late.names[-1] == "failed"
    assert scene.inbox.is_open()


@RECREATED
async def test_viewers_of_a_job_whose_id_another_one_got_are_sent_back(
    scene: Scene, log: JobLog, recreate: Recreate
) -> None:
    live, resuming = await scene.live(), await scene.watch("0-7")
    log.questions.clear()
    recreate(log)
    log.start(secret=True)
    await turns(scene, 2)
    await scene.answer_all()
    for watcher in (live, resuming):
        assert watcher.ending is Ending.RETRY
    assert (live.ids, resuming.ids) == (["1-0"], [])
    assert gone(scene)


@RECREATED
@pytest.mark.parametrize("together", [True, False])
async def test_nothing_that_follows_a_creation_is_passed_on(
    scene: Scene, log: JobLog, recreate: Recreate, *, together: bool
) -> None:
    live = await scene.live()
    payloads = [recreate(log), publication("note", SECRET), log.start(secret=True)]
    payloads += [publication("complete", '{"result":"secret"}'), log.progress(5, secret=True)]
    await (scene.publish_together(*payloads) if together else scene.publish(*payloads))
    assert (live.ids, len(scene.asked)) == (["1-0"], 1)
    await scene.answer_all()
    assert (live.ids, live.ending) == (["1-0"], Ending.RETRY)
    assert log.settled == []
    assert scene.registrar.dropped == 0
    assert gone(scene)


@RECREATED
async def test_a_creation_that_comes_while_the_log_is_looked_at_is_looked_at_too(
    scene: Scene, log: JobLog, recreate: Recreate
) -> None:
    live = await scene.live()
    await scene.subscribed()
    log.questions[0].answer = log.read("1-0")
    await scene.publish(recreate(log), publication("note", SECRET))
    await scene.answer()
    assert (live.ids, len(scene.asked)) == (["1-0"], 1)
    await scene.answer()
    assert (live.ids, live.ending) == (["1-0"], Ending.RETRY)
    assert gone(scene)


async def test_entries_of_another_job_are_not_applied_though_nobody_said_that_it_was_created(
    scene: Scene, log: JobLog
) -> None:
    live = await scene.live()
    with_other_ids(log)
    await scene.publish(log.start(secret=True), log.progress(5, secret=True))
    await scene.answer_all()
    assert (live.ids, live.ending) == (["1-0"], Ending.RETRY)


@RECREATED
async def test_who_resumes_is_not_given_what_another_job_did(
    scene: Scene, log: JobLog, recreate: Recreate
) -> None:
    await scene.live()
    await scene.publish(log.start(), log.progress(1))
    live, resuming = await scene.watch(), await scene.watch("1-0")
    recreate(log)
    log.start(secret=True)
    await scene.answer()
    assert (resuming.events, resuming.ending) == ([], Ending.RETRY)
    assert live.ending is Ending.RETRY
    assert gone(scene)


async def test_who_waits_for_the_state_is_not_shown_that_of_another_job(log: JobLog) -> None:
    scene = Scene(log, log.state)
    waiting = await scene.watch()
    with_other_ids(log)
    await scene.subscribed()
    await scene.answer_all()
    assert (waiting.events, waiting.ending) == ([], Ending.RETRY)
    assert gone(scene)


async def test_a_state_that_had_finished_says_which_job_is_meant_and_no_more(log: JobLog) -> None:
    log.start()
    log.append("failed", {"error": "x", "errorCode": None})
    known = log.state
    log.append("_retried")
    scene, other = Scene(log, known), Scene(log, known)
    watcher = await scene.watch()
    await scene.subscribed()
    await scene.answer_all()
    assert [event.data["progress"] for event in watcher.events] == [0]
    with_other_ids(log)
    watcher = await other.watch()
    await other.subscribed()
    await other.answer_all()
    assert (watcher.events, watcher.ending) == ([], Ending.RETRY)
    await stopped(scene.inbox)


async def test_that_the_job_itself_was_created_costs_a_look_and_nothing_else(
    log: JobLog, caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene(log)
    created = publication("_created", "{}", log.last)
    watcher = await scene.watch()
    await scene.subscribed()
    await scene.publish(created)
    await scene.answer_all()
    with caplog.at_level(logging.WARNING, "jobcast.actors"):
        await scene.publish(created, publication("note", "{}"))
        assert len(scene.asked) == 1
        await scene.answer_all()
    await scene.publish(log.start())
    assert watcher.names == ["progress-update", "note", "step-change"]
    assert (scene.registrar.dropped, caplog.records) == (0, [])
    await stopped(scene.inbox)


async def test_a_creation_without_an_id_is_no_publication(scene: Scene) -> None:
    await scene.live()
    await scene.publish(publication("_created", "{}"))
    assert (scene.asked, scene.registrar.dropped) == ([], 1)


async def test_what_comes_before_the_subscription_is_in_force_is_not_this_jobs(
    log: JobLog,
) -> None:
    scene = Scene(log, log.state)
    watcher = await scene.watch()
    await scene.publish(publication("note", SECRET), publication("complete", '{"result":1}'))
    await scene.subscribed()
    await scene.publish(publication("note", "{}"))
    await scene.answer_all()
    assert (watcher.names, watcher.events[1].data) == (["progress-update", "note"], {})
    assert log.settled == []
    await stopped(scene.inbox)


async def test_an_actor_that_retires_passes_on_nothing_that_waits_in_its_inbox(
    scene: Scene, log: JobLog
) -> None:
    live = await scene.live()
    late: Any = await scene.watch()
    scene.inbox.tell(Replaced())
    await scene.publish(publication("note", SECRET), publication("complete", "{}"), log.start())
    assert (live.ids, late.ids) == (["1-0"], ["1-0"])
    assert (live.ending, late.ending) == (Ending.RETRY, Ending.RETRY)
    assert log.settled == []
    assert gone(scene)
