"""What is said of file descriptors, and how often."""

import asyncio
import errno
import logging
import os
import resource

import pytest

from app.server.descriptors import RESERVE, Descriptors, _is_accept_error, raise_limit

STREAMS = 1000


class Limits:
    """The limits of a process, in place of the real ones."""

    def __init__(self, soft: int, hard: int) -> None:
        self.now = (soft, hard)
        self.may_be_raised = True

    def getrlimit(self, which: int) -> tuple[int, int]:
        assert which == resource.RLIMIT_NOFILE
        return self.now

    def setrlimit(self, which: int, limits: tuple[int, int]) -> None:
        assert which == resource.RLIMIT_NOFILE
        if not self.may_be_raised:
            raise ValueError
        self.now = limits


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> Limits:
    limits = Limits(soft=256, hard=STREAMS + RESERVE)
    monkeypatch.setattr(resource, "getrlimit", limits.getrlimit)
    monkeypatch.setattr(resource, "setrlimit", limits.setrlimit)
    return limits


def test_a_process_takes_as_many_descriptors_as_it_may(
    limits: Limits, caplog: pytest.LogCaptureFixture
) -> None:
    raise_limit(STREAMS)
    assert limits.now == (STREAMS + RESERVE, STREAMS + RESERVE)
    assert caplog.messages == []


@pytest.mark.parametrize("may_be_raised", [True, False])
def test_too_few_descriptors_are_warned_of(
    limits: Limits, caplog: pytest.LogCaptureFixture, *, may_be_raised: bool
) -> None:
    limits.may_be_raised = may_be_raised
    limits.now = (256, STREAMS + RESERVE - 1)
    raise_limit(STREAMS)
    (message,) = caplog.messages
    known = STREAMS + RESERVE - 1 if may_be_raised else 256
    assert message.startswith(f"{known} file descriptors (RLIMIT_NOFILE) are too few for the 1000")
    assert "JOBCAST_STREAMS_PER_PROCESS" in message


def test_no_limit_at_all_is_enough(limits: Limits, caplog: pytest.LogCaptureFixture) -> None:
    limits.now = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    raise_limit(STREAMS)
    assert caplog.messages == []


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_that_none_is_left_is_said_once_a_minute_and_so_is_the_end_of_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    is_left = True
    opened = os.open

    def refuse(path: str, flags: int) -> int:
        if is_left:
            return opened(path, flags)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", refuse)
    descriptors = Descriptors(lambda: 7)
    said = []
    for second in range(200):
        is_left = second < 10 or second >= 150
        descriptors.check(second)
        said += [(second, message.split(",")[0]) for message in caplog.messages]
        caplog.clear()
    none, some = "no file descriptor is left", "file descriptors are available again"
    assert said == [(10, none), (70, none), (130, none), (150, some)]


def test_a_limit_that_is_reached_again_and_again_is_no_flood(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    descriptors = Descriptors(lambda: 7)
    opened, looks = os.open, 0

    def refuse(path: str, flags: int) -> int:
        nonlocal looks
        looks += 1
        if looks % 2:
            raise OSError(errno.EMFILE, "")
        return opened(path, flags)

    monkeypatch.setattr(os, "open", refuse)
    for second in range(120):
        descriptors.check(second)
    assert len(caplog.messages) == 4


async def test_an_accept_that_fails_is_counted_and_any_other_error_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop = asyncio.get_running_loop()
    passed: list[str] = []
    loop.set_exception_handler(lambda _, context: passed.append(context["message"]))
    running = asyncio.create_task(Descriptors(lambda: 7).run())
    await asyncio.sleep(0)
    exhausted = OSError(errno.EMFILE, "")
    accepting = "socket.accept() out of system resource"
    for _ in range(3):
        loop.call_exception_handler({"message": accepting, "exception": exhausted})
    loop.call_exception_handler({"message": "another", "exception": exhausted})
    loop.call_exception_handler({"message": accepting, "exception": ValueError()})
    assert passed == ["another", accepting]
    assert caplog.messages == []
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    loop.call_exception_handler({"message": accepting, "exception": exhausted})
    assert passed[2:] == [accepting]


def test_a_loop_that_was_refused_counts_until_it_was_not(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    descriptors = Descriptors(lambda: 7)
    descriptors._refused = True
    descriptors.check(0)
    descriptors.check(1)
    assert [message.split(",")[0] for message in caplog.messages] == [
        "no file descriptor is left",
        "file descriptors are available again",
    ]


def test_only_an_accept_that_found_none_is_one() -> None:
    message = "socket.accept() out of system resource"
    assert _is_accept_error({"message": message, "exception": OSError(errno.ENFILE, "")})
    assert not _is_accept_error({"message": message, "exception": OSError(errno.EBADF, "")})
    assert not _is_accept_error({"message": message})
    assert not _is_accept_error({"exception": OSError(errno.EMFILE, "")})
