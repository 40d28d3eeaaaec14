"""A function for RQ that reports progress in RQ's own way."""

from rq import get_current_job

from benchmarks.peers.reporting import report_often


def report(seconds: float) -> float:
    """Report for some seconds; return the CPU used, in percent of a core."""
    job = get_current_job()
    if job is None:
        raise RuntimeError("RQ calls this")

    def update(current: int, total: int) -> None:
        job.meta.update(current=current, total=total)
        job.save_meta()  # type: ignore[no-untyped-call]  # RQ's

    return report_often(update, seconds)
