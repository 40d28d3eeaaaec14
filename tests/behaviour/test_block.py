"""How `async with jobs.run(…)` ends a job."""

import asyncio

import pytest

import jobcast
from jobcast import (
    InvalidEvent,
    JobCancelled,
    JobExists,
    JobFinished,
    JobSuperseded,
    Run,
    UnknownJob,
)
from tests.support.stores import Store


class PaperError(Exception):
    """An exception with a code, as some libraries have them."""

    def __init__(self, message: str, code: object) -> None:
        super().__init__(message)
        self.code = code


async def test_a_block_that_ends_completes_the_job(run: Run, store: Store) -> None:
    async with run:
        assert run.type == "report"
        assert await store.ending() == ("running", None, None, None)
    assert await store.ending() == ("succeeded", None, None, None)
    assert run.finished


async def test_a_block_may_set_the_result(run: Run, store: Store) -> None:
    async with run:
        run.result = {"pages": 12}
    assert await store.ending() == ("succeeded", '{"pages":12}', None, None)


async def test_a_block_may_complete_the_job_itself(run: Run, store: Store) -> None:
    async with run:
        await run.complete("early")
        run.result = "late"
    assert await store.ending() == ("succeeded", '"early"', None, None)


async def test_a_block_may_fail_the_job_itself(run: Run, store: Store) -> None:
    async with run:
        await run.fail("No paper", "E_PAPER")
    assert await store.ending() == ("failed", None, "No paper", "E_PAPER")


async def test_a_block_that_raises_fails_the_job_and_the_exception_goes_on(
    run: Run, store: Store
) -> None:
    with pytest.raises(ValueError, match="Grüße"):
        async with run:
            raise ValueError("Grüße 🚀")
    assert await store.ending() == ("failed", None, "Grüße 🚀", None)


async def test_an_exception_without_message_is_known_by_its_class(run: Run, store: Store) -> None:
    with pytest.raises(ZeroDivisionError):
        async with run:
            raise ZeroDivisionError
    assert await store.ending() == ("failed", None, "ZeroDivisionError", None)


async def test_the_code_of_an_exception_is_the_error_code(run: Run, store: Store) -> None:
    with pytest.raises(PaperError):
        async with run:
            raise PaperError("No paper", "E_PAPER")
    assert await store.ending() == ("failed", None, "No paper", "E_PAPER")


async def test_a_code_that_is_no_text_is_not_the_error_code(run: Run, store: Store) -> None:
    with pytest.raises(PaperError):
        async with run:
            raise PaperError("No paper", 404)
    assert await store.ending() == ("failed", None, "No paper", None)


@pytest.mark.parametrize("message", ["\ud800", "x" * 2_000_000], ids=["surrogate", "endless"])
async def test_any_message_can_fail_a_job(run: Run, store: Store, message: str) -> None:
    with pytest.raises(PaperError):
        async with run:
            raise PaperError(message, "\ud800")
    status, _, error, code = await store.ending()
    assert status == "failed"
    assert error
    assert len(error) <= 4096
    assert code == "?"


async def test_a_cancel_request_ends_the_block_and_is_dealt_with(run: Run, store: Store) -> None:
    async with run:
        await store.cancel()
        await run.progress(10)
        pytest.fail("the job went on after it was cancelled")
    assert await store.ending() == ("failed", None, "Cancelled", None)


async def test_a_block_that_finishes_first_is_not_cancelled(run: Run, store: Store) -> None:
    async with run:
        await store.cancel()
    assert await store.ending() == ("succeeded", None, None, None)


async def test_a_cancelled_job_that_is_taken_over_fails_without_entering_the_block(
    jobs: jobcast.Jobs, run: Run, store: Store
) -> None:
    await run.start()
    await store.cancel()
    with pytest.raises(JobCancelled):
        async with jobs.run("j1"):
            pytest.fail("the block was entered")
    assert await store.ending() == ("failed", None, "Cancelled", None)


async def test_a_task_that_is_cancelled_fails_the_job(run: Run, store: Store) -> None:
    working = asyncio.Event()

    async def work() -> None:
        async with run:
            working.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await working.wait()
    task.cancel("internal reason")
    with pytest.raises(asyncio.CancelledError):
        await task
    status, _, error, code = await store.ending()
    assert (status, code) == ("failed", None)
    assert error == "The run was cancelled by its worker before it ended"


@pytest.mark.parametrize(
    ("exception", "message"),
    [
        (KeyboardInterrupt(), "The run was interrupted before it ended"),
        (SystemExit("text"), "The worker exited before the run ended"),
    ],
)
async def test_an_interrupt_fails_the_job(
    run: Run, store: Store, exception: BaseException, message: str
) -> None:
    # By hand: raised in a task, an interrupt would stop the event loop of the test as well.
    await run.__aenter__()
    assert not await run.__aexit__(type(exception), exception, None)
    assert await store.ending() == ("failed", None, message, None)


async def test_a_result_that_is_no_json_fails_the_job(run: Run, store: Store) -> None:
    with pytest.raises(InvalidEvent, match="result can't be written as JSON"):
        async with run:
            run.result = {1, 2}
    status, _, error, _ = await store.ending()
    assert status == "failed"
    assert error
    assert error.startswith("result can't be written as JSON")


async def test_a_block_of_a_job_that_was_taken_over_learns_of_it(
    jobs: jobcast.Jobs, run: Run, store: Store
) -> None:
    second = jobs.run("j1")
    with pytest.raises(JobSuperseded):
        async with run:
            await second.start()
    with pytest.raises(JobSuperseded):
        await run.complete()
    assert await store.ending() == ("running", None, None, None)


async def test_an_exception_in_a_job_that_was_taken_over_goes_on_and_leaves_the_job(
    jobs: jobcast.Jobs, run: Run, store: Store
) -> None:
    async def fail_late() -> None:
        async with run:
            await jobs.run("j1").start()
            raise ValueError("Boom")

    with pytest.raises(ValueError, match="Boom"):
        await fail_late()
    assert await store.ending() == ("running", None, None, None)


async def test_a_refusal_about_another_job_fails_this_one(
    jobs: jobcast.Jobs, run: Run, store: Store
) -> None:
    with pytest.raises(JobExists):
        async with run:
            await jobs.create("report", user_id="u1", job_id="j1")
    assert (await store.ending())[0] == "failed"


async def test_a_job_that_has_ended_is_not_entered(
    jobs: jobcast.Jobs, run: Run, store: Store
) -> None:
    async with run:
        pass
    with pytest.raises(JobFinished):
        async with jobs.run("j1"):
            pytest.fail("the block was entered")
    with pytest.raises(UnknownJob):
        async with jobs.run("nobody"):
            pytest.fail("the block was entered")
    assert (await store.ending())[0] == "succeeded"
