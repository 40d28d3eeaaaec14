"""Report a background job's progress to Jobcast from a worker.

    async with jobcast.connect("redis://127.0.0.1:6379/0") as jobs:
        async with jobs.run(job_id) as run:
            await run.progress(40, "Writing...", eta=30)
            run.result = {"pages": 12}

Each event is one atomic step in Redis: it is checked, logged, folded into the job's state and
published. A refused event raises a `JobcastError`, and nothing is written. While Redis is
unavailable, calls wait and retry until Redis acknowledges; each event is written exactly once, in
order.

`jobcast.sync` is the same API without ``await``, for blocking code.
"""

from jobcast._errors import (
    BufferFull,
    InvalidEvent,
    JobCancelled,
    JobcastError,
    JobExists,
    JobFinished,
    JobNotFailed,
    JobNotRunning,
    JobStalled,
    JobSuperseded,
    UnknownJob,
)
from jobcast._jobs import Jobs, connect
from jobcast._owner import owner
from jobcast._run import Run, current_run
from jobcast.redis.address import Address, parse_address

__all__ = [
    "Address",
    "BufferFull",
    "InvalidEvent",
    "JobCancelled",
    "JobExists",
    "JobFinished",
    "JobNotFailed",
    "JobNotRunning",
    "JobStalled",
    "JobSuperseded",
    "JobcastError",
    "Jobs",
    "Run",
    "UnknownJob",
    "connect",
    "current_run",
    "owner",
    "parse_address",
]
