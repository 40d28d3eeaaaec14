"""One run of one job."""

import asyncio
import secrets
import weakref
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self

from jobcast import _event
from jobcast._connection import Connection
from jobcast._errors import InvalidEvent, JobCancelled, JobcastError
from jobcast._failure import brief, describe, is_a, text_of
from jobcast._lease import Lease, Leases
from jobcast._run_state import RunState
from jobcast._sender import Sender, Senders
from jobcast.protocol.append import Answer, Append


class Run(RunState):
    """One run of one job, from its start to its end. Made by `Jobs.run`.

    As a context manager it starts the job; when the block ends, it completes it with `result`,
    unless the block has ended it already. When the block raises, it fails the job, with the
    exception's message (the name of its class, if it has none or fails to make it) as the error and
    its ``code``, if that is a string, as the error code, and lets the exception propagate, whatever
    its class and whatever keeps the job from being failed. `JobCancelled` fails the job with
    ``Cancelled`` and goes no further; only a job that was cancelled before it is taken over raises
    it from ``async with`` itself, as there is no other way not to enter the block.

    From its start on it holds a lease (see `connect`) until it has ended, its block ends, its
    `Jobs` is closed, or nobody holds the run any more.

    Each method returns the id of the log entry that it wrote. Each raises `JobSuperseded` once
    another run or attempt has taken over, `JobFinished` after the job's end (`JobStalled`, one of
    its kind, if that came because the lease ran out), `UnknownJob` once it has expired, and
    `InvalidEvent` for arguments that the contract refuses (before anything is sent). Events of one
    run are in the order of the calls, also of calls that overlap.

    While Redis is unavailable, an event is repeated until it is acknowledged, and is written once.
    A call waits for that no longer than ``block_s`` of `connect`. Then it returns an empty id, and
    its event waits in the run's buffer; the calls that follow return at once until all that waits
    was written, but for the end of the run, which waits for as long again. When the buffer is full,
    only the newest progress in it is kept; if that makes no room within ``block_s``, the call
    raises `BufferFull` and its event is not written. The end of the run always has room. What is
    refused after its call has returned is logged, and the next call is refused too. A call that is
    cancelled while its event is on its way may have written it or not.
    """

    def __init__(
        self,
        connection: Connection,
        leases: Leases,
        senders: Senders,
        job_id: str,
        attempt: int | None,
    ) -> None:
        super().__init__(job_id, attempt)
        self._sender = Sender(connection, job_id, attempt, senders)
        self._leases = leases
        self._lease: Lease | None = None

    @property
    def has_ended(self) -> bool:
        """Whether this run has completed or failed the job, acknowledged or not."""
        return self.finished or self._sender.has_end

    async def start(self) -> str:
        """Start the job, or take it over from an earlier run of the same attempt.

        Sets `attempt`, `type` and `input`. Raises `JobCancelled` (the job was started) when an
        earlier run was asked to stop, and `InvalidEvent` (the job was failed) when the job's input
        is no JSON object that Python reads.
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

    async def progress(
        self,
        progress: int,
        /,
        step: str | None = None,
        *,
        eta: float | None = None,
        **more: object,
    ) -> str:
        """Report progress: percent 0-100, the current step, seconds left, and further fields.

        What is left out is null for the viewers. A lower ``progress`` than the job's is raised to
        it. Raises `JobCancelled`, after the event was written, when the job was asked to stop.
        """
        return await self._report(_event.progressed(progress, step, eta, more))

    async def step(
        self,
        step: str,
        /,
        progress: int | None = None,
        eta: float | None = None,
        **more: object,
    ) -> str:
        """Report that a step begins. As `progress`, but it may lower the progress.

        Without ``progress`` the job's own stays.
        """
        return await self._report(_event.stepped(step, progress, eta, more))

    async def emit(self, name: str, data: Mapping[str, object]) -> str:
        """Send an event of your own, which reaches viewers in order and is never dropped.

        ``name`` is ``[a-z][a-z0-9-]{0,63}`` and no reserved one: the contract's, those that have a
        meaning to a stream or a browser (``connected``, ``reset``, ``ping``, ``left``, ``message``,
        ``error``, ``open``), ``chunk``, ``artifact``, ``input-requested`` and what begins with
        ``child-``. ``data`` is at most 1 MiB of JSON. Raises `JobCancelled`, after the event was
        written, when the job was asked to stop.
        """
        return await self._report(_event.emitted(name, data))

    async def complete(self, result: object = None) -> str:
        """End the job well, with a result of at most 1 MiB of JSON."""
        return await self._finish(_event.completed(result))

    async def fail(self, error: str | BaseException, code: str | None = None) -> str:
        """End the job badly, with a message for its viewers and a stable code for programs.

        An exception is written as the end of a block writes it: see `Run`.
        """
        if not isinstance(error, BaseException):
            return await self._finish(_event.failed(error, code))
        message, its_code = describe(error)
        code = its_code if code is None else code
        # The job may allow no event of this length, and its end must not hang on a text.
        otherwise = _event.failed(*brief(message, code))
        return await self._finish(_event.failed(message, code), otherwise)

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except (JobCancelled, asyncio.CancelledError) as error:
            await self._fail_with(error)
            raise
        return self

    async def __aexit__(
        self,
        kind: object,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        try:
            return await self._leave(error)
        finally:
            if self._lease is not None and not self._sender.has_end:
                self._lease.stop()

    async def _leave(self, error: BaseException | None) -> bool:
        if not self.has_ended:
            await (self._complete() if error is None else self._fail_with(error))
        return is_a(error, JobCancelled)

    async def _complete(self) -> None:
        try:
            event = _event.completed(self.result)
        except BaseException as unusable:
            # Of any kind: to write out what the block left may call its own code.
            await self._fail_with(unusable)
            raise
        try:
            await self._finish(event)
        except InvalidEvent as too_long:
            await self._fail_with(too_long)
            raise

    async def _fail_with(self, error: BaseException) -> None:
        try:
            await self.fail(error)
        except JobcastError:
            # The job ended or was taken over meanwhile: nothing is left for this run to end.
            return
        except Exception as obstacle:  # of any kind: the exception that is on its way goes first
            # It may be one that takes no note.
            with suppress(BaseException):
                error.add_note(f"The job could not be failed: {text_of(obstacle)}")
            if is_a(error, JobCancelled):
                raise

    async def _report(self, event: Append) -> str:
        answer = await self._sender.send(event, self._answered)
        if answer is not None:
            self.cancel_requested = answer.cancel_requested
        if self.cancel_requested:
            raise JobCancelled
        return "" if answer is None else answer.entry_id

    async def _finish(self, event: Append, otherwise: Append | None = None) -> str:
        answer = await self._sender.send(event, self._answered, otherwise)
        if answer is None:
            return ""
        if not self.finished:
            self._answered(event, answer)
        return answer.entry_id

    def _answered(self, event: Append, answer: Answer) -> None:
        self.cancel_requested = answer.cancel_requested
        if event.is_end:
            self.finished = True
            self._end_lease()

    async def _renew(self, lease_ms: int) -> None:
        self.cancel_requested |= await self._sender.renew(_event.renewed(lease_ms))

    def _end_lease(self) -> None:
        if self._lease is not None:
            self._lease.end()
            self._lease = None
