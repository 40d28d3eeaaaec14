"""One run of one job."""

import asyncio
import logging
import secrets
import weakref
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sized
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from redis.exceptions import RedisError

from jobcast import _event
from jobcast._connection import Connection
from jobcast._errors import InvalidEvent, JobCancelled, JobcastError
from jobcast._failure import is_a, text_of
from jobcast._lease import Leases
from jobcast._level import Level
from jobcast._log_lines import LineHandler
from jobcast._pace import Turns
from jobcast._run_state import RunState, current, failure
from jobcast._sender import Sender, Senders
from jobcast._track import Track
from jobcast.protocol.append import Append

T = TypeVar("T")


def current_run() -> "Run | None":
    """Return the run that was started last in this task; None if it has ended."""
    return cast("Run | None", current())


class Run(RunState):
    """One run of one job, from its start to its end. Made by `Jobs.run`.

    As a context manager it starts the job. When the block ends, it completes the job with `result`,
    unless the block has ended it already. When the block raises, it fails the job and lets the
    exception propagate, even if the job can't be failed. The error is the exception's message (or
    the name of its class, if there is no message), the error code its ``code``, if that is a
    string. `JobCancelled` fails the job with ``Cancelled`` and does not propagate; but if the job
    was cancelled before this run takes it over, ``async with`` itself raises it, because the
    block can't be skipped otherwise.

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
        super().__init__(job_id, attempt, senders.limits.interval_s)
        self._sender = Sender(connection, job_id, attempt, senders)
        self._senders = senders
        self._leases = leases
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._flushing: asyncio.Task[None] | None = None
        self._turns = Turns()

    @property
    def has_ended(self) -> bool:
        """Whether this run has completed or failed the job, acknowledged or not."""
        return self.finished or self._sender.has_end

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
        if lease is not None:
            lease.keep(weakref.WeakMethod(self._renew))
            self._lease = lease
        self._loop = asyncio.get_running_loop()
        self._sender.attempt = answer.attempt
        try:
            self._began(answer)
        except ValueError:
            await self.fail("The job's input can't be read", "BAD_INPUT")
            raise InvalidEvent("the job's input can't be read; the job was failed") from None
        if answer.cancel_requested:
            raise JobCancelled
        return answer.entry_id

    async def progress(  # noqa: PLR0913 - arguments of one report
        self,
        progress: int | None = None,
        /,
        step: str | None = None,
        *,
        current: float | None = None,
        total: float | None = None,
        unit: str | None = None,
        eta: float | None = None,
        **more: object,
    ) -> str:
        """Report progress: percent 0-100, the current step, seconds left, and further fields.

        Viewers get null for arguments that are left out. A ``progress`` below the job's is raised
        to it. Raises `JobCancelled`, after the event was written, if the job was asked to stop.

        Or report a count: ``progress(current=3, total=12, unit="page")``. The percentage then
        follows from it, and the seconds left from the recent rate, after 3 s and 2 % of the step.
        ``total`` and ``unit`` stay as they are until the next step. Without a total, viewers see
        that the end is unknown (``indeterminate``).

        At most 20 progress events per second are sent (``progress_per_s`` of `connect`). A call
        that comes sooner returns an empty id, and its progress waits. The newest that waits, with
        the highest percentage, is sent 50 ms after the last progress event, or before the next
        event of another kind, the end or the closing of the `Jobs`.
        """
        event = self._progress(progress, step, current, total, unit, eta, more)
        return await (self._report_soon() if event is None else self._report(event))

    async def step(
        self,
        step: str,
        /,
        progress: int | None = None,
        eta: float | None = None,
        **more: object,
    ) -> str:
        """Report that a step begins. Like `progress`, but it may lower the percentage.

        Without ``progress`` the percentage follows from `plan`, or stays.
        """
        if self._has_news:
            await self._flush()
        progress = self._counting().step(step, progress, more)
        return await self._report(_event.stepped(step, progress, eta, more))

    async def advance(self, count: float = 1) -> str:
        """Report that ``count`` more of the current step is done; see `progress`.

        The total is the ``total`` that `step` or `progress` was given.
        """
        self._counting().advance(count)
        return await self._report_soon()

    def track(
        self,
        items: Iterable[T] | AsyncIterable[T],
        step: str | None = None,
        *,
        unit: str | None = None,
        total: float | None = None,
    ) -> AsyncIterator[T]:
        """Iterate over items, and report each as done when the next one is requested.

        ``async for file in run.track(files, "Hashing", unit="file")``. ``step`` begins a step.
        ``total`` defaults to the length of the items; if they have none, viewers see how many are
        done and that the end is unknown (``indeterminate``).

        The loop may contain further loops, and steps: viewers see the innermost step and its count,
        while the percentage and the seconds left are those of the outermost loop, in which a nested
        loop or step is a share of the current item.
        """
        if total is None and isinstance(items, Sized):
            total = len(items)
        begin = partial(self._begin_loop, step, total, unit)
        return Track(items, begin, self._item_done, self._end_loop, self._counting().leave)

    async def _begin_loop(self, step: str | None, total: float | None, unit: str | None) -> Level:
        if self._has_news:
            await self._flush()
        level, event = self._entered(step, total, unit)
        try:
            if event is not None:
                await self._report(event)
            await self._report_soon()
        except BaseException:
            self._counting().leave(level)
            raise
        return level

    async def _item_done(self, level: Level) -> None:
        self._counting().advance(1, level)
        await self._report_soon()

    async def _end_loop(self, level: Level) -> None:
        self._counting().leave(level)
        if not self._counting().is_nested:
            await self._flush(is_own=True)
        if self.cancel_requested:
            raise JobCancelled

    def note(
        self,
        current: float,
        total: float | None,
        unit: str | None,
        step: str | None,
        level: Level | None = None,
    ) -> None:
        """Report a count from code that can't await; any thread may call it."""
        self._note(current, total, unit, step, level)
        if self._timer is None and self._loop is not None and not self._loop.is_closed():
            delay_s = max(0.0, self._due_in_s)
            self._loop.call_soon_threadsafe(self._flush_in, delay_s)
        if self.cancel_requested:
            raise JobCancelled

    async def log(self, text: str, level: str = "info", **more: object) -> str:
        """Send a log line, as the event ``log``; ``level`` is debug, info, warning or error."""
        return await self._report(_event.logged(text, level, more))

    def log_handler(self, level: int = logging.NOTSET) -> logging.Handler:
        """Return a handler that sends records of Python's ``logging`` to the job as log lines.

        ``logging.getLogger("my.work").addHandler(run.log_handler())``. It never blocks and is
        thread-safe; when more than 1,000 lines wait, it drops the oldest.
        """
        return LineHandler(self._add_line, level)

    async def emit(self, name: str, data: Mapping[str, object]) -> str:
        """Send a custom event, which reaches viewers in order and is never dropped.

        ``name`` is ``[a-z][a-z0-9-]{0,63}`` and not reserved. Reserved are the names of the
        contract, those with a meaning for a stream or a browser (``connected``, ``reset``,
        ``ping``, ``left``, ``message``, ``error``, ``open``), ``chunk``, ``artifact``,
        ``input-requested`` and names that begin with ``child-``. ``data`` is at most 1 MiB of JSON.
        Raises `JobCancelled`, after the event was written, if the job was asked to stop.
        """
        return await self._report(_event.emitted(name, data))

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
            # Of any kind: encoding the result may run any code.
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
            return  # The job ended or was taken over meanwhile: this run has nothing to end.
        except Exception as obstacle:  # of any kind: the original exception takes precedence
            with suppress(BaseException):  # not every exception accepts a note
                error.add_note(f"The job could not be failed: {text_of(obstacle)}")
            if is_a(error, JobCancelled):
                raise

    async def _report(self, event: Append) -> str:
        if self._has_news:
            await self._flush()
        entry_id = self._id_of(await self._sender.send(event, self._answered))
        if self.cancel_requested:
            raise JobCancelled
        return entry_id

    async def _finish(self, event: Append, otherwise: Append | None = None) -> str:
        if self._has_news:
            with suppress(JobcastError):  # waiting progress must not prevent the end
                await self._flush()
        answer = await self._sender.send(event, self._answered, otherwise)
        if answer is None:
            return ""
        if not self.finished:
            self._answered(event, answer)
        return answer.entry_id

    async def _report_soon(self) -> str:
        """Send the current progress at once, or when the pace allows it."""
        self._sender.check()
        self._has_news = True
        delay_s, entry_id = self._due_in_s, ""
        if delay_s <= 0:
            entry_id = await self._flush(is_own=True)
        else:
            self._flush_in(delay_s)
            await self._turns.pass_on()
        if self.cancel_requested:
            raise JobCancelled
        return entry_id

    def _add_line(self, text: str, level: str, more: dict[str, Any]) -> None:
        if self.finished:
            return  # a handler may still be attached to a logger
        self._lines.append(_event.logged(text, level, more))
        self._has_news = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._flush_in, 0)

    def _flush_in(self, delay_s: float) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._begin_flush)
            self._senders.unsent.add(self._flush_now)

    def _begin_flush(self) -> None:
        if self._is_early:
            self._timer = asyncio.get_running_loop().call_later(self._due_in_s, self._begin_flush)
            return
        self._flushing = asyncio.get_running_loop().create_task(self._flush_now())

    async def _flush_now(self) -> None:
        """Send what waits, unless another call has sent it."""
        self._senders.unsent.discard(self._flush_now)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._has_news:
            with suppress(JobcastError, RedisError):  # the next call gets the same error
                await self._flush()

    async def _flush(self, *, is_own: bool = False) -> str:
        """Send the log lines and the progress that wait; return the entry id of the progress.

        ``is_own`` says whether the progress is the caller's own: then its refusal is raised.
        """
        entry_id = ""
        while (event := self._next_news()) is not None:
            try:
                its_id = self._id_of(await self._sender.send(event, self._answered))
            except InvalidEvent as refusal:
                if is_own and event.operation == "progress":
                    raise
                self._leave_out(event, refusal)
            else:
                entry_id = its_id if event.operation == "progress" else entry_id
        return entry_id

    async def _renew(self, lease_ms: int) -> None:
        self.cancel_requested |= await self._sender.renew(_event.renewed(lease_ms))
