"""Arguments may be members of an Enum with str or int, which format themselves by their name."""

from collections.abc import Callable
from enum import Enum
from typing import Any

import pytest

import jobcast
import jobcast.sync
import jobcast.testing
from jobcast import InvalidEvent, Run
from jobcast.protocol.names import index_commands
from tests.support.stores import Store


class Text(str, Enum):  # noqa: UP042 - unlike StrEnum, it formats itself as Text.JOB
    JOB = "j1"
    KIND = "report"
    USER = "u1"
    SESSION = "s1"
    STEP = "Reading"
    ENDING = "complete"


class Whole(int, Enum):
    FIRST = 1
    HALF = 50
    DAY = 86_400


async def test_a_job_has_the_id_that_a_member_stands_for(store: Store) -> None:
    async with store.connect() as jobs:
        job_id = await jobs.create(Text.KIND, user_id=Text.USER, job_id=Text.JOB)
        assert (job_id, type(job_id)) == ("j1", str)
        run = jobs.run(Text.JOB, Whole.FIRST)
        await run.start()
        assert (run.job_id, run.type) == ("j1", "report")
    assert (await store.state("j1"))["userId"] == "u1"


def test_a_blocking_job_has_the_id_that_a_member_stands_for() -> None:
    with jobcast.testing.Memory().connect_sync() as jobs:
        job_id = jobs.create(Text.KIND, session_id=Text.SESSION, job_id=Text.JOB)
        assert (job_id, type(job_id)) == ("j1", str)
        run = jobs.run(Text.JOB, Whole.FIRST)
        run.start()
        assert run.progress(Whole.HALF, Text.STEP)


def test_a_job_is_listed_for_the_owner_that_a_member_stands_for() -> None:
    found = index_commands("j1", "1-0", (Text.USER, Text.SESSION), 1, "PUBLISH")
    assert list(found) == ["jobs:by-user:u1", "jobs:by-session:s1"]


async def test_a_percentage_may_be_a_member(run: Run, store: Store) -> None:
    await run.start()
    await run.progress(Whole.HALF, Text.STEP)
    assert (await store.events())[-1] == (
        "progress-update",
        {"progress": 50, "currentStep": "Reading", "estimatedTimeRemaining": None},
    )


async def test_a_percentage_that_waits_may_be_a_member(store: Store) -> None:
    async with store.connect() as jobs:
        await jobs.create("report", user_id="u1", job_id="j1")
        async with jobs.run("j1") as run:
            for _ in range(3):
                await run.progress(Whole.HALF)
    assert (await store.state())["status"] == "succeeded"


async def test_a_reserved_name_is_refused_as_a_member_too(run: Run) -> None:
    await run.start()
    with pytest.raises(InvalidEvent, match="the event name complete is reserved"):
        await run.emit(Text.ENDING, {})


@pytest.mark.parametrize("connect", [jobcast.connect, jobcast.sync.connect])
async def test_a_setting_may_be_a_member(connect: Callable[..., Any], redis_url: str) -> None:
    jobs = connect(redis_url, retention_s=Whole.DAY)
    assert [str(number) for number in jobs._bounds] == ["86400", "10000", "1048576"]
