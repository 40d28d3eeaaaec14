"""A Celery application that does not use Jobcast; its broker is in ``REDIS_URL``."""

import os
from typing import Any

from celery import Celery
from redis import Redis

URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:1/0")

app = Celery("plain", broker=URL)
app.conf.worker_send_task_events = True
app.conf.worker_hijack_root_logger = False


@app.task(bind=True)  # type: ignore[untyped-decorator]  # Celery's
def report(self: Any, user_id: str, count: int = 2) -> dict[str, int]:  # noqa: ANN401
    """Report progress by Celery's own events."""
    for number in range(1, count + 1):
        self.send_event("task-progress", current=number, total=count, step="Ü")
    return {"count": count}


@app.task(bind=True, max_retries=1)  # type: ignore[untyped-decorator]  # Celery's
def fail(self: Any, user_id: str) -> None:  # noqa: ANN401
    """Fail, after one retry."""
    raise self.retry(exc=ValueError("No disk"), countdown=0)


@app.task(bind=True)  # type: ignore[untyped-decorator]  # Celery's
def wait(self: Any, user_id: str, key: str) -> str:  # noqa: ANN401
    """Report each progress that is pushed to a list, until ``end`` is pushed."""
    with Redis.from_url(URL, decode_responses=True) as redis:
        while True:
            popped: Any = redis.blpop([key], 30)
            if popped is None or popped[1] == "end":
                return "ended"
            self.send_event("task-progress", progress=int(popped[1]))
