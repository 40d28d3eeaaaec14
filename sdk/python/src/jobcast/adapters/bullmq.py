"""Turns the entries of a BullMQ queue into jobs of Jobcast.

    worker = Worker("reports", followed(url, process), options)
    queue = follow(Queue("reports", options), url)

    with jobcast.owner(user_id="u1"):
        await queue.add("report", {"pages": 100})

What a processor passes to ``job.updateProgress``, a number or a dict, is progress: `_report` lists
the keys. Each of BullMQ's attempts is an attempt of the job. When the owner cancels a job, the
processor gets `JobCancelled` from its next report, or is aborted: by its ``AbortSignal`` if it
takes one, else by cancelling its asyncio task. Entries of the service, ``{jobId, attempt}``, and
those that Node's ``add`` has added are processed too.
"""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Unpack
from uuid import uuid4
from weakref import WeakSet

from bullmq import Job, Queue, Worker
from bullmq.abort_controller import AbortError
from bullmq.backoffs import Backoffs
from bullmq.custom_errors import DelayedError, UnrecoverableError, WaitingChildrenError
from redis.exceptions import RedisError

from jobcast._failure import is_a, is_cancellation
from jobcast.adapters._asyncio import Task, Tasks
from jobcast.adapters._task import HEADER, Settings, Ticket, owned_by, owner_of, type_of
from jobcast.protocol.names import parse_job_id, state_key
from jobcast.protocol.refusals import is_data_error

__all__ = ["follow", "followed", "owned_by"]

Process = Callable[..., Awaitable[Any]]
"""A processor of `bullmq.Worker`: it takes a job, a token and optionally an ``AbortSignal``."""

_LATER_MS: Final = 1000
_WITH_SIGNAL: Final = 3


def followed(url: str, process: Process, **settings: Unpack[Settings]) -> Process:
    """Wrap a processor so that it runs its entries as jobs, in the Redis at this URL.

    The settings are those of `jobcast.connect`. Raises ValueError if the URL is invalid, and
    `InvalidEvent` if a setting is.
    """
    processor = Processor(process, EntryTasks(url, **settings))

    async def with_signal(job: Job, token: str, signal: object) -> object:
        return await processor.process(job, token, signal)

    async def without_signal(job: Job, token: str) -> object:
        return await processor.process(job, token)

    # BullMQ creates a signal only if the processor has a third parameter.
    return with_signal if _takes_signal(process) else without_signal


def follow(queue: Queue, url: str, **settings: Unpack[Settings]) -> Queue:
    """Follow the entries that are added to a queue, in the Redis at this URL; return the queue.

    The settings are those of `jobcast.connect`, and ``enqueue_s``: how many seconds `Queue.add` may
    wait for that Redis. Raises ValueError if the URL is invalid, and `InvalidEvent` if a
    setting is.
    """
    FollowedQueue(queue, EntryTasks(url, **settings)).attach()
    return queue


class EntryTasks(Tasks):
    """The entries of a queue, including those whose jobs were created elsewhere."""

    async def found(self, job_id: str, attempt: int | None = None) -> Ticket | None:
        """Return the ticket of a job that was created elsewhere; None if it does not exist.

        Raises `RedisError` if Redis is unavailable.
        """
        if self._outage.is_on:
            raise RedisError("Redis was unavailable just before")
        state = state_key(job_id)
        names = ("created", "type", "userId", "sessionId")
        try:
            reply: Any = await self._connection.call(state, "HMGET", state, *names)
        except RedisError as error:
            self._outage.note(error)
            raise
        created, name, user_id, session_id = (
            part and part.decode(errors="replace") for part in reply
        )
        if created is None:
            return None
        return Ticket(job_id, type_of(name or ""), user_id, session_id, attempt)


