"""Turns RQ's jobs into jobs of Jobcast.

    queue = jobcast.adapters.rq.Queue(connection=Redis())

    with jobcast.owner(user_id="u1"):
        queue.enqueue(resize, "photos")

``rq worker --job-class jobcast.adapters.rq.Job`` runs them, with any of RQ's workers. Jobcast uses
the Redis of RQ, unless `install` or ``JOBCAST_REDIS_URL`` names another.

``job.save_meta()`` reports ``job.meta`` as progress: `jobcast.adapters._report` lists the keys.
Other keys are sent only if the task has changed them. A ``Retry`` begins the next attempt.
``job.cancel()`` and ``send_stop_job_command`` cancel the job in Jobcast, and when the owner cancels
a job, it is stopped in RQ.
"""

import logging
import os
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Unpack
from urllib.parse import quote, urlencode

import rq
from redis import Redis, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import RedisError
from rq.command import send_stop_job_command
from rq.job import JobStatus, Retry

from jobcast._errors import JobCancelled
from jobcast.adapters._blocking import Task, Tasks
from jobcast.adapters._leniency import Notices
from jobcast.adapters._report import KNOWN, is_changed
from jobcast.adapters._task import HEADER, Settings, Ticket, owned_by, owner_of
from jobcast.adapters._unsent import Unsent

__all__ = ["Job", "Queue", "install", "owned_by"]

_log: Final = logging.getLogger("jobcast.adapters")

ADDRESS: Final = "JOBCAST_REDIS_URL"
"""The environment variable with the URL of Jobcast's Redis, if that is not RQ's."""

_UNSENT: Final = "rq:jobcast:unsent"
"""A list in RQ's Redis of events that work horses could not send: see `Unsent`."""
_UNSENT_S: Final = 24 * 3600
_MOST_DELIVERED: Final = 100
_LOST: Final = "The worker was lost", "STALLED"


def install(url: str, **settings: Unpack[Settings]) -> None:
    """Use the Redis at this URL for Jobcast, instead of RQ's.

    Call it in a module that the worker imports too: that of your own ``Job`` class
    (``--job-class``), or RQ's settings (``--config``). The settings are those of `jobcast.connect`,
    and ``enqueue_s``: how many seconds enqueueing a job may wait for that Redis. Raises ValueError
    if the URL is invalid, and `InvalidEvent` if a setting is.
    """
    Job.jobcast = Tasks(url, **settings)


