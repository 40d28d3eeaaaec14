"""Sends the events of one run to Redis from any thread: in order, each exactly once."""

import threading
from collections.abc import Callable
from inspect import currentframe
from time import monotonic, sleep
from types import FrameType
from typing import NamedTuple, TypeVar
from weakref import WeakSet

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from jobcast._errors import BufferFull, JobcastError, JobNotRunning
from jobcast._outbox import Answered, Limits, Outbox, Verdict, Waiting
from jobcast._retry import Pauses, is_transient
from jobcast.protocol.append import Answer, Append
from jobcast.sync._connection import Connection
from jobcast.sync._scheduler import Scheduler

T = TypeVar("T")


class Call(NamedTuple):
    """A call that is sending an event: its thread and its frame; None for the background thread."""

    thread: int
    frame: FrameType | None

    @property
    def is_running(self) -> bool:
        """Whether the current call, of the same thread, has interrupted it in a signal handler."""
        frame = currentframe()
        while frame is not None and frame is not self.frame:
            frame = frame.f_back
        return frame is not None


class Sender:
    """Appends the events of one run, from any number of threads.

    While Redis answers, the caller's own thread sends its event. If no answer arrives, the event
    waits in the outbox, and a background thread retries it until Redis answers.

    ``token`` identifies the run; None before its start. ``attempt`` is the job's. ``flush_lock`` is
    the lock for sending the log lines and counts that wait.
    """

    def __init__(
        self, connection: Connection, job_id: str, attempt: int | None, senders: "Senders"
    ) -> None:
        self.attempt = attempt
        self.token: str | None = None
        self._connection = connection
        self._job_id = job_id
        self._senders = senders
        self._outbox = Outbox(job_id, senders.limits)
        self._changed = threading.Condition()
        self.flush_lock = threading.RLock()
        self._call: Call | None = None
        self._is_repeating = False
        self._pauses = Pauses()
        self._refusal_text: str | None = None
        senders.register(self)

    @property
    def has_end(self) -> bool:
        """Whether the run's end is in the outbox."""
        with self._changed:
            return self._outbox.has_end

    @property
    def _start_timeout_s(self) -> float | None:
        """Seconds for which a start may wait for Redis; None means no limit."""
        return self._senders.limits.block_s

    def start(self, token: str, event: Append, announce: Callable[[], None] | None) -> Answer:
        """Start the run; this event is never buffered, because the caller needs the answer.

        ``announce`` is called before each try. Raises the last error if Redis is unavailable for
        longer than a call may wait.
        """
        with self._changed:
            self.token = token
            self._outbox.begin(event)
            number = self._outbox.numbered(Waiting(event))

        def start() -> Answer:
            if announce is not None:
                announce()
            return self._append(event, number)

        answer = repeated(start, self._connection, self._start_timeout_s)
        with self._changed:
            self._outbox.began(answer.entry_id)
        return answer

    def send(
        self, event: Append, answered: Answered, otherwise: Append | None = None
    ) -> Answer | None:
        """Append an event and return the answer.

        Returns None if Redis is unavailable for as long as a call may wait: the event is in the
        outbox, and is written when Redis is available again. Then ``answered`` is called, as for
        any event of the outbox. ``otherwise`` is a smaller event that replaces it if it is larger
        than the job allows. Raises the refusal, `BufferFull`, or a ``RedisError`` that is not
        transient.
        """
        outbox, began_s = self._outbox, monotonic()
        with self._changed:
            if self.token is None:
                raise JobNotRunning(self._refusal_text)
            outbox.check()
            if self._call is not None and self._call.thread == threading.get_ident():
                if self._call.is_running:
                    # A signal handler has interrupted it, so it can't be waited for.
                    outbox.add(Waiting(event, answered, otherwise))
                    return None
                self._call = None  # it was interrupted, e.g. by Ctrl-C
            if self._call is not None or outbox.waiting:
                return self._queue(Waiting(event, answered, otherwise), began_s)
            self._call = Call(threading.get_ident(), currentframe())
            outbox.last_number = number = outbox.last_number + 1
        closings = self._connection.closings
        waiting = None
        try:
            return self._connection.append(
                self._job_id, event, self.attempt, self.token, str(number)
            )
        except (RedisError, JobcastError) as error:
            with self._changed:
                waiting = Waiting(event, answered, otherwise, number)
                waiting.is_awaited = True
                outbox.add_first(waiting)
                is_closed = closings != self._connection.closings
                if is_closed or outbox.judge(error) is Verdict.REFUSED:
                    outbox.pop()
                    raise
        finally:
            with self._changed:
                self._call = None
                if outbox.waiting:
                    self._repeat()
                self._changed.notify_all()
        with self._changed:
            return self._wait(waiting, began_s)

    def renew(self, event: Append) -> bool:
        """Renew the lease of the run; return whether the job was asked to stop."""
        self._outbox.check()
        try:
            answer = self._append(event, None)
        except JobNotRunning:
            # A failover has lost the start. An event in flight finds that out by itself.
            with self._changed:
                if self._call is None and not self._outbox.waiting:
                    self._outbox.restart()
                    self._repeat()
            return False
        except JobcastError as refusal:
            self._outbox.record_refusal(refusal)
            raise
        return answer.cancel_requested

    def check(self) -> None:
        """Raise the final refusal of this run, if there is one."""
        self._outbox.check()

    def unsent(self) -> list[tuple[int, Append]]:
        """Return the events of the outbox, oldest first, with their sequence numbers."""
        with self._changed:
            return [(self._outbox.numbered(each), each.event) for each in self._outbox.waiting]

    def abandon(self) -> None:
        """Drop all events of the outbox."""
        with self._changed:
            error = RedisConnectionError("Redis is unavailable, and the run was closed")
            self._outbox.abandon(error)
            self._changed.notify_all()

    def forget(self) -> None:
        """In a forked process, leave the outbox and the run to the parent."""
        self._changed = threading.Condition()
        self.flush_lock = threading.RLock()
        self._outbox = Outbox(self._job_id, self._senders.limits)
        self._call, self._is_repeating = None, False
        if self.token is not None:
            self.token, self._refusal_text = None, "A run is of the process that has started it"

    def until_idle(self, until_s: float | None) -> None:
        """Wait until the outbox is empty, or until ``until_s``, a time of ``monotonic``."""
        with self._changed:
            left_s = None if until_s is None else max(0.0, until_s - monotonic())
            self._changed.wait_for(lambda: not self._outbox.waiting, left_s)

    def _append(self, event: Append, number: int | None) -> Answer:
        return self._connection.append(
            self._job_id,
            event,
            self.attempt,
            self.token or "",
            "" if number is None else str(number),
        )

    def _left_s(self, began_s: float) -> float | None:
        block_s = self._senders.limits.block_s
        return None if block_s is None else max(0.0, began_s + block_s - monotonic())

    def _queue(self, waiting: Waiting, began_s: float) -> Answer | None:
        while True:
            try:
                self._outbox.add(waiting)
            except BufferFull:
                first = self._outbox.first
                if first is None or not self._changed.wait_for(
                    lambda: first.is_over,  # noqa: B023 - used at once
                    self._left_s(began_s),
                ):
                    raise
            else:
                break
        if self._call is None:
            self._repeat()
        if self._outbox.is_behind and not waiting.event.is_end:
            return None
        return self._wait(waiting, began_s)

    def _wait(self, waiting: Waiting, began_s: float) -> Answer | None:
        waiting.is_awaited = True
        try:
            if self._changed.wait_for(lambda: waiting.is_over, self._left_s(began_s)):
                return waiting.result()
        except BaseException:
            self._outbox.withdraw(waiting)
            raise
        finally:
            waiting.is_awaited = False
        self._outbox.is_behind = True
        return None

    def _repeat(self) -> None:
        """Make the background thread send the outbox."""
        if not self._is_repeating:
            self._is_repeating = True
            self._pauses = Pauses()
            self._senders.add(self)
            self._senders.scheduler.after(0, self._send_first)

    def _send_first(self) -> float | None:
        """Send the first event; return the seconds until the next try, None if none is needed.

        Only the background thread calls this.
        """
        with self._changed:
            first = self._outbox.first
            if first is None or self._call is not None:
                self._is_repeating = False
                self._senders.discard(self)
                return None
            self._call = Call(threading.get_ident(), None)
            number = self._outbox.numbered(first)
        answer, problem = None, None
        try:
            answer = self._append(first.event, number)
        except Exception as error:  # noqa: BLE001 - passed on to the caller
            problem = error
        with self._changed:
            self._call = None
            pause_s = 0.0
            if self._outbox.first is not first:
                pass  # dropped meanwhile
            elif answer is not None:
                self._pauses = Pauses()
                self._outbox.answered(answer)
            elif problem is not None:
                verdict = self._outbox.judge(problem)
                if verdict is Verdict.LATER:
                    pause_s = self._pauses.next()
                elif verdict is Verdict.REFUSED:
                    self._outbox.refused(problem)
            self._changed.notify_all()
        return pause_s


