"""arq: a job that reports to its run, and a bar in a browser that follows it.

export REDIS_URL=redis://127.0.0.1:6379/0
arq arq_report.WorkerSettings &
python arq_report.py
"""

import asyncio
import os
from typing import Any

from arq import create_pool
from arq.connections import RedisSettings

import jobcast
from jobcast.adapters.arq import follow, follow_worker

URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")


async def report(_: dict[str, Any], pages: int) -> str:
    """Write a report."""
    run = jobcast.current_run()
    if run is not None:
        async for _page in run.track(range(pages), "Writing", unit="page"):
            await asyncio.sleep(0.1)
    return "report.pdf"


@follow_worker(URL)
class WorkerSettings:
    """What ``arq`` is given."""

    functions = (report,)
    redis_settings = RedisSettings.from_dsn(URL)
    allow_abort_jobs = True


async def main() -> None:
    """Enqueue a job."""
    pool = follow(await create_pool(WorkerSettings.redis_settings), URL)
    with jobcast.owner(user_id="dev"):
        print((await pool.enqueue_job("report", 100)).job_id)
    await pool.aclose()


if __name__ == "__main__":
    asyncio.run(main())
