"""RQ functions that do not use Jobcast."""

from typing import Any

from rq import get_current_job


def report(user_id: str, count: int = 2) -> dict[str, int]:
    """Report progress in RQ's own way, by ``meta``."""
    job = get_current_job()
    assert job is not None
    for number in range(1, count + 1):
        job.meta.update(current=number, total=count, step="Ü")
        job.save_meta()  # type: ignore[no-untyped-call]  # RQ's
        wait_for_next(number)
    return {"count": count}


def wait_for_next(number: int) -> None:
    """Wait until the test has read a number: RQ keeps only the latest ``meta``."""
    job = get_current_job()
    assert job is not None
    popped: Any = job.connection.blpop([f"seen:{job.id}"], 30)
    assert int(popped[1]) == number


def fail(user_id: str) -> None:
    """Fail."""
    raise ValueError("No disk")
