"""Exceptions of tasks in a ``TaskGroup`` reach the end of a run's block as a group."""

import asyncio
from collections.abc import Sequence

import pytest

import jobcast.testing
from jobcast import JobCancelled, Run
from jobcast._failure import is_cancellation
from jobcast.adapters._task import failure_of
from tests.support.stores import Store


class PaperError(Exception):
    code = "E_PAPER"


@pytest.mark.parametrize("count", [1, 3])
async def test_a_cancel_request_ends_a_block_whose_tasks_report(
    run: Run, store: Store, count: int
) -> None:
    async with run:
        await store.cancel()
        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(run.emit("note", {}))
    assert await store.ending() == ("failed", None, "Cancelled", None)


async def test_the_only_exception_of_a_group_fails_the_job_and_the_group_goes_on(
    run: Run, store: Store
) -> None:
    async def work() -> None:
        raise PaperError("No paper")

    with pytest.raises(ExceptionGroup):
        async with run, asyncio.TaskGroup() as group:
            group.create_task(work())
    assert await store.ending() == ("failed", None, "No paper", "E_PAPER")


def test_a_blocking_block_may_raise_a_group_too() -> None:
    memory = jobcast.testing.Memory()
    with memory.connect_sync() as jobs, jobs.run(jobs.create("t", user_id="u1", job_id="j1")):
        raise ExceptionGroup("stopped", [JobCancelled(), ExceptionGroup("", [JobCancelled()])])
    assert memory.events("j1")[-1] == ("failed", {"error": "Cancelled", "errorCode": None})


@pytest.mark.parametrize(
    ("errors", "failure"),
    [
        ([JobCancelled(), JobCancelled()], ("Cancelled", None)),
        ([ValueError("No paper")], ("No paper", "ValueError")),
        ([JobCancelled(), ValueError("No paper")], ("torn (2 sub-exceptions)", "ExceptionGroup")),
    ],
    ids=["cancelled", "one", "two"],
)
def test_an_adapter_reports_a_group_as_a_block_does(
    errors: Sequence[Exception], failure: tuple[str, str | None]
) -> None:
    group = ExceptionGroup("torn", errors)
    assert failure_of(group, None) == failure
    assert is_cancellation(group) == (failure[0] == "Cancelled")
