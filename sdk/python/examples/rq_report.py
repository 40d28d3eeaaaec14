"""RQ: a task that reports by its meta, and a bar in a browser that follows it.

export REDIS_URL=redis://127.0.0.1:6379/0
rq worker --url $REDIS_URL --job-class jobcast.adapters.rq.Job &
python rq_report.py
"""

import os
import time

from redis import Redis
from rq import Retry, get_current_job

import jobcast
from jobcast.adapters.rq import Queue

URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")


def report(pages: int) -> str:
    """Write a report."""
    job = get_current_job()
    for page in range(1, pages + 1):
        time.sleep(0.1)
        if job is not None:
            job.meta.update(current=page, total=pages, unit="page", step="Writing")
            job.save_meta()
    return "report.pdf"


if __name__ == "__main__":
    queue = Queue(connection=Redis.from_url(URL))
    with jobcast.owner(user_id="dev"):
        print(queue.enqueue("rq_report.report", 100, retry=Retry(max=3)).id)
