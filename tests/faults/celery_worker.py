"""A worker of Celery that runs one task, which makes the calls that it reads.

Run as ``python -m tests.faults.celery_worker REDIS_URL JOB_ID LEASE_S BLOCK_S``. A call is a line
of JSON on standard input, ``[name, arguments, named arguments]``; the answer is a line of standard
output: the id of an entry, or null once the task is over or its run reports to nobody any more.
The broker is in the memory of this process: what fails here is Jobcast's Redis alone.
"""

import json
import os
import sys
from typing import Any

from celery import Celery, signals

import jobcast.sync
from jobcast.adapters._task import HEADER, Ticket
from jobcast.adapters.celery import install
from tests.support.service import SESSION

app = Celery("faults", broker="memory://")
app.conf.update(task_ignore_result=True, worker_redirect_stdouts=False)


class Trouble(Exception):
    """What the task raises when it is told to fail."""

    code = "TROUBLE"


@app.task  # type: ignore[untyped-decorator]  # Celery has no types
def report() -> object:
    """Make calls until one is the end."""
    run = jobcast.sync.current_run()
    assert run is not None
    say("")
    for line in sys.stdin:
        name, given, more = json.loads(line)
        if name == "complete":
            return given[0]
        if name == "fail":
            raise Trouble(given[0])
        entry_id = getattr(run, name)(*given, **more)
        say(None if is_silenced(run) else entry_id)
    leave()
    return None


def is_silenced(run: jobcast.sync.Run) -> bool:
    """Say whether a run reports to nobody any more: no call of it fails a task."""
    sender: Any = run._sender
    return bool(sender._leniency.is_silenced)


def say(answer: str | None) -> None:
    """Answer a call."""
    sys.stdout.write(f"{json.dumps(answer)}\n")
    sys.stdout.flush()


def over(**_: object) -> None:
    """Answer the last call, once the adapter has ended the job, and let the process end."""
    say(None)
    sys.stdin.read()
    leave()


def leave() -> None:
    """End the process as a worker does: what waits for Redis is written."""
    signals.worker_shutdown.send(sender=None)
    os._exit(0)


def main(url: str, job_id: str, lease_s: str, block_s: str) -> None:
    """Send the task, and work on it."""
    install(app, url, lease_s=float(lease_s), block_s=float(block_s))
    signals.task_postrun.connect(over)
    header = Ticket(job_id, "anything", None, SESSION).to_header(job_id)
    report.apply_async(task_id=job_id, headers={HEADER: header})
    options = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=ERROR")
    app.worker_main(["--quiet", "worker", "--pool=solo", *options])


if __name__ == "__main__":
    main(*sys.argv[1:5])
