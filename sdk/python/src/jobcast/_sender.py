"""Sends the events of one run to Redis: in order, each exactly once."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic
from typing import TypeVar

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from jobcast._connection import Connection
from jobcast._errors import BufferFull, JobcastError, JobNotRunning
from jobcast._outbox import Answered, Limits, Outbox, Verdict, Waiting
from jobcast._retry import Pauses, is_transient
from jobcast.protocol.append import Answer, Append

T = TypeVar("T")


class Sender:
    """Appends the events of one run.

    While Redis answers, each event is one call in the caller's own task. If no answer arrives, the
    event waits in the outbox, and a background task retries it until Redis answers; ``senders`` are
    those with such a task.

    ``token`` identifies the run; None before its start. ``attempt`` is the job's. ``task`` is the
    background task that sends the outbox.
    """

    def __init__(
        self,
        connection: Connection,
        job_id: str,
        attempt: int | None,
        senders: "Senders",
    ) -> None:
        self.attempt = attempt
        self.token: str | None = None
        self._connection = connection
        self._job_id = job_id
        self._senders = senders
        self._outbox = Outbox(job_id, senders.limits)
        self._is_sending = False
        self.task: asyncio.Task[None] | None = None

    @property
    def has_end(self) -> bool:
        """Whether the run's end is in the outbox."""
        return self._outbox.has_end

    @property
    def is_idle(self) -> bool:
        """Whether the outbox is empty."""
        return not self._outbox.waiting

    @property
    def _start_timeout_s(self) -> float | None:
        """Seconds for which a start may wait for Redis; None means no limit."""
        return self._senders.limits.block_s

    async def start(
        self, token: str, event: Append, announce: Callable[[], Awaitable[None]] | None
    ) -> Answer:
        """Start the run; this event is never buffered, because the caller needs the answer.

        ``announce`` is called before each try. Raises the last error if Redis is unavailable for
        longer than a call may wait.
        """
        self._stop()
        self.token = token
        self._outbox.begin(event)
        number = self._outbox.numbered(Waiting(event))

        async def start() -> Answer:
            if announce is not None:
                await announce()
            return await self._append(event, number)

        answer = await repeated(start, self._connection, self._start_timeout_s)
        self._outbox.began(answer.entry_id)
        return answer

    async def send(
        self, event: Append, answered: Answered, otherwise: Append | None = None
    ) -> Answer | None:
        """Append an event and return the answer.

        Returns None if Redis is unavailable for as long as a call may wait: the event is in the
        outbox, and is written when Redis is available again. Then ``answered`` is called, as for
        any event of the outbox. ``otherwise`` is a smaller event that replaces it if it is larger
        than the job allows. Raises the refusal, `BufferFull`, or a ``RedisError`` that is not
        transient.
        """
        if self.token is None:
            raise JobNotRunning
        self._outbox.check()
        if self._is_sending or self._outbox.waiting:
            return await self._queue(Waiting(event, answered, otherwise))
        self._is_sending = True
        outbox, connection = self._outbox, self._connection
        outbox.last_number = number = outbox.last_number + 1
        closings, began_s = connection.closings, monotonic()
        try:
            # Hot path of every event, so it makes few calls and looks up few names.
            return await connection.append(
                self._job_id, event, self.attempt, self.token, str(number)
            )
        except (RedisError, JobcastError) as error:
            waiting = Waiting(event, answered, otherwise, number)
            waiting.is_awaited = True
            self._outbox.add_first(waiting)
            is_closed = closings != self._connection.closings
            if is_closed or self._outbox.judge(error) is Verdict.REFUSED:
                self._outbox.pop()
                raise
        finally:
            self._is_sending = False
            if self._outbox.waiting:
                self._begin()
        return await self._wait(waiting, began_s)

    async def renew(self, event: Append) -> bool:
        """Renew the lease of the run; return whether the job was asked to stop."""
        self._outbox.check()
        try:
            answer = await self._append(event, None)
        except JobNotRunning:
            # A failover has lost the start. An event in flight finds that out by itself.
            if not self._is_sending and not self._outbox.waiting:
                self._outbox.restart()
                self._begin()
            return False
        except JobcastError as refusal:
            self._outbox.record_refusal(refusal)
            raise
        return answer.cancel_requested

    def check(self) -> None:
        """Raise the final refusal of this run, if there is one."""
        self._outbox.check()

    def abandon(self) -> None:
        """Drop all events of the outbox."""
        self._stop()
        self._outbox.abandon(RedisConnectionError("Redis is unavailable, and the run was closed"))

    async def _append(self, event: Append, number: int | None) -> Answer:
        return await self._connection.append(
            self._job_id,
            event,
            self.attempt,
            self.token or "",
            "" if number is None else str(number),
        )

    async def _queue(self, waiting: Waiting) -> Answer | None:
        began_s = monotonic()
        while True:
            try:
                self._outbox.add(waiting)
            except BufferFull:
                first = self._outbox.first
                if first is None or not await self._is_settled(first, began_s):
                    raise
            else:
                break
        if not self._is_sending:
            self._begin()
        if self._outbox.is_behind and not waiting.event.is_end:
            # Yield: a loop of reports would otherwise keep the task from sending the outbox.
            await asyncio.sleep(0)
            return None
        return await self._wait(waiting, began_s)

    async def _wait(self, waiting: Waiting, began_s: float) -> Answer | None:
        waiting.is_awaited = True
        try:
            if await self._is_settled(waiting, began_s):
                return waiting.result()
        except asyncio.CancelledError:
            self._outbox.withdraw(waiting)
            raise
        finally:
            waiting.is_awaited = False
        self._outbox.is_behind = True
        return None

    async def _is_settled(self, waiting: Waiting, began_s: float) -> bool:
        """Wait for the outcome of an event; return False if the call may wait no longer."""
        block_s = self._senders.limits.block_s
        left_s = None if block_s is None else max(0.0, began_s + block_s - monotonic())
        if not waiting.is_over:
            over = asyncio.Event()
            waiting.wake.append(over.set)
            with suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await over.wait()
        return waiting.is_over

    def _stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
            self.task = None
            self._senders.discard(self)

    def _begin(self) -> None:
        """Start the task that sends the outbox, unless it runs."""
        if self.task is None:
            self.task = asyncio.get_running_loop().create_task(self._drain())
            self._senders.add(self)

    async def _drain(self) -> None:
        pauses = Pauses()
        try:
            while (first := self._outbox.first) is not None:
                number = self._outbox.numbered(first)
                try:
                    answer = await self._append(first.event, number)
                except Exception as error:  # noqa: BLE001 - passed on to the caller
                    verdict = self._outbox.judge(error)
                    if verdict is Verdict.LATER:
                        await asyncio.sleep(pauses.next())
                    elif verdict is Verdict.REFUSED:
                        self._outbox.refused(error)
                else:
                    pauses = Pauses()
                    self._outbox.answered(answer)
        finally:
            if self.task is asyncio.current_task():
                self.task = None
                self._senders.discard(self)
        await self._senders.close_if_over(self._connection)


