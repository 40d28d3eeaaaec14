"""Jobs in memory, for tests of code that reports to Jobcast: without Redis, by the same rules.

    memory = jobcast.testing.Memory()
    async with memory.connect() as jobs:
        await my_work(jobs, await jobs.create("report", user_id="u1"))
    assert memory.events(job_id)[-1] == ("complete", {"result": {"words": 1200}})

Runs, refusals and cancel requests work as with Redis, in the asyncio and the blocking API. Nothing
expires, logs are not trimmed, runs hold no leases, and each progress is written; `Memory.stall`
fails a run as the service does when a lease expires.
"""

import json
import threading
from collections.abc import Mapping
from itertools import count
from time import time
from typing import Any, Final, Never

from jobcast import _connection, _jobs
from jobcast._errors import refused
from jobcast._lease import Leases
from jobcast._outbox import Limits
from jobcast._sender import Senders
from jobcast._settings import BUFFER_BYTES, BUFFER_EVENTS, DAY_SECONDS, checked
from jobcast.protocol.append import CANCEL, RETRY, STALLED, Answer, Append, Bounds
from jobcast.sync import _connection as _sync_connection
from jobcast.sync import _jobs as _sync_jobs
from jobcast.sync._lease import Leases as SyncLeases
from jobcast.sync._sender import Senders as SyncSenders

_ENDED: Final = ("succeeded", "failed")
_LEAST_EVENT_BYTES: Final = 1024


class _Job:
    """A job's state, by the names of its hash, and its log: ids, names, data."""

    def __init__(self) -> None:
        self.state: dict[str, str] = {}
        self.log: list[tuple[str, str, str]] = []
        self.numbers: dict[int, str] = {}
        self.token = ""
        self.is_stalled = False

    @property
    def has_ended(self) -> bool:
        return self.state["status"] in _ENDED


