import json

import pytest

import jobcast
import jobcast.sync
from jobcast import (
    InvalidEvent,
    JobCancelled,
    JobFinished,
    JobNotRunning,
    JobSuperseded,
    Run,
)
from tests.support.run_calls import CALLS, Call
from tests.support.stores import Store


async def test_a_start_tells_what_is_to_be_done(run: Run) -> None:
    assert (run.attempt, run.type, run.input) == (None, "", {})
    await run.start()
    assert (run.attempt, run.type, run.input) == (1, "report", {"title": "Grüße"})


async def test_a_job_without_input_has_an_empty_one(jobs: jobcast.Jobs) -> None:
    await jobs.create("report", user_id="u1", job_id="j2")
    run = jobs.run("j2")
    await run.start()
    assert run.input == {}


async def test_the_log_holds_what_was_published(run: Run, store: Store) -> None:
    await run.start()
    entry_id = await run.progress(40, "Writing...")
    last_id, fields = (await store.log())[-1]
    assert last_id == entry_id
    assert fields["event"] == "progress-update"
    assert json.loads(fields["data"])["currentStep"] == "Writing..."


async def test_the_state_follows_each_event(run: Run, store: Store) -> None:
    await run.start()
    await run.progress(40, "Grüße", eta=30, phase="draft", detail={"page": 3})
    state = await store.state()
    assert state["status"] == "running"
    assert state["progress"] == "40"
    assert state["currentStep"] == "Grüße"
    assert state["estimatedTimeRemaining"] == "30"
    assert json.loads(state["extra"]) == {"phase": "draft", "detail": {"page": 3}}
    await run.progress(50)
    state = await store.state()
    assert not state.keys() & {"currentStep", "estimatedTimeRemaining", "extra"}
    last = await run.complete(["ü"])
    state = await store.state()
    assert (state["status"], state["progress"], state["result"]) == ("succeeded", "100", '["ü"]')
    assert state["last"] == last


async def test_progress_never_falls_but_in_a_step(run: Run, store: Store) -> None:
    await run.start()
    await run.progress(60)
    async with store.published() as channel:
        await run.progress(30, "Slower")
        await run.step("Again", 20)
        progresses = [message["data"]["progress"] for message in await channel.rest()]
    assert progresses == [60, 20]
    assert (await store.state())["progress"] == "20"


async def test_a_failure_has_an_error_and_a_code(run: Run, store: Store) -> None:
    await run.start()
    async with store.published() as channel:
        await run.fail("No paper", "E_PAPER")
        (message,) = await channel.rest()
    assert message["event"] == "failed"
    assert message["data"] == {"error": "No paper", "errorCode": "E_PAPER"}
    state = await store.state()
    assert (state["status"], state["error"], state["errorCode"]) == (
        *("failed", "No paper", "E_PAPER"),
    )


async def test_an_exception_is_a_failure_with_its_message_and_code(run: Run, store: Store) -> None:
    await run.start()
    error = ValueError("No paper")
    error.code = "E_PAPER"  # type: ignore[attr-defined]
    await run.fail(error)
    assert (await store.ending())[2:] == ("No paper", "E_PAPER")


async def test_a_given_code_is_stronger_than_that_of_the_exception(run: Run, store: Store) -> None:
    await run.start()
    error = ValueError("No paper")
    error.code = "E_PAPER"  # type: ignore[attr-defined]
    await run.fail(error, "E_OTHER")
    assert (await store.ending())[2:] == ("No paper", "E_OTHER")


async def test_a_run_starts_under_the_attempt_that_it_was_queued_for(
    jobs: jobcast.Jobs, run: Run, store: Store
) -> None:
    await run.start()
    await run.fail("Boom")
    await store.retry()
    with pytest.raises(JobSuperseded, match="Attempt 1 was followed by attempt 2"):
        await jobs.run("j1", attempt=1).start()
    second = jobs.run("j1", attempt=2)
    await second.start()
    assert second.attempt == 2


