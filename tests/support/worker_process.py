"""The worker as it is deployed, in a separate process, and additions to its queue."""

from typing import Any, Self

from bullmq import Queue
from redis.asyncio import Redis

from tests.support.logged_process import LoggedProcess


class WorkerProcess(LoggedProcess):
    """One ``python -m worker``: ``with WorkerProcess(url, JOBCAST_GRACE_S="1")``.

    The block begins once the worker serves its queue.
    """

    patience_s = 20.0
    strict = True

    def __init__(self, redis_url: str, **settings: str) -> None:
        super().__init__("worker", ["worker", "demo.checksum"], redis_url, **settings)

    def __enter__(self) -> Self:
        self.start()
        self.wait_for_log("serving the queue")
        return self


async def enqueue(redis: Redis, job_id: str, attempt: int = 1, *, queue: str = "jobcast") -> None:
    """Add an attempt of a job to the queue, as the service does."""
    await enqueue_data(redis, {"jobId": job_id, "attempt": attempt}, queue=queue)


async def enqueue_data(redis: Redis, data: Any, *, queue: str = "jobcast") -> None:  # noqa: ANN401
    """Add an entry with any data to the queue."""
    options: Any = {"connection": redis}
    entry: Any = {}
    await Queue(queue, options).add("any", data, entry)
