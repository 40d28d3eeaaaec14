"""The BullMQ queue of the worker.

BullMQ redelivers the entry of a crashed worker: nobody renews the entry's lock, so it expires, and
the next check by any worker requeues the entry.
"""

import asyncio
import logging
import math
import time
from typing import Any, Final

from bullmq import Job, Worker
from bullmq.custom_errors import DelayedError

from worker.queue_entry import QueueEntry
from worker.queue_redis import HANDOVERS, UNAVAILABLE, QueueRedis
from worker.runner import Outcome, Runner

LOCK_S: Final = 15.0
RETRY_S: Final = 1.0
CLOSE_TIMEOUT_S: Final = 3.0

_IDLE_WAIT_S: Final = 2
_LOG_AGAIN_S: Final = 10.0
_MAX_STALLS: Final = 3
_KEEP_FINISHED: Final = {"count": 1000}
"""Finished entries kept for inspection; the oldest are removed."""

_log = logging.getLogger("jobcast.worker")


class _BullWorker(Worker):  # type: ignore[misc]  # BullMQ ships no types
    """Logs outages of Redis, during which BullMQ's worker silently retries.

    While an entry is delayed, BullMQ blocks for the next one for up to 10 s. This class limits that
    to 2 s, less than the socket timeout, so that an unresponsive server is detected.
    """

    maximumBlockTimeout = _IDLE_WAIT_S  # noqa: N815 - BullMQ's name
    _logged_at = -math.inf

    def isConnectionError(self, error: Exception) -> bool:  # noqa: N802 - BullMQ's name
        """Return whether BullMQ should retry, and log the outage."""
        is_outage = isinstance(error, HANDOVERS) or bool(super().isConnectionError(error))
        now = time.monotonic()
        if is_outage and now - self._logged_at > _LOG_AGAIN_S:
            self._logged_at = now
            _log.warning("Redis is unavailable: %s", error)
        return is_outage


class RedisRefuses(Exception):
    """Redis rejects REDIS_URL, for example its password."""


class Queue:
    """Hands the entries of one BullMQ queue to a runner.

    A crashed worker's entry is redelivered after ``lock_s`` seconds, or up to a third later.
    """

    def __init__(
        self, url: str, name: str, runner: Runner, *, concurrency: int, lock_s: float = LOCK_S
    ) -> None:
        self._redis = QueueRedis(url)
        self._name = name
        self._runner = runner
        self._options: Any = {
            "connection": self._redis.client,
            "prefix": self._redis.prefix,
            "autorun": False,
            "concurrency": concurrency,
            "drainDelay": _IDLE_WAIT_S,
            "lockDuration": int(lock_s * 1000),
            "stalledInterval": int(lock_s * 1000 / 3),
            "maxStalledCount": _MAX_STALLS,
            "runRetryDelay": int(RETRY_S * 1000),
            "removeOnComplete": _KEEP_FINISHED,
            "removeOnFail": _KEEP_FINISHED,
        }
        self._bull: _BullWorker | None = None
        self._closing = asyncio.Event()
        self._failing: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Take entries until `close` is called, across any number of restarts of Redis.

        Raises `RedisRefuses` if Redis rejects the URL at the start. After a later rejection it
        retries: the password may just be changing.
        """
        await self._check()
        while True:
            await self._until_redis_answers()
            if self._closing.is_set():
                return
            self._bull = _BullWorker(self._name, self._process, self._options)
            self._bull.on("error", _log_error)
            self._bull.on("stalled", _log_stalled)
            self._bull.on("failed", self._on_failed)
            try:
                await self._bull.run()
            except UNAVAILABLE as error:
                _log.warning("the queue can't be served: %s", error)
            if self._closing.is_set():
                return
            # BullMQ's worker gave up and printed why; a new one goes on.
            await self._bull.close(force=True)

    async def pause(self) -> None:
        """Stop taking entries; running jobs go on."""
        if self._bull is not None:
            await self._bull.pause(do_not_wait_active=True)

    async def close(self) -> None:
        """Stop taking entries, and wait for running jobs."""
        self._closing.set()
        if self._bull is not None:
            closing = asyncio.create_task(self._bull.close())
            await asyncio.wait({closing}, timeout=CLOSE_TIMEOUT_S)
            if not closing.done():
                # Otherwise BullMQ retries for as long as Redis is unavailable.
                self._bull.cancelProcessing()
            await asyncio.wait({closing}, timeout=CLOSE_TIMEOUT_S)
        if self._failing:
            await asyncio.wait(self._failing, timeout=CLOSE_TIMEOUT_S)

    async def disconnect(self) -> None:
        """Close the connections. `serve` must have returned: until then BullMQ may open one."""
        await self._redis.aclose()

    async def _check(self) -> None:
        refusal = await self._redis.refusal()
        if refusal is not None:
            raise RedisRefuses(f"Redis refuses it: {refusal}")

    async def _until_redis_answers(self) -> None:
        logged = ""
        while not self._closing.is_set():
            try:
                await self._redis.client.ping()
            except UNAVAILABLE as error:
                if logged != str(error):
                    _log.warning("Redis is unavailable, waiting for it: %s", error)
                logged = str(error)
                await asyncio.sleep(RETRY_S)
            else:
                _log.info("serving the queue %s", self._name)
                return

    async def _process(self, job: Job, token: str) -> None:
        try:
            entry = QueueEntry.from_data(job.data, job.attemptsStarted)
        except ValueError as error:
            _log.error("queue entry %s: %s", job.id, error)
            return
        if await self._runner.run(entry) is Outcome.LATER:
            try:
                await job.moveToDelayed(round((time.time() + RETRY_S) * 1000), token)
            except Exception as error:  # noqa: BLE001 - BullMQ raises any kind
                _log.warning("queue entry %s: left until its lock expires: %s", job.id, error)
            raise DelayedError  # BullMQ leaves the entry where it is

    def _on_failed(self, job: Job, error: Exception) -> None:
        _log.error("queue entry %s: failed: %s", job.id, error)
        try:
            entry = QueueEntry.from_data(job.data, job.attemptsStarted)
        except ValueError:
            return
        task = asyncio.create_task(self._runner.give_up(entry))
        self._failing.add(task)
        task.add_done_callback(self._failing.discard)


def _log_error(error: Exception, *_: object) -> None:
    _log.error("queue: %s", error)


def _log_stalled(entry_id: str) -> None:
    _log.warning("queue entry %s: redelivered, its worker was lost", entry_id)
