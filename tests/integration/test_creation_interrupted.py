"""A job is created or retried, or it is not: whichever command of it Redis was lost at."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

import jobcast
from app.deadline import with_deadline
from app.errors import ServiceUnavailable
from app.lifecycle import Service
from eventlog.errors import LogUnavailable
from schema.http import CreateJob
from schema.owner import Owner
from tests.support.clock import in_patient_time
from tests.support.interruption import MOMENTS, Interruption, Moment
from tests.support.parts import parts
from tests.support.queued import waiting
from tests.support.stored import job_ids, state_of
from tests.support.valkey import HOST, Valkey
from tests.support.waiting import eventually

ME: Final = Owner("user-1", "session-1")
REPORT: Final = CreateJob("report", {"pages": 3})
JOB: Final = "00000000-0000-4000-8000-000000000001"
IN_TIME_SECONDS: Final = 2.0
PATIENCE_SECONDS: Final = 0.5
"""What the sweeper has of it while something may still be under way."""
BLOCK_S: Final = 1.0
"""How long a worker waits for Redis: until then its call is repeated, and then by the test."""
AT_ONCE: Final = 24
DATABASES: Final = itertools.count(1)


@pytest.fixture(scope="module")
def own_valkey() -> Iterator[Valkey]:
    with Valkey("--databases", "10000", "--appendonly", "no") as running:
        yield running


@dataclass
class Case:
    """One call that is interrupted, on a database of its own.

    ``service`` and ``url`` go through ``wire``; ``other`` is a service with a Redis that is well.
    ``refused`` says whether the call was refused.
    """

    wire: Interruption
    url: str
    service: Service
    other: Service
    redis: Redis
    moment: Moment
    refused: bool = False

    async def told(self, call: Callable[[], Awaitable[object]]) -> bool:
        """Make a call of the service; say whether it was done, or refused in time."""
        now = asyncio.get_running_loop().time
        began = now()
        try:
            await with_deadline(call)()
        except (LogUnavailable, ServiceUnavailable):
            self.refused = True
            return False
        finally:
            assert now() - began < IN_TIME_SECONDS
        return True

    async def heal(self) -> None:
        """Let Redis be well again; what was late arrives when the sweeper has been there."""
        self.wire.heal()
        if self.moment == "late":
            await self.other.sweeper.sweep(PATIENCE_SECONDS)
            await self.wire.let_go()

    async def sweep(self) -> None:
        """Sweep as the service does when a long time has passed."""
        await self.other.sweeper.sweep(0)
        assert not await self.redis.exists("jobs:unconfirmed")

    async def assert_nothing_is_half_done(self) -> None:
        """Check that who is queued is in the queue, and that a worker can run nobody else."""
        entries = set(await waiting(self.redis))
        ids = await job_ids(self.redis)
        for job_id in ids:
            state = await state_of(self.redis, job_id)
            entry = f"{job_id}-{state['attempt']}"
            if state["status"] == "queued":
                assert entry in entries
                entries.remove(entry)
        async with jobcast.connect(self.url) as jobs:
            for entry in entries:
                job_id, _, attempt = entry.rpartition("-")
                assert job_id in ids
                with pytest.raises((jobcast.JobFinished, jobcast.JobSuperseded)):
                    await jobs.run(job_id, int(attempt)).start()

    async def assert_waits(self, job_id: str, attempt: int) -> None:
        """Check that a job is queued, in the queue, and listed."""
        state = await state_of(self.redis, job_id)
        assert (state["status"], state["attempt"]) == ("queued", str(attempt))
        assert await waiting(self.redis) == [f"{job_id}-{attempt}"]
        listed = (await self.other.jobs.page(ME, 10, None)).jobs
        assert [job.job_id for job in listed] == [job_id]


Scenario = Callable[[Case], Awaitable[None]]


@asynccontextmanager
async def case(valkey: Valkey, at: int, moment: Moment, *, lasting: bool) -> AsyncIterator[Case]:
    database = next(DATABASES)
    url = f"redis://{HOST}:{valkey.port}/{database}"
    wire = Interruption(valkey.port, database, at=at, moment=moment, lasting=lasting)
    async with (
        wire,
        parts(wire.url) as service,
        parts(url) as other,
        Redis.from_url(url, decode_responses=True) as redis,
    ):
        yield Case(wire, url, service, other, redis, moment)


async def at_every_command(valkey: Valkey, moment: Moment, scenario: Scenario) -> None:
    """Play a scenario as often as it has commands, with each of them interrupted once."""
    async with case(valkey, 0, "before", lasting=False) as undisturbed:
        await scenario(undisturbed)
        commands = undisturbed.wire.count
    assert commands
    assert not undisturbed.refused
    places = asyncio.Semaphore(AT_ONCE)

    async def play(at: int, *, lasting: bool) -> None:
        async with places, case(valkey, at, moment, lasting=lasting) as interrupted:
            try:
                await scenario(interrupted)
            except BaseException as error:
                error.add_note(f"command {at} of {commands}, {moment}, lasting: {lasting}")
                raise

    # Who got no answer sends no more, so it makes no difference what would become of that.
    lengths = (False, True) if moment in {"before", "after"} else (False,)
    async with asyncio.TaskGroup() as group:
        for at, lasting in itertools.product(range(1, commands + 1), lengths):
            group.create_task(play(at, lasting=lasting))


EACH_MOMENT = pytest.mark.parametrize("moment", MOMENTS)


@EACH_MOMENT
@in_patient_time
async def test_a_job_is_created_or_refused_and_then_the_sweeper_settles_what_is_left(
    own_valkey: Valkey, moment: Moment
) -> None:
    async def create(case: Case) -> None:
        done = await case.told(lambda: case.service.jobs.create(ME, REPORT, None))
        await case.heal()
        await case.sweep()
        await case.assert_nothing_is_half_done()
        ids = await job_ids(case.redis)
        assert len(ids) <= 1
        if done:
            await case.assert_waits(ids[0], 1)

    await at_every_command(own_valkey, moment, create)


@EACH_MOMENT
@in_patient_time
async def test_a_repeat_under_the_same_key_ends_in_one_job(
    own_valkey: Valkey, moment: Moment
) -> None:
    async def create_twice(case: Case) -> None:
        done = await case.told(lambda: case.service.jobs.create(ME, REPORT, "key"))
        await case.heal()
        job_id = await case.service.jobs.create(ME, REPORT, "key")
        assert await case.other.jobs.create(ME, REPORT, "key") == job_id
        assert await job_ids(case.redis) == [job_id]
        await case.sweep()
        await case.assert_nothing_is_half_done()
        if done or moment != "late":  # else the sweeper may have been there before the repeat
            await case.assert_waits(job_id, 1)

    await at_every_command(own_valkey, moment, create_twice)


@EACH_MOMENT
@in_patient_time
async def test_a_job_is_retried_or_it_is_not(own_valkey: Valkey, moment: Moment) -> None:
    async def retry(case: Case) -> None:
        job_id = await case.other.jobs.create(ME, REPORT, None)
        await case.other.jobs.cancel(job_id)
        _, state = await case.other.jobs.owned(ME, job_id)
        done = await case.told(lambda: case.service.jobs.retry(job_id, state))
        await case.heal()
        await case.sweep()
        await case.assert_nothing_is_half_done()
        if done:
            await case.assert_waits(job_id, 2)
        elif (await state_of(case.redis, job_id))["status"] == "failed":
            await case.service.jobs.retry(*await case.service.jobs.owned(ME, job_id))
            await case.sweep()
            await case.assert_nothing_is_half_done()
            assert (await state_of(case.redis, job_id))["status"] == "queued"

    await at_every_command(own_valkey, moment, retry)


@EACH_MOMENT
@in_patient_time
async def test_a_job_is_cancelled_or_it_is_not(own_valkey: Valkey, moment: Moment) -> None:
    async def cancel(case: Case) -> None:
        job_id = await case.other.jobs.create(ME, REPORT, None)
        done = await case.told(lambda: case.service.jobs.cancel(job_id))
        await case.heal()
        await case.sweep()
        await case.assert_nothing_is_half_done()
        state = await state_of(case.redis, job_id)
        if done:
            assert (state["status"], state["error"]) == ("failed", "Cancelled")

    await at_every_command(own_valkey, moment, cancel)


@EACH_MOMENT
@in_patient_time
async def test_a_worker_creates_a_job_or_finishes_that_when_it_repeats_it(
    own_valkey: Valkey, moment: Moment
) -> None:
    async def create(case: Case) -> None:
        given: Any = {"user_id": "user-1", "session_id": "session-1", "job_id": JOB}
        async with jobcast.connect(f"{case.wire.url}?socket_timeout=1", block_s=BLOCK_S) as jobs:
            with suppress(RedisError, OSError):
                await jobs.create("report", **given)
            await case.heal()

            async def exists() -> bool:
                try:
                    await jobs.create("report", **given)
                except jobcast.JobExists:
                    return True
                except (RedisError, OSError):
                    return False  # the connection that was lost was still in use
                return True

            await eventually(exists)
        assert await job_ids(case.redis) == [JOB]
        for owner in (Owner("user-1"), Owner(None, "session-1")):
            listed = (await case.other.jobs.page(owner, 10, None)).jobs
            assert [job.job_id for job in listed] == [JOB]

    await at_every_command(own_valkey, moment, create)
