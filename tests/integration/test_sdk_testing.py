"""Jobs in memory do what jobs in Redis do: any history is played on both, and compared."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from redis.exceptions import ResponseError

import jobcast
import jobcast.sync
from jobcast import JobCancelled, JobcastError, JobFinished, JobStalled, Run
from jobcast.protocol.names import new_job_id
from jobcast.testing import Memory
from tests.support.stores import InMemory, InRedis, Store

Call = Callable[[Run], Awaitable[object]]
CALLS: dict[str, Call] = {
    "progress": lambda run: run.progress(40, "Writing", eta=30, phase="draft"),
    "less": lambda run: run.progress(10),
    "count": lambda run: run.progress(70, current=7, total=10, unit="page"),
    "step": lambda run: run.step("Reading", 5),
    "step only": lambda run: run.step("Sorting"),
    "emit": lambda run: run.emit("note", {"text": "Grüße"}),
    "large": lambda run: run.emit("note", {"text": "x" * 2000}),
    "log": lambda run: run.log("one", "warning"),
    "complete": lambda run: run.complete({"pages": 12}),
    "nothing": lambda run: run.complete(),
    "fail": lambda run: run.fail("No paper", "E_PAPER"),
    "long": lambda run: run.fail(ValueError("x" * 3000)),
}
OF_THE_OWNER = ("cancel", "retry", "stall")
OF_A_JOB = ("start", "create", "first")
VARY = {"run", "runs", "token", "created", "last", "attemptId", "lease", "seq", "checkpoint"}


def text_of(refusal: Exception) -> str:
    """Return the text of a refusal without the script's code, which the library leaves out."""
    return re.sub(r"^[A-Z]{4,} ", "", str(refusal)).casefold()


async def played(store: Store, job_id: str, history: list[str]) -> list[Any]:
    """Play a history and return what came of it: refusals, events, state."""
    async with store.connect(max_event_bytes=1024, progress_per_s=None) as jobs:
        return await _played(store, jobs, job_id, history)


async def _played(store: Store, jobs: jobcast.Jobs, job_id: str, history: list[str]) -> list[Any]:
    came: list[Any] = []
    runs: list[Run] = []
    await jobs.create("report", user_id="u1", input={"pages": 3}, job_id=job_id)
    for what in history:
        try:
            if what in OF_THE_OWNER:
                await getattr(store, what)(job_id)
            elif what == "create":
                await jobs.create("report", user_id="u1", job_id=job_id)
            elif what == "start":
                runs.append(jobs.run(job_id))
                await runs[-1].start()
                came.append((runs[-1].type, runs[-1].input, runs[-1].attempt))
            elif runs:
                run = runs[0] if what == "first" else runs[-1]
                came.append(bool(await CALLS["emit" if what == "first" else what](run)))
        except (JobcastError, ResponseError, ValueError) as refusal:
            of_the_library = isinstance(refusal, JobcastError) and what not in OF_THE_OWNER
            came.append((type(refusal).__name__ if of_the_library else "", text_of(refusal)))
    events, state = await store.events(job_id), await store.state(job_id)
    return [*came, events, {name: text for name, text in state.items() if name not in VARY}]


USUAL = ["start", *CALLS]


@settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.sampled_from([["start"], ["start"], ["start"], []]),
    st.lists(st.sampled_from([*USUAL * 2, *OF_THE_OWNER, *OF_A_JOB]), min_size=4, max_size=20),
)
async def test_any_history_comes_to_the_same(
    redis_url: str, redis_client: Redis, first: list[str], history: list[str]
) -> None:
    job_id = new_job_id()
    real = await played(InRedis(redis_url, redis_client), job_id, [*first, *history])
    assert await played(InMemory(), job_id, [*first, *history]) == real


def test_a_repeat_is_answered_with_its_entry() -> None:
    memory = Memory()
    jobs = memory.connect_sync()
    jobs.create("report", user_id="u1", job_id="j1")
    run = jobs.run("j1")
    first = run.start()
    token = run._sender.token or ""
    for seq in ("2", "2"):
        memory.append("j1", jobcast._event.emitted("note", {}), 1, token, seq)
    assert memory.append("j1", jobcast._event.started(None), 1, token, "1").entry_id == first
    assert [name for name, _ in memory.events("j1")] == ["step-change", "note"]


def test_the_blocking_form_runs_in_memory() -> None:
    memory = Memory()
    with memory.connect_sync() as jobs:
        jobs.create("report", user_id="u1", job_id="j1")
        with jobs.run("j1") as run:
            for _ in run.track(range(3), "Reading"):
                pass
            run.result = {"pages": 3}
        with pytest.raises(JobFinished):
            run.progress(1)
    assert memory.events("j1")[-1] == ("complete", {"result": {"pages": 3}})
    assert memory.state("j1")["status"] == "succeeded"


async def test_a_block_learns_what_the_owner_and_the_service_did() -> None:
    memory = Memory()
    async with memory.connect() as jobs:
        await jobs.create("report", user_id="u1", job_id="j1")
        async with jobs.run("j1") as run:
            memory.cancel("j1")
            await run.progress(10)
        assert memory.state("j1")["error"] == "Cancelled"
        memory.retry("j1")
        second = jobs.run("j1")
        await second.start()
        memory.stall("j1")
        with pytest.raises(JobStalled):
            await second.progress(10)
        memory.retry("j1")
        await jobs.run("j1").start()
        memory.cancel("j1")
        with pytest.raises(JobCancelled):
            await jobs.run("j1").start()
