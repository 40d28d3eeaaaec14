"""The thread of the blocking library that runs tasks when they are due."""

import threading

import pytest

from jobcast.sync._scheduler import Scheduler


def test_a_thread_that_can_not_be_started_is_started_by_the_next_task(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    scheduler, ran = Scheduler("test"), [threading.Event(), threading.Event()]
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        scheduler.after(0, ran[0].set)
    assert "can't start new thread" in caplog.text
    scheduler.after(0, ran[1].set)
    try:
        assert all(each.wait(60) for each in ran)
    finally:
        scheduler.close()
