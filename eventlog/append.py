"""Appending to the log: the Python caller of ``append.lua``."""

import hashlib
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, Final

import msgspec
from msgspec import Struct
from redis.exceptions import NoScriptError, ResponseError

from eventlog.complaints import complaints
from eventlog.connection import Client, available
from eventlog.errors import REFUSALS, UnreadableJob, is_of_the_data
from eventlog.topology import topology_of
from schema.events import Complete, Failed, FailedData, Terminal
from schema.wire import log_key, state_key

_OF_AN_ATTEMPT: Final = ("run", "currentStep", "estimatedTimeRemaining", "extra", "result")
_NOTHING: Final = "{}"
_WHOLE: Final = 5
_STALLED: Final = FailedData("The worker was lost", "STALLED")


class Appended(Struct, frozen=True):
    """What the append script answers.

    Attributes:
        id: of the entry; empty when there was nothing to append.
        cancel_requested: whether the worker should stop.
        receivers: subscribers that the publication reached; -1 when Redis refused to publish.
        attempt: of the job.
        status_before: what the job was.
    """

    id: str
    cancel_requested: bool
    receivers: int
    attempt: int
    status_before: str


class NewJob(Struct, frozen=True):
    """What a job is made of.

    Attributes:
        retention_s: seconds that its keys live on after it has finished.
        max_entries: bound of its log.
        max_event_bytes: bound of the data of one event, its result too.
    """

    type: str
    input: Mapping[str, Any]
    user_id: str | None
    session_id: str | None
    retention_s: int
    max_entries: int
    max_event_bytes: int


class Appender:
    """Appends what the service itself has to say of a job."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._pubsub = topology_of(client).pubsub
        self._script = resources.files("eventlog").joinpath("append.lua").read_text()
        self._digest = hashlib.sha1(self._script.encode()).hexdigest()  # noqa: S324 - Redis' name
        self.unpublished = 0

    async def create(self, job_id: str, job: NewJob) -> Appended:
        """Begin a job's log.

        Raises:
            JobExists: it has begun already.
            UnreadableJob: what is stored is no job's.
            LogUnavailable: Redis is away.
        """
        fields = {
            "type": job.type,
            "input": msgspec.json.encode(job.input).decode(),
            "retention": str(job.retention_s),
            "maxEntries": str(job.max_entries),
            "maxEventBytes": str(job.max_event_bytes),
        }
        if job.user_id is not None:
            fields["userId"] = job.user_id
        if job.session_id is not None:
            fields["sessionId"] = job.session_id
        return await self._append(job_id, "create", fields=fields)

    async def cancel(self, job_id: str) -> Appended:
        """Fail a queued job, or ask a running one's worker to stop.

        Raises:
            NotCancellable: it has finished.
            UnknownJob: there is none.
            UnreadableJob: what is stored is no job's.
            LogUnavailable: Redis is away.
        """
        return await self._append(job_id, "cancel")

    async def retry(self, job_id: str) -> Appended:
        """Queue a failed job for another attempt.

        Raises:
            NotFailed: it has not failed.
            UnknownJob: there is none.
            UnreadableJob: what is stored is no job's.
            LogUnavailable: Redis is away.
        """
        clear = (*_OF_AN_ATTEMPT, "error", "errorCode", "cancel")
        return await self._append(job_id, "retry", clear=clear)

    async def abandon(self, job_id: str, attempt: int, failure: FailedData) -> Appended:
        """Fail an attempt that no worker has started.

        Raises:
            Superseded: a worker has, or it is another attempt.
            JobFinished: it has ended already.
            UnknownJob: there is none.
            UnreadableJob: what is stored is no job's.
            LogUnavailable: Redis is away.
        """
        return await self._end(job_id, "abandon", Failed(failure), attempt=attempt)

    async def stall(self, job_id: str, run: str | bytes) -> Appended:
        """Fail the run whose worker let its lease run out.

        Raises:
            Leased: the lease is not over.
            JobFinished: the job has ended already.
            Superseded: another run or attempt took over.
            NotRunning: the run was not started, or has no lease.
            UnknownJob: there is none.
            UnreadableJob: what is stored is no job's.
            LogUnavailable: Redis is away.
        """
        return await self._end(job_id, "stall", Failed(_STALLED), run=run)

    async def settle(self, job_id: str, event: Terminal, *, attempt: int | None = None) -> Appended:
        """End a job on behalf of a worker that does not append itself.

        A queued job may be ended too. The first end wins.

        Args:
            job_id: the job.
            event: how it ended.
            attempt: only if it still is in this attempt.

        Raises:
            JobFinished: it has ended already.
            Superseded: it is in another attempt.
            UnknownJob: there is none.
            UnreadableJob: what is stored is no job's.
            LogUnavailable: Redis is away.
        """
        operation = "complete" if isinstance(event, Complete) else "fail"
        return await self._end(job_id, operation, event, attempt=attempt)

    async def _end(
        self,
        job_id: str,
        operation: str,
        event: Terminal,
        *,
        attempt: int | None = None,
        run: str | bytes = "",
    ) -> Appended:
        fields: dict[str, str] = {}
        clear: list[str] = []
        if isinstance(event, Complete):
            result = bytes(event.data.result).decode()
            data = f'{{"result":{result}}}'
            clear.append("estimatedTimeRemaining")
            if result == "null":
                clear.append("result")
            else:
                fields["result"] = result
        else:
            data = msgspec.json.encode(event.data).decode()
            fields["error"] = event.data.error
            if event.data.error_code is None:
                clear.append("errorCode")
            else:
                fields["errorCode"] = event.data.error_code
        return await self._append(
            job_id, operation, attempt=attempt, run=run, data=data, fields=fields, clear=clear
        )

    async def _append(  # noqa: PLR0913 - the script's arguments
        self,
        job_id: str,
        operation: str,
        *,
        attempt: int | None = None,
        run: str | bytes = "",
        data: str = _NOTHING,
        fields: Mapping[str, str] | None = None,
        clear: Sequence[str] = (),
    ) -> Appended:
        fields = fields or {}
        of_attempt = "" if attempt is None else str(attempt)
        publish, count = self._pubsub.publish, str(len(fields))
        arguments = [publish, operation, of_attempt, run, "", data, "", count]
        for name, value in fields.items():
            arguments += (name, value)
        keys = (log_key(job_id), state_key(job_id))
        async with available():
            try:
                answer = await self._run(*keys, *arguments, *clear)
            except ResponseError as error:
                code, _, text = str(error).partition(" ")
                refusal = REFUSALS.get(code)
                if refusal is not None:
                    raise refusal(text) from None
                if is_of_the_data(str(error)):
                    raise complaints.unreadable(job_id, UnreadableJob(str(error))) from error
                raise
        entry_id, cancel, receivers, its_attempt, before = answer[:_WHOLE]
        self.unpublished += receivers < 0
        return Appended(entry_id, bool(cancel), receivers, its_attempt, before)

    async def _run(self, *asked: str | bytes) -> Any:  # noqa: ANN401 - the script's answer
        try:
            return await self._client.execute_command("EVALSHA", self._digest, "2", *asked)
        except NoScriptError:
            return await self._client.execute_command("EVAL", self._script, "2", *asked)
