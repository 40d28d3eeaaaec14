"""An outage is logged when it begins, and not with every try."""

import logging

import pytest

from jobcast.redis.outages import Outages

_log = logging.getLogger("jobcast.test")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the present time, to be set."""
    now = [1000.0]
    monkeypatch.setattr("jobcast.redis.outages.monotonic", lambda: now[0])
    return now


def test_each_cause_is_logged_once_while_it_lasts(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    outages = Outages(_log, "away: %s")
    for _ in range(100):
        clock[0] += 50
        outages.add("refused")
        outages.add(ConnectionError("closed"))
    assert caplog.messages == ["away: refused", "away: closed"]


def test_the_next_outage_is_logged_again(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    outages = Outages(_log)
    for _ in range(2):
        outages.add("refused")
        clock[0] += 61
    assert caplog.messages == ["refused", "refused"]


def test_the_end_of_an_outage_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    outages = Outages(_log)
    outages.end("back")
    for _ in range(2):
        outages.add("refused")
        outages.end("back")
        outages.end("back")
    assert caplog.messages == ["refused", "back", "refused", "back"]


def test_causes_that_never_recur_take_no_memory(caplog: pytest.LogCaptureFixture) -> None:
    outages = Outages(_log)
    for number in range(1000):
        outages.add(number)
    outages.add(0)
    assert len(caplog.messages) == 1001