class Memory:
    """Jobs in memory, with their logs and states."""

    def __init__(self) -> None:
        self._jobs: dict[str, _Job] = {}
        self._lock = threading.RLock()
        self._ids = count()

    def connect(
        self,
        *,
        max_event_bytes: int = _LEAST_EVENT_BYTES * 1024,
        progress_per_s: float | None = None,
    ) -> _jobs.Jobs:
        """Return what `jobcast.connect` returns, for these jobs; by default without pacing."""
        bounds, limits = _settings(max_event_bytes, progress_per_s)
        connection = _Connection(self)
        return _jobs.Jobs(connection, Leases(connection, None), Senders(limits), bounds)

    def connect_sync(
        self,
        *,
        max_event_bytes: int = _LEAST_EVENT_BYTES * 1024,
        progress_per_s: float | None = None,
    ) -> _sync_jobs.Jobs:
        """Return what `jobcast.sync.connect` returns, for these jobs; by default without pacing."""
        bounds, limits = _settings(max_event_bytes, progress_per_s)
        connection = _SyncConnection(self)
        return _sync_jobs.Jobs(
            connection, SyncLeases(connection, None), SyncSenders(limits), bounds
        )

    def events(self, job_id: str) -> list[tuple[str, dict[str, Any]]]:
        """Return name and data of each event that viewers of a job would get, in order.

        Raises KeyError if there is no such job.
        """
        with self._lock:
            log = list(self._jobs[job_id].log)
        return [(name, json.loads(data)) for _, name, data in log if not name.startswith("_")]

    def state(self, job_id: str) -> dict[str, str]:
        """Return the state of a job, with the field names that it has in Redis.

        Raises KeyError if there is no such job.
        """
        with self._lock:
            return dict(self._jobs[job_id].state)

    def cancel(self, job_id: str) -> None:
        """Cancel a job, as its owner can."""
        self.append(job_id, CANCEL)

    def retry(self, job_id: str) -> None:
        """Queue a failed job for another attempt, as its owner can."""
        self.append(job_id, RETRY)

    def stall(self, job_id: str) -> None:
        """Fail the run of a job, as the service does when its lease expires."""
        self.append(job_id, STALLED)

    def append(
        self,
        job_id: str,
        event: Append,
        attempt: int | None = None,
        run: str = "",
        seq: str = "",
    ) -> Answer:
        """Do what the append script does. Raises its refusals."""
        with self._lock:
            job = self._jobs.get(job_id)
            if event.operation == "create":
                return self._create(job_id, event, seq)
            if job is None:
                _refuse("NOJOB there is no such job")
            number = int(seq) if seq and run else 0
            is_its_run = run == job.state.get("run")
            if number and is_its_run and number <= max(job.numbers, default=0):
                return self._answer(job, event, job.numbers.get(number, ""), job.state["status"])
            _check(job, event, attempt, run)
            return self._write(job, event, run, number)

    def _create(self, job_id: str, event: Append, token: str) -> Answer:
        earlier = self._jobs.get(job_id)
        if earlier is not None:
            if token and token == earlier.token:
                return Answer(earlier.log[0][0], False, 0, 1, "")  # noqa: FBT003 - as the script
            _refuse("EXISTS the job exists already")
        job = self._jobs[job_id] = _Job()
        job.token = token
        job.state = {"status": "queued", "attempt": "1", "progress": "0"} | _stored(event.fields)
        entry_id = self._log(job, "_created", event.data)
        job.state |= {"created": entry_id, "attemptId": entry_id}
        return Answer(entry_id, False, 0, 1, "")  # noqa: FBT003 - as the script

    def _write(self, job: _Job, event: Append, run: str, number: int) -> Answer:
        state, operation = job.state, event.operation
        before = state["status"]
        if operation == "cancel" and before == "running":
            is_first = "cancel" not in state
            state["cancel"] = "1"
            entry_id = self._log(job, "_cancel-requested", "{}") if is_first else ""
            return self._answer(job, event, entry_id, before)
        if operation == "cancel":
            event = _CANCELLED
        data, progress = _written(job, event)
        state |= {"progress": progress, "status": _STATUSES.get(operation, before)}
        job.is_stalled = operation == "stall"
        if operation == "start":
            state["run"], job.numbers = run, {}
        if operation == "retry":
            state["attempt"] = str(int(state["attempt"]) + 1)
        entry_id = self._log(job, _NAMES.get(operation, event.name), data)
        if number:
            job.numbers[number] = entry_id
        state |= _stored(event.fields)
        for field in event.cleared:
            state.pop(field, None)
        return self._answer(job, event, entry_id, before)

    def _log(self, job: _Job, name: str, data: str) -> str:
        entry_id = f"{int(time() * 1000)}-{next(self._ids)}"
        job.log.append((entry_id, name, data))
        job.state["last"] = entry_id
        return entry_id

    @staticmethod
    def _answer(job: _Job, event: Append, entry_id: str, before: str) -> Answer:
        of_start = event.operation == "start"
        return Answer(
            entry_id,
            "cancel" in job.state,
            0,
            int(job.state["attempt"]),
            before,
            job.state.get("type", "") if of_start else "",
            job.state.get("input", "").encode() if of_start else b"",
        )


_CANCELLED: Final = Append(
    "cancel", data='{"error":"Cancelled","errorCode":null}', fields={"error": "Cancelled"}
)
_NAMES: Final = {
    "progress": "progress-update",
    "step": "step-change",
    "start": "step-change",
    "complete": "complete",
    "fail": "failed",
    "stall": "failed",
    "cancel": "failed",
    "retry": "_retried",
}
_STATUSES: Final = {
    "start": "running",
    "complete": "succeeded",
    "fail": "failed",
    "stall": "failed",
    "cancel": "failed",
    "retry": "queued",
}
_PROGRESS: Final = {"start": "0", "complete": "100", "retry": "0"}


def _stored(fields: Mapping[str, str]) -> dict[str, str]:
    """Return texts as Redis returns them: plain str, even if a subclass was given."""
    return {name: str.encode(text).decode() for name, text in fields.items()}


