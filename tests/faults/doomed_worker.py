"""A worker process that works on one job until it is killed.

Run as ``python -m tests.faults.doomed_worker REDIS_URL JOB_ID LEASE_S FORM``; prints a line for
each event.
"""

import asyncio
import itertools
import os
import sys
from typing import Any, Final

from tests.faults.forms import Form, opened

_BLOCK_S: Final = 30


async def work(url: str, job_id: str, lease_s: str, form: Form) -> None:
    """Take the job over and report without end."""
    async with opened(form, url, job_id, lease_s=float(lease_s), block_s=_BLOCK_S) as call:
        await call("start")
        for number in itertools.count():
            await call("emit", "note", {"n": f"{os.getpid()} {number}"})
            await call("progress", min(number, 99))
            sys.stdout.write(f"{number}\n")
            sys.stdout.flush()
            await asyncio.sleep(0.02)


if __name__ == "__main__":
    words: Any = sys.argv[1:5]
    asyncio.run(work(*words))
