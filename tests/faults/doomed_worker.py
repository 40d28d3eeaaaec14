"""A worker process that works on one job until it is killed.

Run as ``python -m tests.faults.doomed_worker REDIS_URL JOB_ID LEASE_S``; prints a line for each
event.
"""

import asyncio
import itertools
import os
import sys

import jobcast


async def work(url: str, job_id: str, lease_s: str) -> None:
    """Take the job over and report without end."""
    async with jobcast.connect(url, lease_s=float(lease_s), progress_per_s=None) as jobs:
        run = jobs.run(job_id)
        await run.start()
        for number in itertools.count():
            await run.emit("note", {"n": f"{os.getpid()} {number}"})
            await run.progress(min(number, 99))
            sys.stdout.write(f"{number}\n")
            sys.stdout.flush()
            await asyncio.sleep(0.02)


if __name__ == "__main__":
    asyncio.run(work(*sys.argv[1:4]))
