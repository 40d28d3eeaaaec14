"""What a worker says when its events wait for Redis."""

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError

from jobcast import _event
from jobcast._outbox import Limits, Outbox, Verdict, Waiting
from jobcast.protocol.append import Answer

NOTE = _event.emitted("note", {})


def test_events_that_wait_are_logged_once_with_the_cause_and_that_it_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    outboxes = [Outbox(f"j{number}", Limits(1, 10, 1000, 0)) for number in range(3)]
    for cause in (OutOfMemoryError("no memory"), RedisConnectionError("refused")):
        for outbox in outboxes:
            outbox.add(Waiting(NOTE))
            assert outbox.judge(cause) is Verdict.LATER
        for outbox in outboxes:
            outbox.answered(Answer("1-0", False, 0, 1, ""))  # noqa: FBT003 - the script's order
    waits, over = "Redis takes no events, so they wait in this process", "Redis takes events again"
    assert caplog.messages == [f"{waits}: no memory", over, f"{waits}: refused", over]