class Senders:
    """The senders of one `Jobs` that have events to retry, and their limits.

    ``pending_flushes`` are callbacks that send the waiting progress of runs.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.pending_flushes: set[Callable[[], Awaitable[None]]] = set()
        self._busy: set[Sender] = set()
        self._is_closed = False

    def add(self, sender: Sender) -> None:
        """Hold a sender until its outbox is empty."""
        self._busy.add(sender)

    def discard(self, sender: Sender) -> None:
        """Release a sender whose outbox is empty."""
        self._busy.discard(sender)

    async def close(self) -> None:
        """Wait for the outboxes, up to ``block_s``; then drop those that hold no end of a run."""
        try:
            await asyncio.gather(*(send() for send in tuple(self.pending_flushes)))
            tasks = [sender.task for sender in self._busy if sender.task is not None]
            if tasks:
                await asyncio.wait(tasks, timeout=self.limits.block_s)
        finally:
            for sender in tuple(self._busy):
                if not sender.has_end:
                    sender.abandon()
            self._is_closed = bool(self._busy)

    async def close_if_over(self, connection: Connection) -> None:
        """Close the connection again that was reopened for the ends of runs."""
        if self._is_closed and not self._busy:
            self._is_closed = False
            await connection.aclose()


async def repeated(
    call: Callable[[], Awaitable[T]], connection: Connection, block_s: float | None
) -> T:
    """Retry an idempotent call while Redis is unavailable, for up to ``block_s`` seconds."""
    closings, began_s, pauses = connection.closings, monotonic(), Pauses()
    while True:
        try:
            return await call()
        except RedisError as error:
            pause_s = pauses.next()
            is_late = block_s is not None and monotonic() + pause_s > began_s + block_s
            if is_late or not is_transient(error) or closings != connection.closings:
                raise
            await asyncio.sleep(pause_s)
