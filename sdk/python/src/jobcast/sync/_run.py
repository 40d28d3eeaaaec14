"""One run of one job, for blocking code."""

import logging
import secrets
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar

from redis.exceptions import RedisError

from jobcast import _event
from jobcast._errors import InvalidEvent, JobCancelled, JobcastError
from jobcast._failure import is_cancellation, text_of
from jobcast._level import Level
from jobcast._log_lines import LineHandler
from jobcast._run_state import RunState, current, failure
from jobcast._track import length_of
from jobcast.protocol.append import Append
from jobcast.sync._connection import Connection
from jobcast.sync._lease import Leases
from jobcast.sync._sender import Sender, Senders

T = TypeVar("T")


def current_run() -> "Run | None":
    """Return the run that was started last in this context; None if it has ended."""
    run = current()
    return run if isinstance(run, Run) else None


class Run(RunState):
    """One run of one job, from its start to its end. Made by `Jobs.run`.

    It works as `jobcast.Run`, but each call blocks its thread. Any number of threads may use a run.
    A background thread renews its lease, however long the caller computes.
    """

    _sender: Sender

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
        self._leases = leases
        self._senders = senders
        self._is_due = False

    def start(self) -> str:
        """Start the job, or take it over from an earlier run: see `jobcast.Run.start`."""
        self._end_lease()
        token = secrets.token_hex(8)
        lease = self._leases.of_run(self.job_id, token)
        announce = None if lease is None else lease.announce
        try:
            answer = self._sender.start(token, _event.started(self._leases.length_ms), announce)
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
            self.fail("The job's input can't be read", "BAD_INPUT")
            raise InvalidEvent("the job's input can't be read; the job was failed") from None
        if answer.cancel_requested:
            raise JobCancelled
        return answer.entry_id

    def progress(  # noqa: PLR0913 - arguments of one report
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
        """Report progress: see `jobcast.Run.progress`."""
        event = self._progress(progress, step, current, total, unit, eta, more)
        return self._report_soon() if event is None else self._report(event)

    def step(
        self,
        step: str,
        /,
        progress: int | None = None,
        eta: float | None = None,
        **more: object,
    ) -> str:
        """Report that a step begins: see `jobcast.Run.step`."""
        if self._has_pending:
            self._flush()
        progress = self._counting().step(step, progress, more)
        return self._report(_event.stepped(step, progress, eta, more))

    def advance(self, count: float = 1) -> str:
        """Report that ``count`` more is done: see `jobcast.Run.advance`."""
        self._counting().advance(count)
        return self._report_soon()

    def track(
        self,
        items: Iterable[T],
        step: str | None = None,
        *,
        unit: str | None = None,
        total: float | None = None,
    ) -> Iterator[T]:
        """Iterate over items and report each: see `jobcast.Run.track`."""
        total = length_of(items) if total is None else total
        if self._has_pending:
            self._flush()
        count = self._counting()
        level, event = self._entered(step, total, unit)
        try:
            if event is not None:
                self._report(event)
            self._report_soon()
            for item in items:
                yield item
                count.advance(1, level)
                self._report_soon()
        finally:
            count.leave(level)
        if not count.is_nested:
            self._flush(is_own=True)
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
        """Report a count, as `progress` does."""
        self._note(current, total, unit, step, level)
        self._report_soon()

    def log(self, text: str, level: str = "info", **more: object) -> str:
        """Send a log line, as the event ``log``; ``level`` is debug, info, warning or error."""
        return self._report(_event.logged(text, level, more))

    def log_handler(self, level: int = logging.NOTSET) -> logging.Handler:
        """Return a handler that sends records of Python's ``logging`` to the job as log lines.

        ``logging.getLogger("my.work").addHandler(run.log_handler())``. A background thread sends
        the lines; when more than 1,000 wait, the handler drops the oldest.
        """
        return LineHandler(self._add_line, level)

    def emit(self, name: str, data: Mapping[str, object]) -> str:
        """Send a custom event: see `jobcast.Run.emit`."""
        return self._report(_event.emitted(name, data))

    def complete(self, result: object = None) -> str:
        """Complete the job with a result of at most 1 MiB of JSON."""
        return self._finish(_event.completed(result))

    def fail(self, error: str | BaseException, code: str | None = None) -> str:
        """Fail the job: see `jobcast.Run.fail`."""
        return self._finish(*failure(error, code))

    def __enter__(self) -> Self:
        try:
            self.start()
        except JobCancelled as error:
            self._fail_with(error)
            raise
        except (JobcastError, RedisError):
            raise
        except BaseException as error:  # Ctrl-C, or what a queue raises in a thread that is late
            if self._sender.token is not None:
                self._fail_with(error)
            raise
        return self

    def __exit__(
        self,
        kind: object,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        try:
            if not self.has_ended:
                if error is None:
                    self._complete()
                else:
                    self._fail_with(error)
            return is_cancellation(error)
        finally:
            self._stop_renewing()

    def _complete(self) -> None:
        try:
            event = _event.completed(self.result)
        except BaseException as unusable:
            # Of any kind: encoding the result may run any code.
            self._fail_with(unusable)
            raise
        try:
            self._settle(event)
        except InvalidEvent as too_long:
            self._fail_with(too_long)
            raise

    def _fail_with(self, error: BaseException) -> None:
        try:
            self._settle(*failure(error, None))
        except JobcastError:
            # The job ended or was taken over meanwhile: nothing is left for this run to end.
            return
        except Exception as obstacle:  # of any kind: the original exception takes precedence
            # Not every exception accepts a note.
            with suppress(BaseException):
                error.add_note(f"The job could not be failed: {text_of(obstacle)}")
            if is_cancellation(error):
                raise

    def _report(self, event: Append) -> str:
        if self._has_pending:
            self._flush()
        entry_id = self._id_of(self._sender.send(event, self._answered))
        if self.cancel_requested:
            raise JobCancelled
        return entry_id

    def _settle(self, event: Append, otherwise: Append | None = None) -> None:
        """End the run as its block has ended, even if the thread is interrupted meanwhile."""
        try:
            self._finish(event, otherwise)
        except (JobcastError, RedisError):
            raise
        except BaseException:  # Ctrl-C, or what a queue raises in a thread that is late
            if not self.has_ended:
                with suppress(JobcastError, RedisError):
                    self._finish(event, otherwise)
            raise

    def _finish(self, event: Append, otherwise: Append | None = None) -> str:
        if self._has_pending:
            with suppress(JobcastError):  # waiting progress must not prevent the end
                self._flush()
        answer = self._sender.send(event, self._answered, otherwise)
        if answer is None:
            return ""
        if not self.finished:
            self._answered(event, answer)
        return answer.entry_id

    def _report_soon(self) -> str:
        """Send the current progress at once, or when the pace allows it."""
        self._sender.check()
        self._has_pending = True
        delay_s, entry_id = self._due_in_s, ""
        if delay_s <= 0:
            entry_id = self._flush(is_own=True)
        else:
            self._flush_in(delay_s)
        if self.cancel_requested:
            raise JobCancelled
        return entry_id

    def _add_line(self, text: str, level: str, more: dict[str, Any]) -> None:
        if self.finished:
            return  # a handler may still be attached to a logger
        self._lines.append(_event.logged(text, level, more))
        self._has_pending = True
        self._flush_in(0)

    def _flush_in(self, delay_s: float) -> None:
        if not self._is_due:
            self._is_due = True
            self._senders.pending_flushes.add(self._flush_quietly)
            self._senders.pacer.after(delay_s, self._flush_in_time)

    def _flush_in_time(self) -> float | None:
        if self._is_early:
            return self._due_in_s
        self._flush_quietly()
        return None

    def _flush_quietly(self) -> None:
        self._is_due = False
        self._senders.pending_flushes.discard(self._flush_quietly)
        if not self._has_pending:
            return
        with suppress(JobcastError, RedisError):  # the next call gets the same error
            self._flush()

    def _flush(self, *, is_own: bool = False) -> str:
        """Send the log lines and the progress that wait; return the entry id of the progress.

        ``is_own`` says whether the progress is the caller's own: then its refusal is raised.
        """
        with self._sender.flush_lock:
            entry_id = ""
            while (event := self._pop_pending()) is not None:
                self._has_pending = True  # until it is sent: no other thread may overtake it
                try:
                    its_id = self._id_of(self._sender.send(event, self._answered))
                except InvalidEvent as refusal:
                    if is_own and event.operation == "progress":
                        raise
                    self._leave_out(event, refusal)
                else:
                    entry_id = its_id if event.operation == "progress" else entry_id
            return entry_id

    def _renew(self, lease_ms: int) -> None:
        self.cancel_requested |= self._sender.renew(_event.renewed(lease_ms))
