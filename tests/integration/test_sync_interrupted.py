"""A blocking run that is interrupted by Ctrl-C, anywhere: its job ends, or is found stalled."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from redis import Redis
from redis.connection import Connection

from jobcast.sync import Jobs, Run, connect
from jobcast.sync._lease import Lease

TIMES = 150
LATEST_S = 0.004


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture
def jobs(redis_url: str) -> Iterator[Jobs]:
    with connect(redis_url, progress_per_s=None) as connected:
        yield connected


@contextmanager
def interrupted_after(delay_s: float) -> Iterator[None]:
    """Raise KeyboardInterrupt so many seconds from now, wherever Python is then."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGPROF, interrupt)
    try:
        signal.setitimer(signal.ITIMER_PROF, delay_s)
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def test_a_run_that_is_interrupted_anywhere_fails_its_job_or_loses_its_lease(
    jobs: Jobs, redis: Redis
) -> None:
    failed = 0
    for n in range(TIMES):
        job_id = jobs.create("report", user_id="u1", job_id=f"j{n}")
        run = jobs.run(job_id)
        with suppress(KeyboardInterrupt), interrupted_after(LATEST_S * (n + 1) / TIMES), run:
            while True:
                run.emit("note", {"n": 1})
                run.progress(50)
        status: Any = redis.hget(f"jobs:{{{job_id}}}:state", "status")
        failed += status == "failed"
        if status == "running":
            lease = run._lease
            assert lease is None or (isinstance(lease, Lease) and lease._renew is None)
    assert failed > TIMES / 2


def test_an_answer_that_was_not_read_is_taken_for_no_other_ones(
    jobs: Jobs, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs.create("report", user_id="u1", job_id="j1")
    run = jobs.run("j1")
    run.start()

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Connection, "read_response", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run.emit("note", {"n": 1})
    ids = [run.emit("note", {"n": n}) for n in (2, 3)]
    entries: Any = redis.xrange("jobs:{j1}:log")
    log = dict(entries)
    assert [json.loads(log[entry_id]["data"]) for entry_id in ids] == [{"n": 2}, {"n": 3}]


class LateError(Exception):
    """What a queue raises in a thread whose task takes too long."""


@pytest.mark.parametrize(
    ("interruption", "error"),
    [
        (KeyboardInterrupt(), "The run was interrupted before it ended"),
        (LateError("too late"), "too late"),
    ],
    ids=["Ctrl-C", "late"],
)
def test_an_interrupted_start_leaves_no_job_that_runs(
    jobs: Jobs,
    redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
    interruption: BaseException,
    error: str,
) -> None:
    jobs.create("report", user_id="u1", job_id="j1")
    run = jobs.run("j1")
    began = run._began

    def interrupt(answer: Any) -> None:  # noqa: ANN401 - an answer
        began(answer)
        raise interruption

    monkeypatch.setattr(run, "_began", interrupt)
    with pytest.raises(type(interruption)), run:
        pytest.fail("the block was entered")
    assert redis.hmget("jobs:{j1}:state", "status", "error") == ["failed", error]


def test_a_call_that_was_interrupted_as_it_began_to_send_blocks_no_other(jobs: Jobs) -> None:
    run: Run = jobs.run(jobs.create("report", user_id="u1", job_id="j1"))
    run.start()
    with pytest.raises(KeyboardInterrupt):
        interrupt_within(run)
    assert run.emit("note", {})


def interrupt_within(run: Run) -> None:
    """Do what a call has done when Ctrl-C comes right before it sends."""
    del run._sender._connection.closings
    try:
        run.emit("note", {})
    except AttributeError:
        run._sender._connection.closings = 0
        raise KeyboardInterrupt from None


def test_what_a_signal_handler_reports_comes_after_the_call_that_it_interrupts(
    jobs: Jobs, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    run: Run = jobs.run(jobs.create("report", user_id="u1", job_id="j1"))
    run.start()
    connection = run._sender._connection
    append = connection.append

    def interrupted(*call: Any) -> object:  # noqa: ANN401 - what `append` takes
        monkeypatch.setattr(connection, "append", append)
        # It can't wait for the call, which goes on only after it.
        assert run.log("got SIGTERM") == run.progress(10) == ""
        return append(*call)

    monkeypatch.setattr(connection, "append", interrupted)
    assert run.emit("note", {})
    run.complete()
    entries: Any = redis.xrange("jobs:{j1}:log")
    names = [fields["event"] for _, fields in entries]
    assert names[2:] == ["note", "log", "progress-update", "complete"]


def test_a_signal_handler_may_end_the_run(
    jobs: Jobs, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    run: Run = jobs.run(jobs.create("report", user_id="u1", job_id="j1"))
    append = run._sender._connection.append

    def stopped(*_: object) -> None:
        monkeypatch.setattr(run._sender._connection, "append", append)
        run.fail("got SIGTERM")
        sys.exit(1)

    def work() -> None:
        with run:
            monkeypatch.setattr(run._sender._connection, "append", stopped)
            run.emit("note", {})

    with pytest.raises(SystemExit):
        work()
    jobs.close()
    assert redis.hmget("jobs:{j1}:state", "status", "error") == ["failed", "got SIGTERM"]


ENDLESS = """
import sys, time
import jobcast.sync

with jobcast.sync.connect(sys.argv[1]) as jobs, jobs.run("j1") as run:
    print("running", flush=True)
    while True:
        run.progress(50)
        time.sleep(0.001)
"""


def test_ctrl_c_ends_a_process_and_its_job(jobs: Jobs, redis: Redis, redis_url: str) -> None:
    jobs.create("report", user_id="u1", job_id="j1")
    command = [sys.executable, "-c", ENDLESS, redis_url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"running\n"
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(60) != 0
        finally:
            process.kill()
    assert redis.hget("jobs:{j1}:state", "error") == "The run was interrupted before it ended"
