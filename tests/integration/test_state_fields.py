"""The table of the protocol's page: which fields of the state each operation sets and clears."""

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

import jobcast
from eventlog.reader import Reader
from jobcast import Run
from jobcast.redis.caller import Caller
from tests.support.stored import append, cancel, state_of

PAGE = Path(__file__).parents[2] / "docs" / "protocol.md"
ALWAYS = {"last", "seq"}
FAILED = {"error": "The worker was lost", "errorCode": "STALLED"}


def table() -> dict[str, tuple[set[str], set[str]]]:
    """Return what each operation sets and clears, as the page says."""
    text = PAGE.read_text().partition("| operation | sets | clears |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1:4] for line in text.splitlines()[2:]]
    return {
        row[0].strip().replace("`", ""): (
            set(re.findall("`(.*?)`", row[1])),
            set(re.findall("`(.*?)`", row[2])),
        )
        for row in rows
    }


Does = Callable[[Redis, jobcast.Jobs, Run], Awaitable[object]]
DOES: dict[str, tuple[str, Does]] = {
    "start": ("queued", lambda _, jobs, __: jobs.run("j1").start()),
    "progress, step": ("running", lambda _, __, run: run.step("Next", 40, eta=3, phase="x")),
    "emit": ("running", lambda _, __, run: run.emit("note", {})),
    "complete": ("running", lambda _, __, run: run.complete({"pages": 3})),
    "fail": ("running", lambda _, __, run: run.fail("Boom", "E_BOOM")),
    "cancel of a queued job": ("queued", lambda redis, _, __: cancel(redis, "j1")),
    "cancel of a running job": ("running", lambda redis, _, __: cancel(redis, "j1")),
    "abandon": ("queued", lambda redis, _, __: append(redis, "j1", "abandon", fields=FAILED)),
    "stall": ("running", lambda redis, _, __: append(redis, "j1", "stall", fields=FAILED)),
    "renew": ("running", lambda redis, _, __: append(redis, "j1", "renew", number="999000")),
    "retry": ("failed", lambda _, jobs, __: jobs.retry("j1")),
}
"""What is done to a job, and in which status."""


async def test_a_creation_sets_what_the_page_says(jobs: jobcast.Jobs, redis_client: Redis) -> None:
    await jobs.create("report", user_id="u1", session_id="s1", input={"pages": 3}, job_id="j1")
    assert set(await state_of(redis_client, "j1")) == table()["create"][0] | {"last"}


@pytest.mark.parametrize("operation", DOES)
async def test_an_operation_changes_the_fields_that_the_page_names(
    jobs: jobcast.Jobs, redis_client: Redis, operation: str
) -> None:
    status, does = DOES[operation]
    await jobs.create("report", user_id="u1", job_id="j1")
    run = jobs.run("j1")
    if status != "queued":
        await run.start()
        await run.progress(7, "Then", eta=9, more=1)
    if status == "failed":
        await run.fail("Then", "E_THEN")
        await redis_client.hset("jobs:{j1}:state", "cancel", "1")
    if operation == "stall":
        await redis_client.hset("jobs:{j1}:state", "lease", "1")
    every = ("currentStep", "estimatedTimeRemaining", "extra", "result", "progress")
    before: Any = {**await state_of(redis_client, "j1"), **dict.fromkeys(every, "5")}
    if status != "running":
        await redis_client.hset("jobs:{j1}:state", mapping=before)
    before = await state_of(redis_client, "j1")
    await does(redis_client, jobs, run)
    after = await state_of(redis_client, "j1")
    sets, clears = table()[operation]
    changed = {name for name, text in after.items() if before.get(name) != text}
    assert changed - ALWAYS == sets - ALWAYS
    assert before.keys() - after.keys() == clears & before.keys()
    assert ("last" in changed) == (operation != "renew")


def test_the_page_has_every_operation() -> None:
    assert {"create", *DOES} == set(table())


ODD = ("05", "1.0", "1e0", " 2 ", "1_0", "0x5", "+2", "\u0665", "0", "-1", "nan", "", "9" * 16)


@pytest.mark.parametrize("text", ["2", *ODD])
async def test_the_attempt_that_readers_see_is_the_one_that_can_be_started(
    jobs: jobcast.Jobs, caller: Caller, redis_client: Redis, text: str
) -> None:
    await jobs.create("report", user_id="u1", job_id="j1")
    await redis_client.hset("jobs:{j1}:state", "attempt", text)
    reader = Reader(caller)
    state = await reader.load("j1")
    await reader.close()
    assert state is not None
    run = jobs.run("j1", state.attempt)
    await run.start()
    assert run.attempt == state.attempt
    await run.fail("No paper")
    await jobs.retry("j1")
    assert (await state_of(redis_client, "j1"))["attempt"] == str(state.attempt + 1)
