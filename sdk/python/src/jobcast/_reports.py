"""The reports of one run: its progress, steps, log lines and custom events."""

import asyncio
import logging
import os
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from redis.exceptions import RedisError

from jobcast import _event
from jobcast._errors import InvalidEvent, JobCancelled, JobcastError, JobNotRunning
from jobcast._lease import Lease
from jobcast._level import Level
from jobcast._log_lines import LineHandler
from jobcast._pace import Turns
from jobcast._run_state import RunState
from jobcast._sender import Sender, Senders
from jobcast._track import Track, length_of
from jobcast.protocol.append import Append

T = TypeVar("T")


class Reports(RunState):
    """A run as far as it reports; `Run` adds how it starts and ends."""

    _lease: Lease | None
    _sender: Sender

    def __init__(self, sender: Sender, senders: Senders, job_id: str, attempt: int | None) -> None:
        super().__init__(job_id, attempt, senders.limits.interval_s)
        self._sender = sender
        self._senders = senders
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0
        self._timer: asyncio.TimerHandle | None = None
        self._flushing: asyncio.Task[None] | None = None
        self._turns = Turns()

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
        if self._has_pending:
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
        total = length_of(items) if total is None else total
        begin = partial(self._begin_loop, step, total, unit)
        return Track(items, begin, self._item_done, self._end_loop, self._counting().leave)

    async def _begin_loop(self, step: str | None, total: float | None, unit: str | None) -> Level:
        if self._has_pending:
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

    def _follow_loop(self) -> None:
        """Continue in the running event loop: timers of an earlier one that ended never fire.

        Raises `JobNotRunning` if the earlier one is running, in another thread, or was forked.
        """
        loop, pid = asyncio.get_running_loop(), os.getpid()
        if self._loop is not None and (self._loop.is_running() or self._pid != pid):
            raise JobNotRunning("A run is of the event loop and the process that have started it")
        self._loop, self._pid, self._timer = loop, pid, None
        if self._lease is not None:
            self._lease.resume()

    async def _report(self, event: Append) -> str:
        if self._loop is not asyncio.get_running_loop():
            self._follow_loop()
        if self._has_pending:
            await self._flush()
        entry_id = self._id_of(await self._sender.send(event, self._answered))
        if self.cancel_requested:
            raise JobCancelled
        return entry_id

    async def _report_soon(self) -> str:
        """Send the current progress at once, or when the pace allows it."""
        if self._loop is not asyncio.get_running_loop():
            self._follow_loop()
        self._sender.check()
        self._has_pending = True
        delay_s, entry_id = self._due_in_s, ""
        if delay_s <= 0:
            entry_id = await self._flush(is_own=True)
        else:
            self._flush_in(delay_s)
            await self._turns.yield_if_due()
        if self.cancel_requested:
            raise JobCancelled
        return entry_id

    def _add_line(self, text: str, level: str, more: dict[str, Any]) -> None:
        if self.finished:
            return  # a handler may still be attached to a logger
        self._lines.append(_event.logged(text, level, more))
        self._has_pending = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._flush_in, 0)

    def _flush_in(self, delay_s: float) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._begin_flush)
            self._senders.pending_flushes.add(self._flush_now)

    def _begin_flush(self) -> None:
        if self._is_early:
            self._timer = asyncio.get_running_loop().call_later(self._due_in_s, self._begin_flush)
            return
        self._flushing = asyncio.get_running_loop().create_task(self._flush_now())

    async def _flush_now(self) -> None:
        """Send what waits, unless another call has sent it."""
        self._senders.pending_flushes.discard(self._flush_now)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._has_pending:
            with suppress(JobcastError, RedisError):  # the next call gets the same error
                await self._flush()

    async def _flush(self, *, is_own: bool = False) -> str:
        """Send the log lines and the progress that wait; return the entry id of the progress.

        ``is_own`` says whether the progress is the caller's own: then its refusal is raised.
        """
        entry_id = ""
        while (event := self._pop_pending()) is not None:
            try:
                its_id = self._id_of(await self._sender.send(event, self._answered))
            except InvalidEvent as refusal:
                if is_own and event.operation == "progress":
                    raise
                self._leave_out(event, refusal)
            else:
                entry_id = its_id if event.operation == "progress" else entry_id
        return entry_id
