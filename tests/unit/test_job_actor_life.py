import logging

import pytest
from pykka import ActorRegistry

from actors.mailbox import Ending
from actors.messages import Deregister, Expire, Register, Verified
from eventlog.channel import Published
from tests.support.job_world import JobLog, Scene, Watcher, handled, publication, stop, stopped


async def test_the_end_may_be_among_what_was_missed(scene: Scene, log: JobLog) -> None:
    watcher = await scene.live()
    log.start()
    log.append("complete", {"result": 1})
    await scene.subscribed()
    await scene.answer()
    assert watcher.names[1:] == ["step-change", "complete"]
    assert watcher.ending is Ending.FINISHED


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
    assert again.names == ["reset", "progress-update", "step-change"]
    assert (again.resets, again.ids[1:]) == ([(2, "attempt")], ["4-0", "5-0"])


async def test_a_job_that_redis_has_lost_sends_its_viewers_back(scene: Scene, log: JobLog) -> None:
    live, resuming = await scene.live(), await scene.watch("0-7")
    log.gone = True
    await scene.subscribed()
    await scene.answer_all()
    assert (live.ending, resuming.ending) == (Ending.RETRY, Ending.RETRY)
    assert scene.feed.inbox is None
    assert scene.registrar.forgotten[0] is scene.inbox
    assert not scene.inbox.is_open()


async def test_a_job_that_never_was_sends_its_viewers_back(scene: Scene, log: JobLog) -> None:
    log.gone = True
    watcher = await scene.live()
    assert watcher.ending is Ending.RETRY
    assert not scene.inbox.is_open()


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
    assert scene.registrar.forgotten[0] is scene.inbox
    assert scene.feed.inbox is None
    assert not scene.inbox.is_open()


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
        Published([log.start()]),
        Published([log.append("complete", {"result": 1})]),
        Register(late.mailbox, None),
    )
    await scene.answer_all()
    assert (late.names, late.ending) == (["progress-update", "complete"], Ending.FINISHED)


async def test_a_viewer_that_comes_while_the_actor_stops_is_sent_back(scene: Scene) -> None:
    late = Watcher()
    stop(scene.inbox)
    scene.inbox.tell(Register(late.mailbox, None))
    await handled(scene.inbox)
    assert late.ending is Ending.RETRY


async def test_a_stop_from_outside_sends_all_viewers_back(scene: Scene) -> None:
    live, resuming = await scene.live(), await scene.watch("0-7")
    await stopped(scene.inbox)
    assert (live.ending, resuming.ending) == (Ending.RETRY, Ending.RETRY)
    assert scene.feed.inbox is None


async def test_a_failure_sends_all_viewers_back(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    live, waiting = await scene.live(), await scene.watch("0-7")
    monkeypatch.setattr(logging.getLogger("pykka"), "disabled", True)
    await scene.tell(Verified(None))  # type: ignore[arg-type]  # what it can't handle
    assert (live.ending, waiting.ending) == (Ending.RETRY, Ending.RETRY)
    assert scene.registrar.forgotten[0] is scene.inbox
    assert scene.feed.inbox is None
    assert not scene.inbox.is_open()


async def test_an_actor_that_nobody_watches_lingers_and_retires(scene: Scene, log: JobLog) -> None:
    watcher = await scene.live()
    await scene.leave(watcher)
    [(delay_s, inbox, message)] = scene.registrar.reminders
    assert 0 < delay_s < 10
    assert inbox is scene.inbox
    assert scene.inbox.is_open()
    await scene.tell(message)
    assert not scene.inbox.is_open()
    assert scene.feed.inbox is None
    assert scene.registrar.forgotten[0] is scene.inbox


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
    assert scene.registrar.reminders == []


async def test_a_viewer_that_left_before_the_state_was_known_is_forgotten(scene: Scene) -> None:
    watcher = await scene.watch()
    await scene.leave(watcher)
    await scene.subscribed()
    await scene.answer()
    assert watcher.events == []
    assert len(scene.registrar.reminders) == 1


async def test_a_viewer_that_ended_before_it_was_registered_is_not(scene: Scene) -> None:
    await scene.live()
    watcher = Watcher()
    watcher.mailbox.end(Ending.RETRY)
    await scene.tell(Register(watcher.mailbox, "0-7"), Deregister(watcher.mailbox))
    assert watcher.events == []
    assert scene.asked == []


async def test_it_keeps_out_of_pykkas_registry_which_is_a_list_to_be_searched(scene: Scene) -> None:
    assert all(ref.actor_inbox is not scene.inbox for ref in ActorRegistry.get_all())