class FollowedQueue:
    """Wraps the methods of a queue, to create and cancel the jobs of its entries."""

    def __init__(self, queue: Queue, tasks: EntryTasks) -> None:
        self._queue = queue
        self._tasks = tasks
        self._add, self._add_bulk = queue.add, queue.addBulk
        self._remove, self._close = queue.backend.remove, queue.close

    def attach(self) -> None:
        """Replace the queue's methods by the wrappers."""
        queue: Any = self._queue
        queue.add, queue.addBulk, queue.close = self.add, self.add_bulk, self.close
        queue.backend.remove = self.remove

    async def add(self, name: str, data: object, opts: Mapping[str, Any] | None = None) -> Job:
        """Create the job of an entry, and add the entry."""
        options, ticket = await self._create_job(name, opts)
        try:
            job = await self._add(name, data, options)
        except BaseException:
            await self._tasks.cancel(ticket)
            raise
        await self._check(job, options, ticket)
        return job

    async def add_bulk(self, jobs: list[dict[str, Any]]) -> list[Job]:
        """Create the jobs of entries, and add the entries."""
        created = [await self._create_job(each["name"], each.get("opts")) for each in jobs]
        entries = [
            {**each, "opts": options} for each, (options, _) in zip(jobs, created, strict=True)
        ]
        try:
            added: list[Job] = await self._add_bulk(entries)
        except BaseException:
            for _, ticket in created:
                await self._tasks.cancel(ticket)
            raise
        return added

    async def remove(self, entry_id: str, remove_children: bool) -> object:  # noqa: FBT001 - BullMQ's
        """Remove an entry, and cancel its job unless that has ended."""
        job = await Job.fromId(self._queue, entry_id)
        removed = await self._remove(entry_id, remove_children)
        if removed and job is not None:
            await self._tasks.cancel(_ticket(job))
        return removed

    async def close(self) -> None:
        """Close the connections."""
        await self._tasks.aclose()
        await self._close()

    async def _create_job(
        self, name: str, opts: Mapping[str, Any] | None
    ) -> tuple[dict[str, Any], Ticket | None]:
        """Create the job of an entry; return the options for adding it, and its ticket."""
        options = dict(opts or {})
        owner = owner_of(options.pop(HEADER, None))
        entry_id = options.get("jobId")
        if entry_id and await Job.fromId(self._queue, str(entry_id)) is not None:
            return options, None  # BullMQ adds no entry whose id is taken
        entry_id = str(entry_id or uuid4())
        ticket = await self._tasks.enqueued(entry_id, name, owner)
        if ticket is not None:
            options |= {"jobId": entry_id, HEADER: ticket.to_header()}
        return options, ticket

    async def _check(self, job: Job, options: dict[str, Any], ticket: Ticket | None) -> None:
        """Cancel the job of an entry that BullMQ did not add, as a duplicate of another."""
        if ticket is not None and job.id != options["jobId"]:
            await self._tasks.cancel(ticket)


class Processor:
    """Wraps a processor, to run its entries as jobs."""

    def __init__(self, process: Process, tasks: EntryTasks) -> None:
        self._process = process
        self._tasks = tasks
        self._workers: WeakSet[Worker] = WeakSet()

    async def process(self, job: Job, token: str, *signal: object) -> object:
        """Process an entry as a run of its job."""
        self._close_with(job.queue)
        attempt = _attempt_of(job.data)
        try:
            ticket = await self._ticket(job, attempt)
        except RedisError as error:
            if attempt is not None and not is_data_error(str(error)):
                await _delay(job, token)  # the entry's input is in Jobcast's Redis
            ticket = None
        if attempt is not None and ticket is None:
            return None  # the job has expired, or can't be read
        execution = Execution(job, can_stop=not signal)
        task = await execution.begin(self._tasks, ticket)
        if attempt is not None and not task.is_cancelled and task.run.attempt is None:
            task.leave()
            if task.is_followed:
                await _delay(job, token)
            return None
        if task.is_cancelled:
            task.leave()
            if attempt is not None:
                return None
            raise UnrecoverableError("Cancelled")
        if attempt is not None:
            job.data = task.run.input
        return await execution.run(lambda: self._process(job, token, *signal))

    async def _ticket(self, job: Job, attempt: int | None) -> Ticket | None:
        if (ticket := _ticket(job)) is not None:
            return ticket
        if attempt is not None:
            # After BullMQ's own retry, the entry still has the number of an earlier attempt.
            return await self._tasks.found(job.data["jobId"], None if job.attemptsMade else attempt)
        job_id = parse_job_id(job.id)
        return await self._tasks.found(job_id) if job_id and job_id == job.id else None

    def _close_with(self, worker: Any) -> None:  # noqa: ANN401 - BullMQ has no types
        """Make the worker's ``close`` close the connections to Jobcast's Redis too."""
        if worker in self._workers:
            return
        self._workers.add(worker)
        close = worker.close

        async def close_all(force: bool = False) -> None:  # noqa: FBT001, FBT002 - BullMQ's
            await close(force)
            await self._tasks.aclose()

        worker.close = close_all


