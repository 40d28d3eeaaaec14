"""Tasks of RQ as their users write them: but for `current_run`, they know nothing of Jobcast."""

import os
import time

from rq import Retry, get_current_job

import jobcast
import jobcast.sync
from jobcast.adapters.rq import Queue

PATIENCE_S = 60.0


def report(pages: int) -> dict[str, int]:
    """Report in RQ's own way."""
    job = get_current_job()
    assert job is not None
    for page in range(pages + 1):
        job.meta["progress"] = 100 * page // pages
        job.meta["phase"] = "reading"
        job.save_meta()
    return {"pages": pages}


def report_to_the_run() -> str:
    """Report to Jobcast itself, and enqueue another task."""
    run = jobcast.sync.current_run()
    assert run is not None
    for _ in run.track(range(3), "Counting", unit="page"):
        run.log("one more")
    job = get_current_job()
    assert job is not None
    child = Queue("children", connection=job.connection).enqueue(report, 1)
    return child.id


def fail() -> None:
    """Fail."""
    raise ValueError("no such page")


def fail_once() -> str:
    """Fail at the first attempt."""
    job = get_current_job()
    assert job is not None
    if job.retries_left:
        raise OSError("no route")
    return "done"


def ask_for_a_retry() -> "Retry | str":
    """Ask for another attempt, by what is returned."""
    job = get_current_job()
    assert job is not None
    return "done" if job.number_of_retries else Retry(max=3)


def work_on(step: str) -> None:
    """Report until somebody stops it."""
    job = get_current_job()
    assert job is not None
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        job.meta["step"] = step
        job.save_meta()
        time.sleep(0.05)


def say_nothing(key: str) -> None:
    """Say to the test that it has begun, then nothing until it is killed; once."""
    job = get_current_job()
    assert job is not None
    if job.connection.set(key, os.getpid(), nx=True):
        time.sleep(PATIENCE_S)


def wait_for(key: str) -> str:
    """Go on when the test says so."""
    job = get_current_job()
    assert job is not None
    job.meta["step"] = "Waiting"
    job.save_meta()
    job.connection.blpop([key], PATIENCE_S)
    job.meta["step"] = "Going on"
    job.save_meta()
    return "done"


def wait_and_fail_once(key: str) -> str:
    """Do so, then fail at the first attempt."""
    wait_for(key)
    return fail_once()


def return_what_json_lacks() -> object:
    """Return what RQ can keep and JSON can't."""
    return {1, 2, 3}


def store_a_lot() -> None:
    """Keep in ``meta`` what progress is not made for."""
    job = get_current_job()
    assert job is not None
    job.meta = {"progress": "50", "rows": ["x" * 100] * 10_000, "odd": {1, 2}, "status": 7}
    job.save_meta()
