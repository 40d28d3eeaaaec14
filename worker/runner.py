"""Runs the jobs of queue entries, and ends them at a shutdown."""

import asyncio
import logging
from enum import Enum, auto
from typing import Final

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from jobcast import JobCancelled, JobcastError, JobFinished, Jobs, JobSuperseded, Run
from jobcast._failure import is_a, text_of, ungrouped
from jobcast._retry import UNAVAILABLE, refuses_writes
from worker.failure import Failure
from worker.queue_entry import QueueEntry
from worker.registry import Registry

MAX_DELIVERIES: Final = 10
CANCEL_TIMEOUT_S: Final = 5.0

_MAX_LOGGED: Final = 200
"""How many characters of an exception's text are logged."""

_STOPPED: Final = Failure("The worker was shut down", "WORKER_STOPPED")
_LOST: Final = Failure("The worker was lost too often while it ran the job", "WORKER_LOST")

_log = logging.getLogger("jobcast.worker")


class Outcome(Enum):
    """What becomes of a queue entry."""

    DONE = auto()
    """Acknowledge it: the job has ended, or the entry is obsolete."""
    LATER = auto()
    """Redeliver it: the job could not run, or its end could not be written."""


class Runner:
    """Runs each job in a task of its own, so that a shutdown can cancel it.

    An exception of its function fails the job, unless Redis is unavailable: then the entry is
    redelivered, and the next run takes the job over, whatever the first one has written.
    """

    def __init__(self, jobs: Jobs, registry: Registry) -> None:
        self._jobs = jobs
        self._registry = registry
        self._tasks: set[asyncio.Task[Outcome]] = set()
        self._stopping = False

    async def run(self, entry: QueueEntry) -> Outcome:
        """Run the job of an entry to its end. Does not raise what the job function raises."""
        if self._stopping:
            return Outcome.LATER
        try:
            run = self._jobs.run(entry.job_id, entry.attempt)
        except JobcastError as refusal:
            _log.error("a queue entry can't be run: %s", refusal)
            return Outcome.DONE
        task = asyncio.create_task(self._start_and_work(run, entry), name=f"job {entry.job_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # Unlike ``await task``, this does not cancel the task when BullMQ cancels this coroutine.
        await asyncio.wait({task})
        if task.cancelled():  # before its first step
            return Outcome.LATER
        error = task.exception()
        return await _fail(run, error) if type(error) is GeneratorExit else task.result()

    async def give_up(self, entry: QueueEntry) -> None:
        """Fail the job of an entry that BullMQ has redelivered too many times."""
        try:
            run = self._jobs.run(entry.job_id, entry.attempt)
            await run.start()
            await _fail(run, _LOST)
        except JobCancelled as cancelled:
            await _fail(run, cancelled)
        except (JobcastError, RedisError) as error:
            _log.warning("job %s: could not be failed: %s", entry.job_id, error)

    async def stop(self, grace_s: float) -> None:
        """Start no more jobs; cancel those that are still running after ``grace_s`` seconds."""
        self._stopping = True
        if not self._tasks:
            return
        _log.info("waiting up to %g s for %d job(s)", grace_s, len(self._tasks))
        await asyncio.wait(self._tasks, timeout=grace_s)
        self.cancel()
        if self._tasks:
            _, stuck = await asyncio.wait(self._tasks, timeout=CANCEL_TIMEOUT_S)
            for task in stuck:
                _log.error("%s does not end", task.get_name())

    def cancel(self) -> None:
        """Cancel the running jobs, which fails them."""
        for task in self._tasks:
            task.cancel()

    async def _start_and_work(self, run: Run, entry: QueueEntry) -> Outcome:
        return await _start(run) or await self._work(run, entry)

    async def _work(self, run: Run, entry: QueueEntry) -> Outcome:
        try:
            await self._call(run)
        except asyncio.CancelledError as error:
            return await _fail(run, _STOPPED if _is_cancelled() else error)
        except GeneratorExit:
            raise  # the event loop may be closing, so nothing can be awaited here
        except BaseException as error:  # noqa: BLE001 - signals are handled by the event loop
            return await _failed(run, entry, error)
        return _done(run)

    async def _call(self, run: Run) -> None:
        function = self._registry.function(run.type)
        if function is None:
            raise Failure(f"No function is registered for the type {run.type}", "UNKNOWN_TYPE")
        try:
            result = await function(run)
            if not run.has_ended:
                await run.complete(result)
        except ResponseError as error:
            if refuses_writes(error):
                raise RedisConnectionError(str(error)) from error
            raise


async def _start(run: Run) -> Outcome | None:
    """Start the job; return the outcome of its entry if there is nothing to run."""
    try:
        await run.start()
    except JobCancelled as cancelled:
        return await _fail(run, cancelled)
    except JobcastError as refusal:
        _log.info("job %s: nothing to do: %s", run.job_id, refusal)
        return Outcome.DONE
    except (RedisError, asyncio.CancelledError) as error:
        _log.warning("job %s: not started: %r", run.job_id, error)
        return Outcome.LATER
    _log.info("job %s: %s, attempt %s", run.job_id, run.type, run.attempt)
    return None


async def _failed(run: Run, entry: QueueEntry, raised: BaseException) -> Outcome:
    """End a job whose function has raised, or have its entry redelivered."""
    error = ungrouped(raised)
    is_outage = is_a(error, *UNAVAILABLE)
    if is_outage and entry.deliveries < MAX_DELIVERIES and not run.finished:
        _log.warning("job %s: Redis is unavailable: %s", run.job_id, _text(error))
        return Outcome.LATER
    if not is_outage and not is_a(error, JobCancelled, JobSuperseded, JobFinished):
        _log_failure(run, raised)
    return await _fail(run, error)


def _done(run: Run) -> Outcome:
    if not run.finished:
        return _unacknowledged(run)
    _log.info("job %s: done", run.job_id)
    return Outcome.DONE


def _unacknowledged(run: Run) -> Outcome:
    # The library repeats the append. If this process dies first, the next delivery runs the job.
    _log.warning("job %s: its end waits for Redis", run.job_id)
    return Outcome.LATER


async def _fail(run: Run, error: BaseException) -> Outcome:
    if run.finished:
        return Outcome.DONE
    if run.has_ended:
        return _unacknowledged(run)
    try:
        is_acknowledged = bool(await run.fail(error))
    except JobcastError as refusal:
        _log.info("job %s: belongs to another run: %s", run.job_id, refusal)
    except (Exception, asyncio.CancelledError) as failure:  # noqa: BLE001 - redelivery retries
        _log.warning("job %s: could not be failed: %r", run.job_id, failure)
        return Outcome.LATER
    else:
        if not is_acknowledged:
            return _unacknowledged(run)
        _log.info("job %s: failed: %s", run.job_id, _text(error))
    return Outcome.DONE


def _text(error: BaseException) -> str:
    return text_of(error)[:_MAX_LOGGED]


def _log_failure(run: Run, error: BaseException) -> None:
    try:
        _log.error("job %s: failed", run.job_id, exc_info=error)
    except BaseException:  # noqa: BLE001 - its own ``__str__`` may raise anything
        _log.error("job %s: failed, and can't be logged: %s", run.job_id, _text(error))


def _is_cancelled() -> bool:
    """Return whether this task itself was cancelled, rather than one that it awaited."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
