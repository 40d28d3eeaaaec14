"""SAQ: a job that reports by its own update, and a bar in a browser that follows it.

export REDIS_URL=redis://127.0.0.1:6379/0
saq saq_report.settings --verbose &
python saq_report.py
"""

import asyncio
import os
from typing import Any

from saq import Queue

import jobcast
from jobcast.adapters.saq import follow

URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")

queue = follow(Queue.from_url(URL), URL)


async def report(ctx: dict[str, Any], *, pages: int) -> str:
    """Write a report."""
    for page in range(1, pages + 1):
        await asyncio.sleep(0.1)
        await ctx["job"].update(progress=page / pages, meta={"step": "Writing"})
    return "report.pdf"


settings = {"queue": queue, "functions": [report]}


async def main() -> None:
    """Enqueue a job."""
    with jobcast.owner(user_id="dev"):
        job = await queue.enqueue("report", pages=100, timeout=60, retries=3)
    print(job.key)
    await queue.disconnect()


if __name__ == "__main__":
    asyncio.run(main())