class Job(rq.job.Job):
    """A job of RQ that is followed, if it has an owner."""

    jobcast: ClassVar[Tasks | None] = None
    """Created by `install`."""

    _ticket: Ticket | None = None
    _task: Task | None = None
    _meta_before: Mapping[str, object] = {}
    _has_ended = False

    def announce(self) -> None:
        """Create the job in Jobcast, if it has an owner."""
        owner = owner_of(self.meta.get(HEADER))
        if (tasks := self._tasks) is not None:
            self._ticket = tasks.enqueued(self.id, self.func_name or "", owner)
        self.meta.pop(HEADER, None)
        self._keep_ticket()

    def restore(self, raw_data: Mapping[Any, Any]) -> None:
        """Load the job, and its ticket, from its hash in Redis."""
        super().restore(raw_data)
        ticket = Ticket.from_header(self.meta.get(HEADER), self.id)
        if ticket is not None:
            self._ticket = ticket

    def perform(self) -> Any:  # noqa: ANN401 - the task's result
        """Execute the task as a run of its job."""
        tasks = self._tasks
        if tasks is None:
            return super().perform()
        self._deliver(tasks)
        self._meta_before = dict(self.meta)
        ticket = self._ticket
        if ticket is not None and self.number_of_retries:
            ticket = ticket.of_any_attempt()
        self._task = task = tasks.begin(ticket, self._stop)
        try:
            if task.is_cancelled:
                raise JobCancelled  # noqa: TRY301 - as a call of the run would
            result = super().perform()
        except BaseException as error:
            if isinstance(error, JobCancelled):
                self.retries_left = None
            self._fail(task, error)
            raise
        self._complete(task, result)
        return result

    def save(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - RQ's arguments
        """Write the job, with its ticket, to Redis."""
        self._keep_ticket()
        super().save(*args, **kwargs)

    def save_meta(self) -> None:
        """Write ``meta`` to Redis, and report it to Jobcast as progress."""
        self._keep_ticket()
        super().save_meta()  # type: ignore[no-untyped-call]  # RQ's
        if self._task is not None:
            self._task.report(
                {
                    key: value
                    for key, value in self.meta.items()
                    if key in KNOWN or self._is_changed(key, value)
                }
            )

    def cancel(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - RQ's arguments
        """Cancel the job in RQ and in Jobcast."""
        result = super().cancel(*args, **kwargs)
        self._cancel()
        return result

    def delete(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - RQ's arguments
        """Delete the job; cancel it in Jobcast unless it has ended."""
        super().delete(*args, **kwargs)
        self._cancel()

    def set_status(self, status: JobStatus, pipeline: Any = None) -> None:  # noqa: ANN401 - RQ's
        """Set the status; on STOPPED and FAILED, end the job in Jobcast if no work horse has."""
        super().set_status(status, pipeline)
        if status == JobStatus.STOPPED:
            self._end_from_outside("Cancelled", None)
        elif status == JobStatus.FAILED:
            self._end_from_outside(*_LOST)

    def retry(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - RQ's arguments
        """Requeue the job; end its attempt in Jobcast if no work horse has."""
        self._end_from_outside(*_LOST, is_retried=True)
        super().retry(*args, **kwargs)

    @property
    def _tasks(self) -> Tasks | None:
        return self.jobcast or _tasks_of(self.connection)

    def _fail(self, task: Task, error: BaseException) -> None:
        self._task, self._has_ended = None, True
        if self.should_retry:
            task.retry(error, in_s=self.get_retry_interval())
        else:
            task.fail(error)
        self._hand_over(task)

    def _complete(self, task: Task, result: object) -> None:
        self._task, self._has_ended = None, True
        if not isinstance(result, Retry):
            task.complete(result)
        elif (self.number_of_retries or 0) < result.max:
            interval_s = Retry.get_interval(self.number_of_retries or 0, result.intervals)
            task.retry("The task asked for a retry", "RETRY", in_s=interval_s)
        else:
            task.fail("The task asked for too many retries", "RETRY")
        self._hand_over(task)

    def _hand_over(self, task: Task) -> None:
        """Store the events that Jobcast's Redis has not acknowledged, for the next work horse."""
        unsent = task.unsent()
        if unsent is None:
            return
        try:
            with self.connection.pipeline() as pipeline:
                pipeline.rpush(_UNSENT, unsent.to_json())
                pipeline.expire(_UNSENT, _UNSENT_S)
                pipeline.execute()
        except RedisError as error:
            _log.warning("job %s: its end may be lost: %s", unsent.job_id, error)

    def _deliver(self, tasks: Tasks) -> None:
        """Send the events that other work horses could not."""
        try:
            for _ in range(_MOST_DELIVERED):
                kept: Any = self.connection.lindex(_UNSENT, 0)
                if kept is None:
                    return
                unsent = Unsent.from_json(kept)
                if unsent is not None and not tasks.deliver(unsent):
                    return
                self.connection.lrem(_UNSENT, 1, kept)
        except RedisError as error:
            _log.warning("ends of jobs that were not sent: %s", error)

    def _end_from_outside(self, error: str, code: str | None, *, is_retried: bool = False) -> None:
        """End the job on behalf of a work horse that was killed."""
        tasks = self._tasks
        if tasks is not None and self._task is None and not self._has_ended:
            tasks.end(self._ticket, error, code, is_retried=is_retried)
            self._has_ended = True

    def _cancel(self) -> None:
        tasks = self._tasks
        if tasks is not None and not self._has_ended:
            tasks.cancel(self._ticket)

    def _stop(self) -> None:
        """Make the worker kill the work horse, because the job was cancelled in Jobcast."""
        send_stop_job_command(self.connection, self.id, self.serializer)

    def _keep_ticket(self) -> None:
        """Put the ticket back into ``meta``, which the task may have replaced."""
        if self._ticket is not None and HEADER not in self.meta:
            self.meta[HEADER] = self._ticket.to_header(self.id)

    def _is_changed(self, key: object, value: object) -> bool:
        if key == HEADER:
            return False
        return is_changed(self._meta_before, str(key), value)


class Queue(rq.Queue):
    """A queue of RQ whose jobs are followed, if they have an owner."""

    job_class = Job

    def create_job(self, *args: Any, **kwargs: Any) -> rq.job.Job:  # noqa: ANN401 - RQ's arguments
        """Create a job in RQ and in Jobcast."""
        job = super().create_job(*args, **kwargs)
        if isinstance(job, Job):
            job.announce()
        return job


_of_urls: Final[dict[str, Tasks]] = {}
_notices: Final = Notices()


def _tasks_of(connection: Redis) -> Tasks | None:
    """Return the tasks in the Redis of `ADDRESS`, or else RQ's; None if that has no URL."""
    url = os.environ.get(ADDRESS) or url_of(connection)
    if url is None:
        _notices.warn_once("url", "no job of RQ is followed: name Jobcast's Redis by %s", ADDRESS)
        return None
    tasks = _of_urls.get(url)
    if tasks is None:
        tasks = _of_urls[url] = Tasks(url)
    return tasks


def url_of(connection: Redis) -> str | None:
    """Return the URL of the server that a redis-py client connects to; None if it has none.

    Clients of Sentinels and Clusters have none: pass their URL to `install`.
    """
    kind, options = connection.connection_pool.connection_class, _options_of(connection)
    user, password = options.pop("username", None), options.pop("password", None)
    login = f"{quote(user or '', safe='')}:{quote(password, safe='')}@" if password else ""
    database = options.pop("db", None) or 0
    if issubclass(kind, UnixDomainSocketConnection):
        return f"unix://{login}{options['path']}?db={database}"
    if "host" not in options:
        return None
    host = f"[{options['host']}]" if ":" in options["host"] else options["host"]
    place = f"{login}{host}:{options.get('port', 6379)}/{database}"
    if not issubclass(kind, SSLConnection):
        return f"redis://{place}"
    tls = {name: value for name, value in options.items() if name.startswith("ssl_")}
    texts = {name: value for name, value in tls.items() if isinstance(value, str)}
    return f"rediss://{place}?{urlencode(texts)}"


def _options_of(connection: Redis) -> dict[str, Any]:
    return dict(connection.connection_pool.connection_kwargs)
