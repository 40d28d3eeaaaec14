"""Appends by the service."""

from collections.abc import Mapping
from typing import Any

import msgspec
from hiredis import ReplyError
from msgspec import Struct

from eventlog.complaints import complaints
from eventlog.errors import REFUSALS, BadEvent, UnreadableJob
from eventlog.redis_calls import available
from jobcast.protocol.append import (
    CANCEL,
    RETRY,
    STALLED,
    Answer,
    Append,
    Bounds,
    completed,
    created,
    failed,
    shortened,
)
from jobcast.protocol.refusals import is_data_error
from jobcast.redis.caller import Caller
from jobcast.redis.connection import answer_of
from schema.events import Complete, FailedData, Terminal


class NewJob(Struct, frozen=True):
    """The contents of a new job."""

    type: str
    input: Mapping[str, Any]
    user_id: str | None
    session_id: str | None
    bounds: Bounds


class Appender:
    """Appends entries of the service to jobs' logs."""

    def __init__(self, redis: Caller) -> None:
        self._redis = redis
        self.unpublished = 0

    async def create(self, job_id: str, job: NewJob, token: str = "") -> Answer:
        """Create a job's log.

        Args:
            job_id: the job.
            job: its contents.
            token: of this creation, so that it may be repeated.

        Raises:
            JobExists: there is one already.
            UnreadableJob: the job is corrupt.
            LogUnavailable: Redis is unavailable.
        """
        append = created(
            job.type,
            msgspec.json.encode(job.input).decode(),
            user_id=job.user_id,
            session_id=job.session_id,
            bounds=job.bounds,
        )
        return await self.append(job_id, append, seq=token)

    async def cancel(self, job_id: str) -> Answer:
        """Fail a queued job, or ask a running one's worker to stop.

        Raises:
            NotCancellable: it has finished.
            UnknownJob: there is none.
            UnreadableJob: the job is corrupt.
            LogUnavailable: Redis is unavailable.
        """
        return await self.append(job_id, CANCEL)

    async def retry(self, job_id: str) -> Answer:
        """Queue a failed job for another attempt.

        Raises:
            NotFailed: it has not failed.
            UnknownJob: there is none.
            UnreadableJob: the job is corrupt.
            LogUnavailable: Redis is unavailable.
        """
        return await self.append(job_id, RETRY)

    async def abandon(self, job_id: str, attempt: int, failure: FailedData) -> Answer:
        """Fail an attempt that no worker has started.

        Raises:
            Superseded: a worker has started it, or the job is in another attempt.
            JobFinished: it has ended already.
            UnknownJob: there is none.
            UnreadableJob: the job is corrupt.
            LogUnavailable: Redis is unavailable.
        """
        return await self.append(job_id, _failed(failure, "abandon"), attempt=attempt)

    async def stall(self, job_id: str, run: str | bytes) -> Answer:
        """Fail a run whose lease has expired.

        Raises:
            Leased: the lease has not expired.
            JobFinished: the job has ended already.
            Superseded: another run or attempt took over.
            NotRunning: the run was not started, or has no lease.
            UnknownJob: there is none.
            UnreadableJob: the job is corrupt.
            LogUnavailable: Redis is unavailable.
        """
        return await self.append(job_id, STALLED, run=run)

    async def settle(self, job_id: str, event: Terminal, *, attempt: int | None = None) -> Answer:
        """Append the terminal event of a publish-only worker, also to a queued job.

        One that is too large for the job is appended without its result, or with less text: the
        job must end.

        Args:
            job_id: the job.
            event: the terminal event.
            attempt: the attempt that it ends; any if None.

        Raises:
            JobFinished: it has ended already.
            Superseded: it is in another attempt.
            UnknownJob: there is none.
            UnreadableJob: the job is corrupt.
            LogUnavailable: Redis is unavailable.
        """
        if isinstance(event, Complete):
            append = completed(bytes(event.data.result).decode())
        else:
            append = _failed(event.data)
        try:
            return await self.append(job_id, append, attempt=attempt)
        except BadEvent:
            return await self.append(job_id, shortened(append), attempt=attempt)

    async def append(
        self,
        job_id: str,
        append: Append,
        *,
        attempt: int | None = None,
        run: str | bytes = "",
        seq: str = "",
    ) -> Answer:
        """Run the append script.

        Args:
            job_id: the job.
            append: what to append.
            attempt: the attempt that it is for; any if None.
            run: token of the run that it is for; any if empty.
            seq: number of the append within its run, or token of a creation, so that it may be
                repeated.

        Raises:
            AppendRefused: it is illegal in the job's state.
            UnreadableJob: the job is corrupt.
            LogUnavailable: Redis is unavailable.
        """
        async with available():
            reply = await self._redis.append(job_id, append, attempt, run, seq)
            if isinstance(reply, ReplyError):
                code, _, text = str(reply).partition(" ")
                refusal = REFUSALS.get(code)
                if refusal is not None:
                    raise refusal(text)
                if is_data_error(str(reply)):
                    raise complaints.unreadable(job_id, UnreadableJob(str(reply)))
            answer = Answer.from_reply(answer_of(reply))
        self.unpublished += answer.receivers < 0
        return answer


def _failed(failure: FailedData, operation: str = "fail") -> Append:
    data = msgspec.json.encode(failure).decode()
    return failed(data, failure.error, failure.error_code, operation)
