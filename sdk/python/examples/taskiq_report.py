"""taskiq: a task that reports by its tracker, and a bar in a browser that follows it.

export REDIS_URL=redis://127.0.0.1:6379/0
taskiq worker taskiq_report:broker &
python taskiq_report.py
"""

import asyncio
import os
from typing import Any

from taskiq import TaskiqDepends
from taskiq.depends.progress_tracker import ProgressTracker
from taskiq_redis import ListQueueBroker

import jobcast
from jobcast.adapters.taskiq import JobcastMiddleware

URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")

broker = ListQueueBroker(URL).with_middlewares(JobcastMiddleware(URL))


@broker.task("report")
async def report(pages: int, tracker: ProgressTracker[Any] = TaskiqDepends()) -> str:
    """Write a report."""
    for page in range(1, pages + 1):
        await asyncio.sleep(0.1)
        await tracker.set_progress("Writing", {"current": page, "total": pages, "unit": "page"})
    return "report.pdf"


async def main() -> None:
    """Send a task."""
    await broker.startup()
    with jobcast.owner(user_id="dev"):
        print((await report.kiq(100)).task_id)
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(main())
