"""One run of one job."""

import asyncio
import secrets
import weakref
from contextlib import suppress
from types import TracebackType
from typing import Self, cast

from redis.exceptions import RedisError

from jobcast import _event
from jobcast._connection import Connection
from jobcast._errors import InvalidEvent, JobCancelled, JobcastError
from jobcast._failure import is_cancellation, text_of
from jobcast._lease import Leases
from jobcast._reports import Reports
from jobcast._run_state import current, failure
from jobcast._sender import Sender, Senders
from jobcast.protocol.append import Append


def current_run() -> "Run | None":
    """Return the run that was started last in this task; None if it has ended."""
    return cast("Run | None", current())


class Run(Reports):
    """One run of one job, from its start to its end. Made by `Jobs.run`.

    As a context manager it starts the job. When the block ends, it completes the job with `result`,
    unless the block has ended it already. When the block raises, it fails the job and lets the
    exception propagate, even if the job can't be failed. The error is the exception's message (or
    the name of its class, if there is no message), the error code its ``code``, if that is a
    string; an exception group of only one exception counts as that one. `JobCancelled`, or a group
    of nothing else, fails the job with ``Cancelled`` and does not propagate; but if the job was
    cancelled before this run takes it over, ``async with`` itself raises it, because the block
    can't be skipped otherwise.

    From its start it holds a lease (see `connect`), until the run or the block ends, its `Jobs` is
    closed, or no reference to the run is left.

    Each method returns the id of the log entry that it wrote, empty for progress that is sent
    later. Each raises `JobSuperseded` once another run or attempt has taken over, `JobFinished`
    after the job's end (its subclass `JobStalled`, if the lease expired), `UnknownJob` once the job
    has expired, and `InvalidEvent` if an argument is invalid, before anything is sent. Events of
    one run are in the order of the calls, even if the calls overlap.

    While Redis is unavailable, an event is retried until Redis acknowledges it, and is written
    once. A call waits for that no longer than ``block_s`` of `connect`. Then it returns an empty
    id, and its event stays in the run's buffer. Until the buffer is empty, later calls return at
    once, except the end of the run, which waits up to ``block_s`` again. When the buffer is full,
    only the newest progress in it is kept; if that makes no room within ``block_s``, the call
    raises `BufferFull` and its event is not written. The end of the run always has room. A refusal
    after the call has returned is logged, and the next call is refused, too. If a call is cancelled
    while its event is in flight, the event may have been written or not.
    """

    def __init__(
        self,
        connection: Connection,
        leases: Leases,
        senders: Senders,
        job_id: str,
        attempt: int | None,
    ) -> None:
        super().__init__(Sender(connection, job_id, attempt, senders), senders, job_id, attempt)
        self._leases = leases

    async def start(self) -> str:
        """Start the job, or take it over from an earlier run of the same attempt.

        Sets `attempt`, `type` and `input`. Raises `JobCancelled` if an earlier run was asked to
        stop (the job is started nevertheless), and `InvalidEvent` if the job's input is not a JSON
        object (the job is failed).
        """
        self._end_lease()
        token = secrets.token_hex(8)
        lease = self._leases.of_run(self.job_id, token)
        announce = None if lease is None else lease.announce
        event = _event.started(self._leases.length_ms)
        try:
            answer = await self._sender.start(token, event, announce)
        except JobcastError:
            self._sender.token = None
            if lease is not None:
                lease.end()
            raise
        self._loop = None
        self._follow_loop()
        if lease is not None:
            lease.keep(weakref.WeakMethod(self._renew))
            self._lease = lease
        self._sender.attempt = answer.attempt
        try:
            self._began(answer)
        except ValueError:
            await self.fail("The job's input can't be read", "BAD_INPUT")
            raise InvalidEvent("the job's input can't be read; the job was failed") from None
        if answer.cancel_requested:
            raise JobCancelled
        return answer.entry_id

    async def complete(self, result: object = None) -> str:
        """Complete the job with a result of at most 1 MiB of JSON."""
        return await self._finish(_event.completed(result))

    async def fail(self, error: str | BaseException, code: str | None = None) -> str:
        """Fail the job with a message for its viewers and a stable code for programs.

        An exception as ``error`` is reported like one that ends the block: see `Run`.
        """
        return await self._finish(*failure(error, code))

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except (JobCancelled, asyncio.CancelledError) as error:
            await self._fail_with(error)
            raise
        return self

    async def __aexit__(
        self, kind: object, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        try:
            return await self._leave(error)
        finally:
            self._stop_renewing()

    async def _leave(self, error: BaseException | None) -> bool:
        if not self.has_ended:
            await (self._complete() if error is None else self._fail_with(error))
        return is_cancellation(error)

    async def _complete(self) -> None:
        try:
            event = _event.completed(self.result)
        except BaseException as unusable:
            # Of any kind: encoding the result may run any code.
            await self._fail_with(unusable)
            raise
        try:
            await self._settle(event)
        except InvalidEvent as too_long:
            await self._fail_with(too_long)
            raise

    async def _fail_with(self, error: BaseException) -> None:
        try:
            await self._settle(*failure(error, None))
        except JobcastError:
            return  # The job ended or was taken over meanwhile: this run has nothing to end.
        except Exception as obstacle:  # of any kind: the original exception takes precedence
            with suppress(BaseException):  # not every exception accepts a note
                error.add_note(f"The job could not be failed: {text_of(obstacle)}")
            if is_cancellation(error):
                raise

    async def _settle(self, event: Append, otherwise: Append | None = None) -> None:
        """End the run as its block has ended, even if the task is cancelled meanwhile."""
        try:
            await self._finish(event, otherwise)
        except asyncio.CancelledError:
            if not self.has_ended:
                with suppress(JobcastError, RedisError):
                    await self._finish(event, otherwise)
            raise

    async def _finish(self, event: Append, otherwise: Append | None = None) -> str:
        if self._loop is not asyncio.get_running_loop():
            self._follow_loop()
        if self._has_pending:
            with suppress(JobcastError):  # waiting progress must not prevent the end
                await self._flush()
        answer = await self._sender.send(event, self._answered, otherwise)
        if answer is None:
            return ""
        if not self.finished:
            self._answered(event, answer)
        return answer.entry_id

    async def _renew(self, lease_ms: int) -> None:
        self.cancel_requested |= await self._sender.renew(_event.renewed(lease_ms))