async def refused(store: Store, run: Run, call: Call, error: type[Exception]) -> None:
    """Check that the call raises the error, and changes and publishes nothing."""
    log, state = await store.log(), await store.state()
    async with store.published() as channel:
        with pytest.raises(error):
            await call(run)
        assert await channel.rest() == []
    assert await store.log() == log
    assert await store.state() == state
    assert not run.finished


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
async def test_a_run_that_was_taken_over_is_refused(
    jobs: jobcast.Jobs, run: Run, store: Store, call: Call
) -> None:
    await run.start()
    await run.progress(70, "Writing...")
    second = jobs.run("j1", attempt=1)
    await second.start()
    assert (await store.state())["progress"] == "0"
    assert "currentStep" not in await store.state()
    await refused(store, run, call, JobSuperseded)
    await second.complete()


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
async def test_a_run_of_an_older_attempt_is_refused(
    jobs: jobcast.Jobs, run: Run, store: Store, call: Call
) -> None:
    await run.start()
    await jobs.run("j1").start()
    first_again = jobs.run("j1")
    await first_again.start()
    await first_again.fail("Boom")
    await store.retry()
    await refused(store, run, call, JobSuperseded)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
async def test_a_finished_job_is_left_as_it_is(
    jobs: jobcast.Jobs, run: Run, store: Store, call: Call
) -> None:
    await run.start()
    second = jobs.run("j1")
    second._sender = run._sender
    await run.complete({"pages": 12})
    await refused(store, second, call, JobFinished)


async def test_a_finished_job_does_not_start_again(
    jobs: jobcast.Jobs, run: Run, store: Store
) -> None:
    await run.start()
    await run.complete()
    await refused(store, jobs.run("j1"), lambda again: again.start(), JobFinished)


async def test_a_start_that_was_refused_started_nothing(jobs: jobcast.Jobs, run: Run) -> None:
    await run.start()
    await run.complete()
    late = jobs.run("j1")
    with pytest.raises(JobFinished):
        await late.start()
    with pytest.raises(JobNotRunning):
        await late.progress(10)


@pytest.mark.parametrize("name", ["progress", "step", "emit"])
async def test_the_call_after_a_cancel_request_raises_and_is_written(
    run: Run, store: Store, name: str
) -> None:
    await run.start()
    await store.cancel()
    length = len(await store.log())
    async with store.published() as channel:
        with pytest.raises(JobCancelled):
            await CALLS[name](run)
        assert len(await channel.rest()) == 1
    assert len(await store.log()) == length + 1


async def test_a_start_after_a_cancel_request_raises(
    jobs: jobcast.Jobs, run: Run, store: Store
) -> None:
    await run.start()
    await store.cancel()
    second = jobs.run("j1")
    with pytest.raises(JobCancelled):
        await second.start()
    assert second.type == "report"
    await second.fail("Cancelled")


@pytest.mark.parametrize("name", ["complete", "fail"])
async def test_an_end_is_not_disturbed_by_a_cancel_request(
    run: Run, store: Store, name: str
) -> None:
    await run.start()
    await store.cancel()
    await CALLS[name](run)
    assert run.finished


async def test_a_retry_forgets_the_cancel_request(
    jobs: jobcast.Jobs, run: Run, store: Store
) -> None:
    await run.start()
    await store.cancel()
    await run.fail("Cancelled")
    await store.retry()
    second = jobs.run("j1", attempt=2)
    await second.start()
    await second.progress(10)


async def test_an_event_larger_than_its_job_allows_is_refused_and_leaves_no_trace(
    store: Store,
) -> None:
    async with store.connect(max_event_bytes=1024, progress_per_s=None) as jobs:
        await jobs.create("report", user_id="u1", job_id="j1")
    async with store.connect(progress_per_s=None) as others, others.run("j1") as run:
        before = await store.log()
        for call in (
            run.complete("x" * 1024),
            run.emit("note", {"text": "x" * 1024}),
            run.progress(1, "x" * 1024),
        ):
            with pytest.raises(InvalidEvent, match="bytes, more than 1024"):
                await call
        assert await store.log() == before
        await run.emit("note", {"text": "x" * 1000})
        await run.complete("x" * 1000)


@pytest.mark.parametrize("max_event_bytes", [1023, 1024 * 1024 + 1, 0, -1])
def test_a_bound_that_no_event_can_have_is_refused(max_event_bytes: int) -> None:
    with pytest.raises(InvalidEvent, match="max_event_bytes"):
        jobcast.connect("redis://127.0.0.1:1", max_event_bytes=max_event_bytes, progress_per_s=None)


async def test_a_refusal_of_one_event_is_not_final(run: Run) -> None:
    await run.start()
    with pytest.raises(InvalidEvent):
        await run.emit("note", {"text": "x" * 2**20})
    await run.emit("note", {})
