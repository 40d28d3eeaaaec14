"""Tasks of RQ and Celery that run jobs of the service: plain functions of its input."""

from rq import get_current_job


def report(pages: int) -> dict[str, int]:
    """Return what was asked for."""
    return {"pages": pages}


def count(key: str) -> None:
    """Count how often it was run."""
    job = get_current_job()
    assert job is not None
    job.connection.incr(key)


def fail_once(key: str) -> str:
    """Fail at the first attempt."""
    job = get_current_job()
    assert job is not None
    if job.connection.set(key, 1, nx=True):
        raise ValueError("no paper")
    return "done"
