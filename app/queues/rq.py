"""An RQ queue."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from redis import Redis, RedisError
from rq import Queue
from rq.exceptions import DuplicateJobError, NoSuchJobError
from rq.job import Job, JobStatus

from app.queues.task_queue import Task
from jobcast.adapters._task import HEADER
from jobcast.redis.address import parse_address

_log = logging.getLogger("jobcast.queue")

_TIMEOUT_S: Final = 1.0
_WAITING: Final = frozenset({JobStatus.QUEUED, JobStatus.DEFERRED, JobStatus.SCHEDULED})
_FINISHED: Final = frozenset(
    {JobStatus.FINISHED, JobStatus.FAILED, JobStatus.STOPPED, JobStatus.CANCELED}
)


class RqClient:
    """Adds jobs to an RQ queue.

    Args:
        url: URL of the queue's Redis.
        name: name of the queue.

    Raises:
        ValueError: the URL is invalid.
    """

    def __init__(self, url: str, name: str) -> None:
        address = parse_address(url)
        if address.kind != "single":
            raise ValueError("RQ does not follow Sentinels or a Cluster")
        address.check()
        self._redis = Redis.from_url(
            url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S
        )
        self._queue = Queue(name, connection=self._redis)

    def add(self, task: Task) -> None:
        """Queue a task, unless one with this id is queued."""
        meta: Mapping[str, object] = {HEADER: dict(task.header)}
        with suppress(DuplicateJobError):
            self._queue.enqueue_call(
                task.name,
                kwargs=dict(task.arguments),
                timeout=-1,  # none: its owner can cancel it, and its lease expires
                job_id=task.entry_id,
                meta=dict(meta),
                unique=True,
            )

    def remove(self, entry_id: str, *, finished: bool) -> None:
        """Remove a task if it waits or, with ``finished``, if it has ended.

        Of an unreadable task nobody can tell whether it has ended; it is taken off the queue only.
        """
        try:
            job = Job.fetch(entry_id, connection=self._redis)
        except NoSuchJobError:
            return
        except (RedisError, OSError):
            raise
        except Exception as error:  # noqa: BLE001 - RQ raises any kind, even AssertionError
            _log.warning("the task %s of RQ can't be read: %r", entry_id, error)
            if not finished:
                self._queue.remove(entry_id)
            return
        if job.get_status() in (_FINISHED if finished else _WAITING):
            job.delete()
