"""A Celery application whose task reports progress in Celery's own way."""

import os
from typing import Any

from celery import Celery

import jobcast.adapters.celery
from benchmarks.peers.reporting import report_often

_URL = os.environ["REDIS_URL"]

app = Celery("benchmark", broker=_URL, backend=_URL)
jobcast.adapters.celery.install(app, _URL)


@app.task(bind=True, name="report")  # type: ignore[untyped-decorator]  # Celery's
def report(self: Any, seconds: float) -> float:  # noqa: ANN401
    """Report for some seconds; return the CPU used, in percent of a core."""

    def update(current: int, total: int) -> None:
        self.update_state(state="PROGRESS", meta={"current": current, "total": total})

    return report_often(update, seconds)
