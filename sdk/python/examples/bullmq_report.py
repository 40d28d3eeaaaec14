"""BullMQ: a processor that reports by its job, and a bar in a browser that follows it.

export REDIS_URL=redis://127.0.0.1:6379/0
python bullmq_report.py work &
python bullmq_report.py
"""

import asyncio
import os
import sys

from bullmq import Job, Queue, Worker

import jobcast
from jobcast.adapters.bullmq import follow, followed

URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")


async def report(job: Job, token: str) -> str:
    """Write a report."""
    del token
    pages = job.data["pages"]
    for page in range(1, pages + 1):
        await asyncio.sleep(0.1)
        await job.updateProgress({"current": page, "total": pages, "step": "Writing"})
    return "report.pdf"


async def work() -> None:
    """Process entries until the program is stopped."""
    await Worker("reports", followed(URL, report), {"connection": URL, "autorun": False}).run()


async def enqueue() -> None:
    """Add an entry."""
    queue = follow(Queue("reports", {"connection": URL}), URL)
    with jobcast.owner(user_id="dev"):
        job = await queue.add("report", {"pages": 100}, {"attempts": 3})
    print(job.id)
    await queue.close()


if __name__ == "__main__":
    asyncio.run(work() if sys.argv[1:] == ["work"] else enqueue())
