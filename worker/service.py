"""The worker process, from its start to its shutdown."""

import asyncio
import logging

import jobcast
from worker.queue import LOCK_S, Queue
from worker.registry import Registry
from worker.runner import CANCEL_TIMEOUT_S, Runner
from worker.settings import Settings

_log = logging.getLogger("jobcast.worker")


class Worker:
    """Serves the queue from `run` to `stop`.

    A crashed worker's entry is redelivered after ``lock_s`` seconds, or up to a third later.
    """

    def __init__(self, settings: Settings, registry: Registry, *, lock_s: float = LOCK_S) -> None:
        self._settings = settings
        self._jobs = jobcast.connect(settings.redis_url, block_s=CANCEL_TIMEOUT_S)
        self._runner = Runner(self._jobs, registry)
        self._queue = Queue(
            settings.redis_url,
            settings.queue,
            self._runner,
            concurrency=settings.concurrency,
            lock_s=lock_s,
        )
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Serve until `stop` is called; then end the jobs and close the connections.

        Jobs that are still running after ``settings.grace_s`` seconds are cancelled, and fail with
        ``WORKER_STOPPED``. Raises `RedisRefuses` if Redis rejects the URL at the start.
        """
        serving = asyncio.create_task(self._queue.serve())
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not serving.done():
                _log.info("shutting down")
            await self._queue.pause()
            await self._runner.stop(self._settings.grace_s)
            await self._queue.close()
        finally:
            serving.cancel()
            stopping.cancel()
            results = await asyncio.gather(serving, stopping, return_exceptions=True)
            await self._queue.disconnect()
            await self._jobs.aclose()
        for result in results:
            if isinstance(result, Exception):
                raise result

    def stop(self) -> None:
        """Stop taking jobs; a second call cancels the running jobs at once."""
        if self._stopping.is_set():
            self._runner.cancel()
        self._stopping.set()
