"""Celery: a task that reports in Celery's own way, and a bar in a browser that follows it.

export REDIS_URL=redis://127.0.0.1:6379/0
celery --app celery_report worker &
python celery_report.py
"""

import os
import time

from celery import Celery, Task

import jobcast
import jobcast.adapters.celery

URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")

app = Celery("celery_report", broker=URL, backend=URL)
jobcast.adapters.celery.install(app, URL)


@app.task(name="report", bind=True, autoretry_for=(OSError,), max_retries=3)
def report(self: Task, pages: int) -> str:
    """Write a report; what can't be reached is tried again, as the job's next attempt."""
    for page in range(1, pages + 1):
        time.sleep(0.1)
        meta = {"current": page, "total": pages, "unit": "page", "step": "Writing"}
        self.update_state(state="PROGRESS", meta=meta)
    return "report.pdf"


if __name__ == "__main__":
    with jobcast.owner(user_id="dev"):
        print(report.delay(100).id)
