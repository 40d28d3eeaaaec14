"""Report a background job's progress to Jobcast from blocking code: threads and processes.

    with jobcast.sync.connect("redis://127.0.0.1:6379/0") as jobs:
        with jobs.run(job_id) as run:
            run.progress(40, "Writing...", eta=30)
            run.result = {"pages": 12}

Names, behaviour and exceptions are those of `jobcast`, without ``await``.
"""

from jobcast.sync._jobs import Jobs, connect
from jobcast.sync._run import Run, current_run

__all__ = ["Jobs", "Run", "connect", "current_run"]
