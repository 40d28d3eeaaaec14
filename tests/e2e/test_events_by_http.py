"""A worker that appends by HTTP, and what its viewers see."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

import jobcast
from tests.support.calls import call, create, status_of
from tests.support.http_worker import START, HttpWorker, event, new_run
from tests.support.service import Service
from tests.support.sse import watch
from tests.support.stored import log_of, state_of

EVENTS: list[dict[str, Any]] = [
    event(2, "step-change", currentStep="Reading", stepIndex=1),
    event(3, progress=40, currentStep="Reading", estimatedTimeRemaining=2.5, phase="x"),
    event(4, "page-done", page=3, text="é\u2028"),
    event(5, "log", text="a line", logger="w"),
    event(6, progress=20),
    event(7, indeterminate=True, current=5),
    event(9, "complete", result={"pages": 12}),
]
SEEN: list[tuple[str, dict[str, Any]]] = [
    ("step-change", {"progress": 0, "currentStep": None, "estimatedTimeRemaining": None}),
    (
        "step-change",
        {"progress": 0, "currentStep": "Reading", "estimatedTimeRemaining": None, "stepIndex": 1},
    ),
    (
        "progress-update",
        {"progress": 40, "currentStep": "Reading", "estimatedTimeRemaining": 2.5, "phase": "x"},
    ),
    ("page-done", {"page": 3, "text": "é\u2028"}),
    ("log", {"text": "a line", "level": "info", "logger": "w"}),
    ("progress-update", {"progress": 40, "currentStep": None, "estimatedTimeRemaining": None}),
    (
        "progress-update",
        {
            "progress": 40,
            "currentStep": None,
            "estimatedTimeRemaining": None,
            "indeterminate": True,
            "current": 5,
        },
    ),
    ("complete", {"result": {"pages": 12}}),
]


@pytest.fixture
async def worker(service: Service) -> AsyncIterator[HttpWorker]:
    async with HttpWorker(service) as connected:
        yield connected


async def names(redis: Redis, job_id: str) -> list[str]:
    return [fields["event"] for _, fields in await log_of(redis, job_id)]


async def test_a_viewer_sees_each_event_live(service: Service, worker: HttpWorker) -> None:
    job_id, run = await worker.create(), new_run()
    async with watch(service.url, job_id) as stream:
        await stream.until("progress-update")
        answers = [await worker.send(job_id, run, START)]
        answers += [await worker.send(job_id, run, each) for each in EVENTS]
        events = await stream.rest()
    assert [(each.name, each.data) for each in events] == SEEN
    assert [[each.id] for each in events] == [answer["ids"] for answer in answers]


async def test_a_batch_is_the_same_as_its_events_one_by_one(
    service: Service, worker: HttpWorker, redis_client: Redis
) -> None:
    one, whole, run = await worker.create(), await worker.create(), new_run()
    for each in (START, *EVENTS):
        answer = await worker.post(one, {"run": run, **each})
        assert answer.status_code == 200
    await worker.send(whole, run, START, *EVENTS)
    logs = [[fields for _, fields in await log_of(redis_client, job_id)] for job_id in (one, whole)]
    assert logs[0] == logs[1]
    assert [fields.get("seq") for fields in logs[0][1:]] == [*"12345679"]


async def test_a_repeat_writes_nothing_and_gets_the_same_answer(
    worker: HttpWorker, redis_client: Redis
) -> None:
    job_id, run = await worker.create(input={"pages": 3}), new_run()
    first = await worker.send(job_id, run, START, *EVENTS[:3])
    log = await log_of(redis_client, job_id)
    assert first["ids"] == [entry for entry, _ in log[1:]]
    assert first["job"] == {"type": "report", "input": {"pages": 3}}
    assert (first["cancelRequested"], first["attempt"]) == (False, 1)
    assert await worker.send(job_id, run, START, *EVENTS[:3]) == first
    assert await log_of(redis_client, job_id) == log
    last = await worker.send(job_id, run, *EVENTS)
    assert last["ids"][:3] == first["ids"][1:]
    assert last["job"] is None
    end = await log_of(redis_client, job_id)
    for again in (EVENTS, EVENTS[-1:], EVENTS[:2]):
        repeated = await worker.send(job_id, run, *again)
        assert set(repeated["ids"]) <= set(last["ids"])
    assert await worker.send(job_id, run, START, *EVENTS) == {
        **first,
        "ids": first["ids"][:1] + last["ids"],
    }
    assert await log_of(redis_client, job_id) == end


async def test_an_attempt_that_is_retried_is_followed_by_the_next_one(
    service: Service, worker: HttpWorker, redis_client: Redis
) -> None:
    job_id, first, second = await worker.create(userId="u7"), new_run(), new_run()
    failed = event(3, "failed", error="No paper", willRetry=True, retryInSeconds=0.5)
    batch = (START, event(2, progress=50), failed)
    async with watch(service.url, job_id) as stream:
        await stream.until("progress-update")
        answer = await worker.send(job_id, first, *batch)
        end = (await stream.rest())[-1]
    data = {"error": "No paper", "errorCode": None, "willRetry": True, "retryInSeconds": 0.5}
    assert (end.name, end.data, answer["attempt"]) == ("failed", data, 2)
    assert (await state_of(redis_client, job_id))["status"] == "queued"
    await redis_client.delete("jobs:by-user:u7")

    async def repeated(*events: dict[str, Any], **more: Any) -> None:  # noqa: ANN401 - any JSON
        log = await log_of(redis_client, job_id)
        again = await worker.send(job_id, first, *events, **more)
        assert again["ids"] == answer["ids"][-len(events) :]
        assert again["job"] == (answer["job"] if events[0] == START else None)
        assert await log_of(redis_client, job_id) == log

    await repeated(*batch, attempt=1)
    await repeated(failed)
    assert await redis_client.exists("jobs:by-user:u7") == 1
    await worker.send(job_id, second, START, event(2, progress=5), attempt=2)
    await repeated(*batch)
    await worker.send(job_id, second, event(3, "failed", error="Out of ink"))
    await repeated(*batch[1:], attempt=1)
    assert (await state_of(redis_client, job_id))["error"] == "Out of ink"
    assert await worker.refusal(job_id, new_run(), failed) == (409, "JOB_FINISHED", [])
    # Others append, too, and neither the log nor the state says how long a number may be.
    await redis_client.xadd(f"jobs:{{{job_id}}}:log", {"event": "note", "seq": "9" * 5000})
    await redis_client.hset(f"jobs:{{{job_id}}}:state", "attempt", "9" * 5000)
    assert (await worker.send(job_id, first, *batch))["ids"] == answer["ids"]
    unknown = event(4, "failed", error="x", willRetry=True)
    assert await worker.refusal(job_id, first, unknown) == (409, "JOB_FINISHED", [])


async def test_a_retry_that_an_outage_cut_off_is_made_by_the_repeat(
    worker: HttpWorker, redis_client: Redis
) -> None:
    job_id, run = await worker.create(), new_run()
    await worker.send(job_id, run, START)
    failed = await worker.send(job_id, run, event(2, "failed", error="No paper"))
    repeat = event(2, "failed", error="No paper", willRetry=True)
    retried = await worker.send(job_id, run, repeat)
    assert retried == {**failed, "attempt": 2}
    assert (await names(redis_client, job_id))[-2:] == ["failed", "_retried"]


async def test_of_repeats_at_the_same_time_one_is_written(
    worker: HttpWorker, redis_client: Redis
) -> None:
    job_id, run = await worker.create(), new_run()
    answers = await asyncio.gather(*(worker.send(job_id, run, START, *EVENTS) for _ in range(5)))
    assert all(answer["ids"] == answers[0]["ids"] for answer in answers)
    assert len(await log_of(redis_client, job_id)) == 2 + len(EVENTS)


async def test_a_run_that_takes_over_is_the_only_one_that_may_write(
    service: Service, worker: HttpWorker, redis_client: Redis
) -> None:
    job_id, first, second = await worker.create(), new_run(), new_run()
    await worker.send(job_id, first, START, event(2, progress=50))
    await worker.send(job_id, second, START)
    log = await log_of(redis_client, job_id)
    for events in ([event(3, progress=60)], [START, event(2, progress=50)], [START], []):
        status, code, ids = await worker.refusal(job_id, first, *events)
        assert (status, code, ids) == (409, "JOB_SUPERSEDED", [])
    assert await log_of(redis_client, job_id) == log
    await worker.send(job_id, second, event(2, "complete"))
    async with service.client() as client:
        assert (await status_of(client, job_id))["status"] == "succeeded"


async def test_of_two_runs_that_race_one_wins_and_the_log_is_in_order(
    worker: HttpWorker, redis_client: Redis
) -> None:
    job_id = await worker.create()
    numbers = range(2, 30)

    async def work(run: str) -> bool:
        for each in (START, *(event(seq, "note", run=run) for seq in numbers)):
            answer = await worker.post(job_id, {"run": run, **each})
            if answer.status_code != 200:
                assert answer.json()["code"] == "JOB_SUPERSEDED"
                return False
        return True

    runs = [new_run() for _ in range(4)]
    won = await asyncio.gather(*map(work, runs))
    assert sum(won) == 1
    log = [fields for _, fields in await log_of(redis_client, job_id)]
    starts = [index for index, fields in enumerate(log) if "run" in fields]
    last = log[starts[-1] :]
    assert last[0]["run"] == runs[won.index(True)]
    assert [int(fields["seq"]) for fields in last] == [1, *numbers]


async def test_a_worker_hears_of_a_cancel_in_the_answer_to_its_next_event(
    service: Service, worker: HttpWorker
) -> None:
    job_id, run = await worker.create(), new_run()
    await worker.send(job_id, run, START)
    async with service.client() as client:
        assert (await call(client, "cancel", job_id)).json() == {"cancelled": True}
        for events in ([event(2, progress=5)], [event(2, progress=5)], [], [START]):
            answer = await worker.send(job_id, run, *events)
            assert answer["cancelRequested"]
        await worker.send(job_id, run, event(3, "failed", error="Cancelled"))
        status = await status_of(client, job_id)
    assert (status["status"], status["error"], status["errorCode"]) == ("failed", "Cancelled", None)


async def test_a_queued_job_that_was_cancelled_is_refused(
    service: Service, worker: HttpWorker
) -> None:
    job_id = await worker.create()
    async with service.client() as client:
        await call(client, "cancel", job_id)
    assert await worker.refusal(job_id, new_run(), START) == (409, "JOB_FINISHED", [])


async def test_a_retry_is_another_attempt_for_another_run(
    service: Service, worker: HttpWorker, redis_client: Redis
) -> None:
    job_id, first, second = await worker.create(), new_run(), new_run()
    batch = [START, event(2, "failed", error="Boom", errorCode="BOOM")]
    await worker.send(job_id, first, *batch)
    async with service.client() as client:
        assert (await status_of(client, job_id))["errorCode"] == "BOOM"
        assert (await call(client, "retry", job_id)).status_code == 200
    log = await log_of(redis_client, job_id)
    superseded: Any = (409, "JOB_SUPERSEDED", [])
    assert await worker.refusal(job_id, first, *batch) == superseded
    assert await worker.refusal(job_id, first, *batch, attempt=1) == superseded
    assert await worker.refusal(job_id, second, START, attempt=1) == superseded
    assert await log_of(redis_client, job_id) == log
    started = await worker.send(job_id, second, START, attempt=2)
    assert started["attempt"] == 2
    await worker.send(job_id, second, event(2, "complete", result=[1, None]), attempt=2)


async def test_a_job_of_the_queue_is_run_too_and_its_input_is_told(
    service: Service, worker: HttpWorker
) -> None:
    async with service.client() as client:
        job_id = await create(client, type="convert", input={"file": "ä.png", "n": [1e3, None]})
    answer = await worker.send(job_id, new_run(), START, attempt=1)
    assert answer["job"] == {"type": "convert", "input": {"file": "ä.png", "n": [1e3, None]}}


@pytest.mark.parametrize("stored", ["[1]", "nope", '"\\ud83d"'])
async def test_an_input_that_is_no_object_is_null(
    worker: HttpWorker, redis_client: Redis, stored: str
) -> None:
    job_id = await worker.create()
    await redis_client.hset(f"jobs:{{{job_id}}}:state", "input", stored)
    answer = await worker.send(job_id, new_run(), START)
    assert answer["job"] == {"type": "report", "input": None}


async def test_it_is_no_other_worker_than_the_library(
    worker: HttpWorker, jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    ids = [await worker.create(), await worker.create()]
    await worker.send(ids[0], new_run(), START, *EVENTS[:4], EVENTS[-1])
    run = jobs.run(ids[1])
    await run.start()
    await run.step("Reading", stepIndex=1)
    await run.progress(40, "Reading", eta=2.5, phase="x")
    await run.emit("page-done", {"page": 3, "text": "é\u2028"})
    await run.log("a line", logger="w")
    await run.complete({"pages": 12})
    logs = [[fields for _, fields in await log_of(redis_client, job_id)] for job_id in ids]
    for log in logs:
        for fields in log:
            fields.pop("run", None)
            fields.pop("seq", None)
    assert logs[0] == logs[1]
    own = {"run", "runs", "seq", "token", "created", "attemptId", "last"}
    states = [await state_of(redis_client, job_id) for job_id in ids]
    first, second = ({k: v for k, v in state.items() if k not in own} for state in states)
    assert first == second


async def test_each_request_renews_the_lease_and_one_without_events_does_only_that(
    worker: HttpWorker, redis_client: Redis
) -> None:
    job_id, run = await worker.create(), new_run()

    async def lease_ms() -> tuple[int, int]:
        now, _ = await redis_client.time()
        lease = int((await state_of(redis_client, job_id))["lease"])
        due = await redis_client.zscore("jobs:leases", f"{job_id}:{run}")
        return lease - now * 1000, int(due or 0) - now * 1000

    await worker.send(job_id, run, START)
    assert all(50_000 < left <= 61_000 for left in await lease_ms())
    await worker.send(job_id, run, event(2, progress=5), leaseSeconds=3600)
    assert all(3_500_000 < left <= 3_601_000 for left in await lease_ms())
    log = await log_of(redis_client, job_id)
    answer = await worker.send(job_id, run, leaseSeconds=600.5)
    assert answer == {"ids": [], "cancelRequested": False, "attempt": 1, "job": None}
    assert all(590_000 < left <= 601_500 for left in await lease_ms())
    assert await log_of(redis_client, job_id) == log
    await worker.send(job_id, run, event(3, "complete"))
    assert "lease" not in await state_of(redis_client, job_id)
    assert not await redis_client.exists("jobs:leases")
    assert await worker.refusal(job_id, run) == (409, "JOB_FINISHED", [])
    assert not await redis_client.exists("jobs:leases")