def _written(job: _Job, event: Append) -> tuple[str, str]:
    """Return the data of an event and the progress after it. Raises if the data is too large."""
    data, progress = event.data, _PROGRESS.get(event.operation, job.state["progress"])
    if event.operation in {"progress", "step"}:
        percent = int(event.number or progress)
        percent = percent if event.operation == "step" else max(percent, int(progress))
        data, progress = f'{{"progress":{percent}{data}', str(percent)
    elif event.operation == "start":
        data = '{"progress":0,"currentStep":null,"estimatedTimeRemaining":null}'
    most = int(job.state["maxEventBytes"])
    if (size := len(data.encode())) > most:
        _refuse(f"BADEVENT the data has {size} bytes, more than {most}")
    return data, progress


def _settings(max_event_bytes: int, progress_per_s: float | None) -> tuple[Bounds, Limits]:
    return checked(
        retention_s=DAY_SECONDS,
        max_entries=10_000,
        max_event_bytes=max_event_bytes,
        lease_s=None,
        block_s=None,
        buffer_events=BUFFER_EVENTS,
        buffer_bytes=BUFFER_BYTES,
        progress_per_s=progress_per_s,
    )


def _refuse(reply: str) -> Never:
    refusal = refused(reply)
    raise ValueError(reply) if refusal is None else refusal


def _check(job: _Job, event: Append, attempt: int | None, run: str) -> None:
    """Raise the refusal of an append that the state does not allow."""
    status = job.state["status"]
    if event.operation == "retry":
        if status != "failed":
            _refuse(f"NOTFAILED the job is {status}, not failed")
    elif event.operation == "cancel":
        if job.has_ended:
            _refuse(f"NOTCANCELLABLE the job has {status}")
    else:
        _check_run(job, event, attempt, run)


def _check_run(job: _Job, event: Append, attempt: int | None, run: str) -> None:
    status, its_attempt, its_run = job.state["status"], job.state["attempt"], job.state.get("run")
    if attempt is not None and str(attempt) != its_attempt:
        _refuse(f"SUPERSEDED attempt {attempt} was followed by attempt {its_attempt}")
    if job.is_stalled and run == its_run:
        _refuse("STALLED the lease of this run ran out, and the job was failed")
    if job.has_ended:
        _refuse(f"FINISHED the job has {status} already")
    if event.operation == "start":
        return
    if status == "queued":
        _refuse("NOTRUNNING the job is queued and was not started")
    if run not in {"", its_run}:
        _refuse("SUPERSEDED another run of this attempt took over")


class _Connection(_connection.Connection):
    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.closings = 0

    async def append(
        self,
        job_id: str,
        event: Append,
        attempt: int | None = None,
        run: str = "",
        seq: str = "",
    ) -> Answer:
        return self._memory.append(job_id, event, attempt, run, seq)

    async def call(self, key: str, *command: str) -> Any:  # noqa: ANN401, ARG002
        """Return empty fields: only creations read in this way, to list an existing job."""
        return [None, None, None]

    async def index(self, job_id: str, created_id: str, **_: object) -> None:
        """Do nothing: in memory nobody lists the jobs of an owner."""

    async def index_again(self, job_id: str, retention_s: int) -> None:
        """Do nothing, for the same reason."""

    def send(self, key: str, *command: str) -> None:
        """Drop the command, which may be lost."""

    async def aclose(self) -> None:
        self.closings += 1


class _SyncConnection(_sync_connection.Connection):
    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.closings = 0

    def append(
        self,
        job_id: str,
        event: Append,
        attempt: int | None = None,
        run: str = "",
        seq: str = "",
    ) -> Answer:
        return self._memory.append(job_id, event, attempt, run, seq)

    def call(self, *command: str) -> Any:  # noqa: ANN401, ARG002 - as above
        return [None, None, None]

    def index(self, job_id: str, created_id: str, *_: object) -> None: ...

    def index_again(self, job_id: str, retention_s: int) -> None: ...

    def forget(self) -> None:
        """Do nothing: a forked process has its own copy of the jobs."""

    def close(self) -> None:
        self.closings += 1
