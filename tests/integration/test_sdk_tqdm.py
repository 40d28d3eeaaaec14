"""tqdm's bar, in the terminal and on the job's page."""

import asyncio
import io
import json
from typing import Any

import pytest
from redis.asyncio import Redis

import jobcast
import jobcast.sync
from jobcast import JobCancelled
from jobcast.tqdm import tqdm
from tests.support.stored import cancel, log_of
from tests.support.waiting import eventually

FORMS = ["drawn", "disabled"]


async def counts_of(redis: Redis) -> list[dict[str, Any]]:
    log = await log_of(redis, "j1")
    updates = [fields["data"] for _, fields in log if fields["event"] == "progress-update"]
    return [json.loads(data) for data in updates]


@pytest.mark.parametrize("form", FORMS)
async def test_a_bar_is_drawn_and_reported(redis_url: str, redis_client: Redis, form: str) -> None:
    terminal = io.StringIO()
    with jobcast.sync.connect(redis_url) as jobs:
        jobs.create("report", user_id="u1", job_id="j1")
        with jobs.run("j1"):
            bar = tqdm(range(500), "Hashing", unit="file", file=terminal, disable=form != "drawn")
            assert list(bar) == list(range(500))
    last = (await counts_of(redis_client))[-1]
    assert (last["current"], last["total"], last["unit"]) == (500, 500, "file")
    assert (last["currentStep"], last["progress"]) == ("Hashing", 100)
    assert ("Hashing" in terminal.getvalue()) == (form == "drawn")


@pytest.mark.parametrize("form", FORMS)
async def test_a_bar_by_hand_is_reported(redis_url: str, redis_client: Redis, form: str) -> None:
    with jobcast.sync.connect(redis_url) as jobs:
        jobs.create("report", user_id="u1", job_id="j1")
        with jobs.run("j1"), tqdm(total=10, file=io.StringIO(), disable=form != "drawn") as bar:
            bar.update(3)
            bar.update()
    last = (await counts_of(redis_client))[-1]
    assert (last["current"], last["total"], last["progress"]) == (4, 10, 40)
    assert "unit" not in last


async def test_a_bar_in_a_task_is_reported_when_the_loop_has_time(
    jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    await jobs.create("report", user_id="u1", job_id="j1")

    async def is_reported() -> bool:
        counts = await counts_of(redis_client)
        return bool(counts) and counts[-1]["current"] == 50

    async with jobs.run("j1"):
        for _ in tqdm(range(50), file=io.StringIO()):
            pass
        await eventually(is_reported)
        await asyncio.to_thread(lambda: list(tqdm(range(70), file=io.StringIO())))
    assert (await counts_of(redis_client))[-1]["current"] == 70


async def test_a_cancel_request_ends_the_loop(redis_url: str, redis_client: Redis) -> None:
    with jobcast.sync.connect(redis_url) as jobs:
        run = jobs.run(jobs.create("report", user_id="u1", job_id="j1"))
        run.start()
        await cancel(redis_client, "j1")
        with pytest.raises(JobCancelled):
            list(tqdm(range(1_000_000), file=io.StringIO()))
        run.fail("Cancelled")


def test_without_a_job_it_is_a_bar() -> None:
    assert list(tqdm(range(3), file=io.StringIO())) == [0, 1, 2]