class Senders:
    """The senders of one `Jobs` that have events to retry, and their limits.

    ``pending_flushes`` are callbacks that send the waiting progress of runs.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.scheduler = Scheduler("jobcast-events")
        self.pacer = Scheduler("jobcast-progress")
        self.pending_flushes: set[Callable[[], None]] = set()
        self._busy: set[Sender] = set()
        self._all: WeakSet[Sender] = WeakSet()

    def register(self, sender: Sender) -> None:
        """Register a sender, by a weak reference, for `forget`."""
        self._all.add(sender)

    def add(self, sender: Sender) -> None:
        """Hold a sender until its outbox is empty."""
        self._busy.add(sender)

    def discard(self, sender: Sender) -> None:
        """Release a sender whose outbox is empty."""
        self._busy.discard(sender)

    def close(self) -> None:
        """Wait for the outboxes, up to ``block_s``; then drop those that hold no end of a run."""
        block_s = self.limits.block_s
        try:
            for send in tuple(self.pending_flushes):
                send()
            until_s = None if block_s is None else monotonic() + block_s
            for sender in tuple(self._busy):
                sender.until_idle(until_s)
        finally:
            for sender in tuple(self._busy):
                if not sender.has_end:
                    sender.abandon()

    def forget(self) -> None:
        """In a forked process, leave all outboxes to the parent."""
        self.scheduler.forget()
        self.pacer.forget()
        for sender in tuple(self._all):
            sender.forget()
        self._busy = set()
        self.pending_flushes = set()


def repeated(call: Callable[[], T], connection: Connection, block_s: float | None) -> T:
    """Retry an idempotent call while Redis is unavailable, for up to ``block_s`` seconds."""
    closings, began_s, pauses = connection.closings, monotonic(), Pauses()
    while True:
        try:
            return call()
        except RedisError as error:
            pause_s = pauses.next()
            is_late = block_s is not None and monotonic() + pause_s > began_s + block_s
            if is_late or not is_transient(error) or closings != connection.closings:
                raise
            sleep(pause_s)
