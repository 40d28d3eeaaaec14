"""Docket: a task that reports by its progress, and a bar in a browser that follows it.

export REDIS_URL=redis://127.0.0.1:6379/0 DOCKET_URL=$REDIS_URL
docket worker --tasks docket_report:tasks --dependencies docket_report:dependencies &
python docket_report.py
"""

import asyncio
import os

from docket import Docket, Progress, Retry

import jobcast
from jobcast.adapters.docket import Jobcast, followed

URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")

dependencies = [Jobcast(URL)]


async def report(
    pages: int,
    progress: Progress = Progress(),
    retry: Retry = Retry(attempts=3),  # noqa: ARG001 - Docket reads it
) -> str:
    """Write a report."""
    await progress.set_message("Writing")
    await progress.set_total(pages)
    for _ in range(pages):
        await asyncio.sleep(0.1)
        await progress.increment()
    return "report.pdf"


tasks = [report]


async def main() -> None:
    """Add a task."""
    async with Docket(url=URL) as docket, followed(docket, URL):
        with jobcast.owner(user_id="dev"):
            print((await docket.add(report)(100)).key)


if __name__ == "__main__":
    asyncio.run(main())