class Execution:
    """One execution of an entry, for which BullMQ creates an asyncio task."""

    task: Task

    def __init__(self, job: Job, *, can_stop: bool) -> None:
        self._job = job
        self._is_of_service = _attempt_of(job.data) is not None
        self._running = asyncio.current_task() if can_stop else None
        self._is_stopped = False
        self._has_ended = False

    async def begin(self, tasks: EntryTasks, ticket: Ticket | None) -> Task:
        """Start the job, or take it over from an earlier run."""
        self.task = await tasks.begin(ticket, self._stop)
        return self.task

    async def run(self, process: Callable[[], Awaitable[Any]]) -> object:
        """Call the processor, and end the job with its result or exception."""
        job: Any = self._job
        update = job.updateProgress

        async def update_progress(progress: object) -> None:
            await update(progress)
            await self.task.report(_meta(progress))

        job.updateProgress = update_progress
        try:
            result = await process()
        except asyncio.CancelledError:
            if not self._is_stopped:
                self.task.leave()  # a forced close of the worker: BullMQ will redeliver the entry
                raise
            self._uncancel()
            await self.task.cancel()
            raise UnrecoverableError("Cancelled") from None
        except Exception as error:
            self._uncancel()
            if self._is_stopped or is_cancellation(error):
                await self.task.cancel()
                raise UnrecoverableError("Cancelled") from error
            await self._failed(error)
            raise
        finally:
            del job.updateProgress
        self._uncancel()
        await self.task.complete(result)
        return result

    async def _failed(self, error: Exception) -> None:
        """End the job or the attempt after an exception of the processor, or leave the job."""
        if isinstance(error, DelayedError | WaitingChildrenError):
            if self._is_of_service:
                self.task.leave()
            else:
                await self.task.retry("The processor has put it back into the queue", "REQUEUED")
        elif self._is_retried(error):
            await self.task.retry(error, in_s=await self._delay_s(error))
        elif is_a(error, AbortError):
            if getattr(self._job.queue, "forceClosing", False):
                self.task.leave()
            else:
                await self.task.cancel()
        else:
            await self.task.fail(error)

    def _is_retried(self, error: Exception) -> bool:
        """Whether BullMQ will retry the entry; decides as its `Job.moveToFailed` does."""
        job = self._job
        if job.discarded or isinstance(error, UnrecoverableError):
            return False
        return int(job.attemptsMade) + 1 < int(job.opts.get("attempts") or 1)

    async def _delay_s(self, error: Exception) -> float | None:
        job = self._job
        options = job.opts.get("backoff")
        if not options or options.get("type") not in Backoffs.builtin_strategies:
            return None  # only BullMQ may call a custom strategy, once per failure
        delay_ms = await Backoffs.calculate(options, job.attemptsMade + 1, error, job, None)
        return None if delay_ms is None else delay_ms / 1000

    def _stop(self) -> None:
        """Abort the processor, because the job was cancelled in Jobcast."""
        if self._has_ended:
            return
        self._is_stopped = True
        if self._running is not None:
            self._running.cancel()
        else:
            self._job.queue.cancelJob(self._job.id, "Cancelled")

    def _uncancel(self) -> None:
        """Withdraw the cancellation of the asyncio task: the processor has ended."""
        self._has_ended = True
        if self._running is not None and self._is_stopped:
            self._running.uncancel()


async def _delay(job: Job, token: str) -> None:
    """Make BullMQ deliver an entry again in 1 s. Always raises."""
    await job.moveToDelayed(round(time.time() * 1000) + _LATER_MS, token)
    raise DelayedError


def _takes_signal(process: Process) -> bool:
    """Whether it takes a third positional argument; BullMQ checks the same."""
    count = 0
    for parameter in inspect.signature(process).parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            return True
        count += parameter.kind in {parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD}
    return count >= _WITH_SIGNAL


def _attempt_of(data: object) -> int | None:
    """Return the attempt of an entry that the service added; None for any other entry."""
    if not isinstance(data, dict) or data.keys() != {"jobId", "attempt"}:
        return None
    attempt = data["attempt"]
    if type(attempt) is not int or attempt < 1 or parse_job_id(data["jobId"]) != data["jobId"]:
        return None
    return attempt


def _mapping(header: object) -> Mapping[object, object]:
    return header if isinstance(header, Mapping) else {}


def _ticket(job: Job) -> Ticket | None:
    return Ticket.from_header(_mapping(job.opts).get(HEADER))


def _meta(progress: object) -> object:
    """Convert a report for `_report`: a number is a percentage."""
    is_number = isinstance(progress, int | float) and not isinstance(progress, bool)
    return {"progress": progress} if is_number else progress
