"""The queues of asyncio that have an adapter, and how their processes are started."""

import os
from pathlib import Path
from typing import NamedTuple

from tests.support.environments import packages_of
from tests.support.queue_worker import ROOT


class Kind(NamedTuple):
    """A queue, how its worker is started and what that prints once it works."""

    name: str
    worker: str
    ready: str
    packages: str | None = None
    """The environment that it needs, if it is not this one."""
    can_abort: bool = True
    keeps_what_json_lacks: bool = True
    can_lack_tasks: bool = True

    def settings(self, redis_url: str, jobcast_url: str, folder: Path = ROOT) -> dict[str, str]:
        """Return the variables of a process that uses it."""
        path = [] if self.packages is None else [packages_of(self.packages)]
        return {
            "REDIS_URL": redis_url,
            "DOCKET_URL": redis_url,
            "JOBCAST_REDIS_URL": jobcast_url,
            "PYTHONPATH": os.pathsep.join([*path, str(folder), str(ROOT)]),
        }


KINDS = {
    kind.name: kind
    for kind in [
        Kind(
            "taskiq",
            "taskiq worker tests.queues.taskiq_app:broker --workers 1",
            "Listening started",
            can_abort=False,
        ),
        Kind(
            "saq",
            "saq tests.queues.saq_app.settings --verbose",
            "Worker starting",
            packages="older_redis",
            keeps_what_json_lacks=False,
        ),
        Kind("arq", "arq tests.queues.arq_app.WorkerSettings", "Starting worker", "older_redis"),
        Kind(
            "bullmq",
            "tests.queues.bullmq_app",
            "",  # BullMQ says nothing, and entries wait
            can_abort=False,
            keeps_what_json_lacks=False,
            can_lack_tasks=False,  # it has one processor for all
        ),
        Kind(
            "docket",
            "docket worker --tasks tests.queues.docket_app:tasks"
            " --dependencies tests.queues.docket_app:dependencies",
            "Starting worker",
        ),
    ]
}
