"""The BullMQ queue that the worker serves.

BullMQ hands an entry out again when its worker dies: the entry's lock, which a living worker
renews, expires, and the next check of any worker puts the entry back.
"""

import asyncio
import logging
import math
import time
from typing import Any, Final

from bullmq import Job, Worker
from bullmq.custom_errors import DelayedError

from worker.entry import Entry
from worker.queue_redis import ABSENCES, HANDOVERS, QueueRedis
from worker.runner import Outcome, Runner

LOCK_S: Final = 15.0
RETRY_S: Final = 1.0
CLOSE_TIMEOUT_S: Final = 3.0

_IDLE_WAIT_S: Final = 2
_SAY_AGAIN_S: Final = 10.0
_MAX_STALLS: Final = 3
_KEPT: Final = {"count": 1000}
"""Finished entries that stay in Redis for a look; the oldest go."""

_log = logging.getLogger("jobcast.worker")


class _BullWorker(Worker):  # type: ignore[misc]  # it ships no types
    """Says that Redis is away, which BullMQ's worker only waits out.

    It asks for a job by a command that blocks, up to 10 s when one is delayed: no longer here than
    when there is none, so that a server that is mute can be told from one that has no job.
    """

    maximumBlockTimeout = _IDLE_WAIT_S  # noqa: N815 - BullMQ's name
    _said_at = -math.inf

    def isConnectionError(self, error: Exception) -> bool:  # noqa: N802 - BullMQ's name
        """Judge an error before BullMQ tries again."""
        is_away = isinstance(error, HANDOVERS) or bool(super().isConnectionError(error))
        now = time.monotonic()
        if is_away and now - self._said_at > _SAY_AGAIN_S:
            self._said_at = now
            _log.warning("Redis is away: %s", error)
        return is_away


class RedisRefuses(Exception):
    """Redis does not accept what REDIS_URL says."""


class Queue:
    """Hands the entries of one BullMQ queue to a runner.

    ``lock_s`` is how many seconds pass until another worker may take over the entry of a worker
    that died; it finds it within a third more.
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
            "removeOnComplete": _KEPT,
            "removeOnFail": _KEPT,
        }
        self._bull: _BullWorker | None = None
        self._closing = asyncio.Event()
        self._given_up: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Take entries until `close` is called, over any number of restarts of Redis.

        Raises `RedisRefuses` if that is its first answer. Later it may be that a password changes,
        and a worker outlives that.
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
            except ABSENCES as error:
                _log.warning("the queue can't be served: %s", error)
            if self._closing.is_set():
                return
            # BullMQ gave up (and said why on stderr): a next one goes on.
            await self._bull.close(force=True)

    async def pause(self) -> None:
        """Take no further entry; those that run go on."""
        if self._bull is not None:
            await self._bull.pause(do_not_wait_active=True)

    async def close(self) -> None:
        """Take no further entry, and wait for those that run."""
        self._closing.set()
        if self._bull is not None:
            closing = asyncio.create_task(self._bull.close())
            await asyncio.wait({closing}, timeout=CLOSE_TIMEOUT_S)
            if not closing.done():
                # It repeats itself without end while Redis is away.
                self._bull.cancelProcessing()
            await asyncio.wait({closing}, timeout=CLOSE_TIMEOUT_S)
        if self._given_up:
            await asyncio.wait(self._given_up, timeout=CLOSE_TIMEOUT_S)

    async def disconnect(self) -> None:
        """Close the connections, once `serve` has returned: until then BullMQ may open one."""
        await self._redis.aclose()

    async def _check(self) -> None:
        refusal = await self._redis.refusal()
        if refusal is not None:
            raise RedisRefuses(f"Redis refuses it: {refusal}")

    async def _until_redis_answers(self) -> None:
        said = ""
        while not self._closing.is_set():
            try:
                await self._redis.client.ping()
            except ABSENCES as error:
                if said != str(error):
                    _log.warning("Redis is away, waiting for it: %s", error)
                said = str(error)
                await asyncio.sleep(RETRY_S)
            else:
                _log.info("serving the queue %s", self._name)
                return

    async def _process(self, job: Job, token: str) -> None:
        try:
            entry = Entry.from_data(job.data, job.attemptsStarted)
        except ValueError as error:
            _log.error("queue entry %s: %s", job.id, error)
            return
        if await self._runner.run(entry) is Outcome.LATER:
            try:
                await job.moveToDelayed(round((time.time() + RETRY_S) * 1000), token)
            except Exception as error:  # noqa: BLE001 - BullMQ raises any kind
                _log.warning("queue entry %s: left until its lock expires: %s", job.id, error)
            # Tells BullMQ to leave the entry where it is.
            raise DelayedError

    def _on_failed(self, job: Job, error: Exception) -> None:
        _log.error("queue entry %s: failed: %s", job.id, error)
        try:
            entry = Entry.from_data(job.data, job.attemptsStarted)
        except ValueError:
            return
        task = asyncio.create_task(self._runner.give_up(entry))
        self._given_up.add(task)
        task.add_done_callback(self._given_up.discard)


def _log_error(error: Exception, *_: object) -> None:
    _log.error("queue: %s", error)


def _log_stalled(entry_id: str) -> None:
    _log.warning("queue entry %s: its worker was lost, handed out again", entry_id)
