"""Celery: follows the events of its workers (``-E``), and appends what happens to tasks.

The broker keeps no events for a bridge that is not connected. So each bridge, leader or not,
receives all events and holds them for longer than it takes to replace a leader; the next leader
appends those it holds. Run and number of an append are derived from the times in the events, so the
append of an event that the previous leader has appended is a repeat.
"""

import asyncio
import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from celery import Celery as CeleryApp

from jobcast import _event
from jobcast._errors import InvalidEvent
from jobcast.bridge.jobs import BridgedJobs
from jobcast.bridge.leadership import Leadership
from jobcast.bridge.notices import Notices
from jobcast.bridge.task_event import ENDS, TaskEvent, append_of, read
from jobcast.redis.outages import Outages

_log: Final = logging.getLogger("jobcast.bridge")

_HOLD_S: Final = 0.15
"""Seconds for which an event is held to be sorted: those of one task arrive over two connections,
of the worker and of its child process."""
_PAUSE_S: Final = 0.05
_RECONNECT_S: Final = 1.0
_KEPT_LEASES: Final = 3
_MAX_HELD: Final = 50_000
_MAX_JOBS: Final = 20_000
_RUN: Final = "celery:"
_PATIENCE_S: Final = 5

Received = Callable[[object], None]
"""Called with an event, in the thread that receives it."""


@dataclass
class _Place:
    """A leader's position in a job: ``delivery`` is when the worker got the task, 0 if unknown.

    ``run`` is the delivery for which the job was started, ``seq`` the last number of that run.
    """

    attempt: int
    delivery: int
    run: int
    seq: int


class Celery:
    """Appends what happens to the tasks of one broker."""

    name = "celery"

    def __init__(
        self,
        broker: str,
        jobs: BridgedJobs,
        leadership: Leadership,
        notices: Notices,
        lease_s: float,
    ) -> None:
        self._app = CeleryApp("jobcast-bridge", broker=broker, set_as_current=False)
        self._jobs = jobs
        self._leadership = leadership
        self._notices = notices
        self._kept_s = lease_s * _KEPT_LEASES
        self._held: deque[TaskEvent] = deque(maxlen=_MAX_HELD)
        self._places: OrderedDict[str, _Place] = OrderedDict()
        self._is_leading = False

    async def follow(self) -> None:
        """Receive events in a thread, leader or not, until cancelled."""
        loop, stopping = asyncio.get_running_loop(), threading.Event()

        def received(fields: object) -> None:
            loop.call_soon_threadsafe(self._receive, fields)

        receiving = asyncio.create_task(asyncio.to_thread(self._capture, received, stopping))
        try:
            await asyncio.shield(receiving)
        finally:
            stopping.set()
            await asyncio.wait({receiving})

    async def lead(self) -> None:
        """Append the received events in the order of their times, until cancelled."""
        self._places.clear()
        self._is_leading = True
        led_since_s = asyncio.get_running_loop().time()
        try:
            while True:
                due_s = asyncio.get_running_loop().time() - _HOLD_S
                due = []
                while self._held and self._held[0].received_s <= due_s:
                    due.append(self._held.popleft())
                for event in sorted(due, key=lambda each: each.at):
                    await self._handle(event, is_repeat=event.received_s < led_since_s)
                if not due:
                    self._leadership.check()
                await asyncio.sleep(_PAUSE_S)
        finally:
            self._is_leading = False

    def _capture(self, received: Received, stopping: threading.Event) -> None:
        """Receive until ``stopping`` is set; reconnect when the broker is unavailable."""
        outages = Outages(_log, "celery: the broker is unavailable: %s")
        while not stopping.is_set():
            try:
                with self._app.connection_for_read(connect_timeout=_PATIENCE_S) as connection:
                    self._consume(connection, received, stopping)
            except Exception as error:  # noqa: BLE001 - broker libraries raise anything
                outages.add(error)
                stopping.wait(_RECONNECT_S)

    def _consume(self, connection: Any, received: Received, stopping: threading.Event) -> None:  # noqa: ANN401 - it is untyped
        def take(body: object, _message: object) -> None:
            for fields in body if isinstance(body, list) else [body]:
                received(fields)

        # Celery's own receiver would convert the times to this machine's time zone.
        queue = self._app.events.Receiver(connection).queue
        with connection.Consumer([queue], callbacks=[take], no_ack=True, accept=["json"]):
            _log.info("celery: following")
            while not stopping.is_set():
                try:
                    connection.drain_events(timeout=1)
                except TimeoutError:
                    connection.heartbeat_check()

    def _receive(self, fields: object) -> None:
        now_s = asyncio.get_running_loop().time()
        try:
            event = read(fields, now_s)
        except InvalidEvent as error:
            self._notices.add("malformed", "an event of celery", str(error))
            return
        if event is not None:
            self._held.append(event)
        while not self._is_leading and self._held:
            if self._held[0].received_s >= now_s - self._kept_s:
                break
            self._held.popleft()

    async def _handle(self, event: TaskEvent, *, is_repeat: bool) -> None:
        with self._jobs.logging_refusals(event.job_id, self._places):
            await self._apply(event, is_repeat=is_repeat)

    async def _apply(self, event: TaskEvent, *, is_repeat: bool) -> None:
        place = await self._place(event)
        if place is None:
            return
        if is_repeat and event.at <= place.run + place.seq:
            return  # the previous leader has appended it
        if event.kind == "received":
            place.delivery = event.at
        if event.kind in {"sent", "received"}:
            return
        is_end = event.kind in ENDS
        delivery = place.delivery or place.run or event.at
        if delivery != place.run and not is_end:
            await self._jobs.append(
                event.job_id, _event.started(None), place.attempt, f"{_RUN}{delivery}", 1
            )
            place.run, place.seq = delivery, 1
        if event.kind == "started":
            return
        run = f"{_RUN}{place.run}" if place.run else ""
        number = max(event.at - place.run, place.seq) + 1
        append = append_of(event, self._complain(event.job_id))
        await self._jobs.append(
            event.job_id, append, place.attempt, run, number if place.run else None
        )
        place.seq = number
        if is_end:
            del self._places[event.job_id]

    async def _place(self, event: TaskEvent) -> _Place | None:
        place = self._places.get(event.job_id)
        if place is not None:
            return place

        async def create() -> None:
            name = event.fields.get("name")
            job_type = name if isinstance(name, str) and name else "task"
            await self._jobs.create(event.job_id, event.payload(), job_type)

        view = await self._jobs.find(event.job_id, _RUN, create)
        if view is None:
            return None
        run = view.run.removeprefix(_RUN)
        started = int(run) if run.isdecimal() else 0
        place = _Place(view.attempt, 0, started, view.seq if started else 0)
        self._places[event.job_id] = place
        if len(self._places) > _MAX_JOBS:
            self._places.popitem(last=False)
        return place

    def _complain(self, job_id: str) -> Callable[[str], None]:
        return lambda what: self._notices.add("left out", f"job {job_id}", what)
