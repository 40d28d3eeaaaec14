"""A cancel, retry or end whose answer gets lost: its repeat is not refused for what it has done.

In each form of the library. Any other refusal is raised.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, Literal, get_args

import pytest
from redis.asyncio import Redis

import jobcast
import jobcast.sync
from jobcast import _event
from jobcast._connection import Connection
from jobcast.bridge.jobs import BridgedJobs
from jobcast.bridge.leadership import Leadership
from jobcast.bridge.notices import Notices
from jobcast.bridge.settings import Settings
from tests.support.interruption import Interruption
from tests.support.node_worker import NodeWorker, Threw
from tests.support.stored import append, cancel, ending_of, log_of, state_of
from tests.support.valkey import Valkey

Form = Literal["asynchronous", "blocking", "Node"]
Call = Callable[..., Awaitable[object]]
"""Makes a call of ``Jobs``, whose name comes first."""

APPEND: Final = b"EVALSHA"
CHECK: Final = b"HMGET"
LOST: Final = ([APPEND], [APPEND, CHECK])
EACH_FORM = pytest.mark.parametrize("form", get_args(Form))
NOT_QUEUED: Final = ("No queue", "NOT_QUEUED")


class Wire(Interruption):
    """Notes the names of the commands that arrive, and ends the connection at certain ones.

    Attributes:
        dropped: names of commands of which the next one never arrives, in their order.
        lost: names of commands of which the next reply gets lost, in their order.
        names: the names of those that arrived.
    """

    def __init__(self, to_port: int) -> None:
        super().__init__(to_port, 0)
        self.dropped: list[bytes] = []
        self.lost: list[bytes] = []
        self.names: list[bytes] = []

    async def _answer(
        self, command: list[bytes], there: asyncio.StreamReader, back: asyncio.StreamWriter
    ) -> bytes:
        if command[:1] == self.dropped[:1]:
            del self.dropped[0]
            raise ConnectionError
        answer = await super()._answer(command, there, back)
        self.names.append(command[0])
        if command[:1] == self.lost[:1]:
            del self.lost[0]
            raise ConnectionError
        return answer


@asynccontextmanager
async def opened(form: Form, wire: Wire) -> AsyncIterator[Call]:
    """Connect, load the script, and give the calls of one form."""
    async with _calls(form, wire.url) as call:
        assert await refusal_of(call("cancel", "nobody")) == "UnknownJob"
        yield call


@asynccontextmanager
async def _calls(form: Form, url: str) -> AsyncIterator[Call]:
    match form:
        case "asynchronous":
            async with jobcast.connect(url) as jobs:
                yield lambda name, *given: getattr(jobs, name)(*given)
        case "blocking":
            with jobcast.sync.connect(url) as blocking:
                yield lambda name, *given: asyncio.to_thread(getattr(blocking, name), *given)
        case "Node":
            async with NodeWorker(url) as worker:
                yield lambda name, *given: worker.call(name, *given, of="jobs")


async def refusal_of(called: Awaitable[object]) -> str | None:
    """Return the name of the error by which a call is refused; None if it is not."""
    try:
        await called
    except jobcast.JobcastError as error:
        return type(error).__name__
    except Threw as threw:
        return threw.name
    return None


async def names_of(redis: Redis, job_id: str) -> list[str]:
    return [fields["event"] for _, fields in await log_of(redis, job_id)]


class Jobs:
    """Puts jobs into the states in which the tests find them."""

    def __init__(self, jobs: jobcast.Jobs, redis: Redis) -> None:
        self._jobs = jobs
        self._redis = redis
        self._count = 0

    async def queued(self) -> str:
        self._count += 1
        return await self._jobs.create("report", user_id="u1", job_id=f"j{self._count}")

    async def running(self) -> str:
        job_id = await self.queued()
        await append(self._redis, job_id, "start")
        return job_id

    async def failed(self, **fields: str) -> str:
        job_id = await self.queued()
        await append(self._redis, job_id, "fail", fields=fields)
        return job_id

    async def succeeded(self) -> str:
        job_id = await self.queued()
        await append(self._redis, job_id, "complete")
        return job_id

    async def cancelled(self) -> str:
        job_id = await self.queued()
        await cancel(self._redis, job_id)
        return job_id

    async def succeeded_in_spite_of_a_cancel(self) -> str:
        job_id = await self.running()
        await cancel(self._redis, job_id)
        await append(self._redis, job_id, "complete")
        return job_id

    async def retried(self) -> str:
        job_id = await self.failed(error="Boom")
        await self._jobs.retry(job_id)
        return job_id


@pytest.fixture
def made(jobs: jobcast.Jobs, redis_client: Redis) -> Jobs:
    return Jobs(jobs, redis_client)


@EACH_FORM
async def test_what_a_lost_try_has_done_is_no_refusal(
    valkey: Valkey, redis_client: Redis, made: Jobs, form: Form
) -> None:
    async with Wire(valkey.port) as wire, opened(form, wire) as call:
        for lost in LOST:
            job_id = await made.failed(error="Boom", errorCode="BOOM")
            await redis_client.delete("jobs:by-user:u1")
            wire.lost = list(lost)
            assert await refusal_of(call("retry", job_id)) is None
            assert await names_of(redis_client, job_id) == ["_created", "failed", "_retried"]
            assert (await state_of(redis_client, job_id))["attempt"] == "2"
            assert await redis_client.zcard("jobs:by-user:u1") == 1  # announced to its owner

            job_id = await made.queued()
            wire.lost = list(lost)
            assert await refusal_of(call("cancel", job_id)) is None
            assert await names_of(redis_client, job_id) == ["_created", "failed"]

            if form == "Node":
                for failure in (NOT_QUEUED, NOT_QUEUED[:1]):
                    job_id = await made.queued()
                    wire.lost = list(lost)
                    assert await refusal_of(call("abandon", job_id, *failure)) is None
                    assert await names_of(redis_client, job_id) == ["_created", "failed"]
            assert not wire.lost


@EACH_FORM
async def test_any_other_refusal_is_raised(
    valkey: Valkey, redis_client: Redis, made: Jobs, form: Form
) -> None:
    error, code = NOT_QUEUED
    cases = [
        (await made.queued(), ["retry"], "JobNotFailed"),
        (await made.succeeded(), ["retry"], "JobNotFailed"),
        (await made.retried(), ["retry"], "JobNotFailed"),  # by another call
        (await made.failed(error="Boom"), ["cancel"], "JobFinished"),
        (await made.succeeded(), ["cancel"], "JobFinished"),
    ]
    if form == "Node":
        cases += [
            (await made.running(), ["abandon", error, code], "JobSuperseded"),
            (await made.succeeded(), ["abandon", error, code], "JobFinished"),
            (await made.cancelled(), ["abandon", error, code], "JobFinished"),
            (await made.failed(error=error), ["abandon", error, code], "JobFinished"),
            (await made.failed(error=error, errorCode=code), ["abandon", error], "JobFinished"),
            (await made.failed(error="Boom", errorCode=code), ["abandon", error], "JobFinished"),
        ]
    async with Wire(valkey.port) as wire, opened(form, wire) as call:
        for job_id, (name, *given), refusal in cases:
            before = await state_of(redis_client, job_id)
            wire.dropped = [APPEND]
            assert await refusal_of(call(name, job_id, *given)) == refusal, (job_id, name)
            assert not wire.dropped
            assert await state_of(redis_client, job_id) == before


@EACH_FORM
async def test_a_job_that_was_cancelled_already_is_cancelled_by_a_repeat_too(
    valkey: Valkey, made: Jobs, form: Form
) -> None:
    async with Wire(valkey.port) as wire, opened(form, wire) as call:
        for job_id in (await made.cancelled(), await made.succeeded_in_spite_of_a_cancel()):
            wire.dropped = [APPEND]
            assert await refusal_of(call("cancel", job_id)) is None


@EACH_FORM
async def test_a_first_try_that_is_refused_takes_one_command(
    valkey: Valkey, made: Jobs, form: Form
) -> None:
    async with Wire(valkey.port) as wire, opened(form, wire) as call:
        job_id = await made.cancelled()
        wire.names.clear()
        assert await refusal_of(call("cancel", job_id)) == "JobFinished"
        assert wire.names == [APPEND]


async def test_an_end_that_a_bridge_appends_without_a_run_is_not_refused_for_what_it_has_done(
    valkey: Valkey, redis_client: Redis, made: Jobs
) -> None:
    settings = Settings.from_environment({"JOBCAST_BRIDGE_RQ": "1", "REDIS_URL": valkey.url})
    async with Wire(valkey.port) as wire:
        connection = Connection(wire.url)
        leadership = Leadership(connection, "bridge", lease_s=60)
        bridged = BridgedJobs(
            connection, leadership, settings.owner_rule, settings.bounds, Notices()
        )

        async def end(job_id: str, event: Any) -> str:  # noqa: ANN401 - any end
            return (await bridged.append(job_id, event, 1, "", None)).entry_id

        assert await leadership.take()
        try:
            with pytest.raises(jobcast.UnknownJob):
                await end("nobody", _event.CANCELLED)
            ends = _event.completed({"n": 1}), _event.completed(None), _event.CANCELLED
            for event in (*ends, _event.failed(*NOT_QUEUED)):
                job_id = await made.queued()
                wire.lost = [APPEND, CHECK]
                entry_id = await end(job_id, event)
                assert [each for each, _ in await log_of(redis_client, job_id)][1:] == [entry_id]
            for event in ends:
                job_id = await made.failed(error="Boom")
                wire.dropped = [APPEND]
                with pytest.raises(jobcast.JobFinished):
                    await end(job_id, event)
                assert await ending_of(redis_client, job_id) == ("failed", None, "Boom", None)
        finally:
            await connection.aclose()
