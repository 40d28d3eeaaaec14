"""Queues of tasks with arguments: Celery and RQ.

A task is called with the job's input as keyword arguments. Its message names the job and the
attempt, for the library's adapter in the worker (``jobcast.adapters``).
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple, Protocol

from app.errors import BadRequest
from eventlog.errors import UnreadableJob
from eventlog.redis_calls import available
from jobcast._json import from_json
from jobcast.adapters._task import Ticket
from jobcast.protocol.names import state_key
from jobcast.redis.caller import Caller

_log = logging.getLogger("jobcast.queue")

_THREADS: Final = 4
_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


class Task(NamedTuple):
    """The task that runs one attempt of a job.

    Attributes:
        entry_id: its id in the queue: letters, digits, ``-`` and ``_``.
        name: name of the task in the worker.
        arguments: keyword arguments.
        header: names the job and the attempt.
    """

    entry_id: str
    name: str
    arguments: Mapping[str, Any]
    header: Mapping[str, str]


class Client(Protocol):
    """A client of a queue's library. Its methods block, for a limited time.

    Raises:
        RedisError, OSError: by each method: the queue's server is unavailable.
    """

    def add(self, task: Task) -> None:
        """Queue a task, unless one with this id is queued, where the library can check that."""

    def remove(self, entry_id: str, *, finished: bool) -> None:
        """Remove a task if it waits or, with ``finished``, if it has ended."""


class TaskQueue:
    """Adds attempts to a queue of tasks, and removes them.

    Args:
        tasks: names of tasks by job type.
        redis: reads the jobs' inputs.
        client: client of the queue.
    """

    def __init__(self, tasks: Mapping[str, str], redis: Caller, client: Client) -> None:
        self._tasks = tasks
        self._redis = redis
        self._client = client
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="queue")

    def check(self, job_type: str) -> None:
        """Raise BadRequest for a type without a task."""
        if job_type not in self._tasks:
            raise BadRequest(f"type: must be one of {', '.join(sorted(self._tasks))}")

    async def check_input(self, job_id: str) -> None:
        """Raise UnreadableJob for a stored input that is not a JSON object."""
        await self._input(job_id)

    async def add(self, job_id: str, attempt: int, job_type: str) -> None:
        """Queue an attempt."""
        self.check(job_type)
        ticket = Ticket(job_id, job_type, None, None, attempt)
        arguments = await self._input(job_id)
        entry_id = _entry_id(job_id, attempt)
        header = ticket.to_header(entry_id)
        task = Task(entry_id, self._tasks[job_type], arguments, header)
        await self._call(lambda: self._client.add(task))

    async def remove(self, job_id: str, attempt: int) -> None:
        """Remove an attempt, if it waits and the library can remove it."""
        entry_id = _entry_id(job_id, attempt)
        await self._call(lambda: self._client.remove(entry_id, finished=False))

    async def remove_finished(self, job_id: str, attempt: int) -> None:
        """Remove a finished attempt: the queue may refuse a new one with its id."""
        entry_id = _entry_id(job_id, attempt)
        await self._call(lambda: self._client.remove(entry_id, finished=True))

    async def _input(self, job_id: str) -> Mapping[str, Any]:
        async with available():
            key = state_key(job_id)
            text = await self._redis.call(key, "HGET", key, "input")
        try:
            job_input = from_json(text) if text else None
        except ValueError as error:
            raise _unreadable(job_id, "no JSON") from error
        if job_input is None:
            return {}
        if not isinstance(job_input, dict):
            raise _unreadable(job_id, "no object")
        return job_input

    async def _call(self, call: Callable[[], None]) -> None:
        async with available():
            await asyncio.get_running_loop().run_in_executor(self._threads, call)


def _unreadable(job_id: str, what: str) -> UnreadableJob:
    _log.error("job %s can't be queued: its input is %s", job_id, what)
    return UnreadableJob(f"the input of job {job_id} is {what}")


def _entry_id(job_id: str, attempt: int) -> str:
    if not _PLAIN.issuperset(job_id):
        job_id = hashlib.sha256(job_id.encode()).hexdigest()
    return f"{job_id}-{attempt}"
