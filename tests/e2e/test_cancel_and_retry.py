"""Cancelling a job, and running it again."""

from redis.asyncio import Redis

import jobcast
from tests.support.calls import FRESH, call, create, status_of, without_times
from tests.support.service import Service
from tests.support.stored import log_of, state_of


async def test_a_queued_job_is_cancelled_at_once(service: Service) -> None:
    async with service.client() as client:
        job_id = await create(client)
        answer = await call(client, "cancel", job_id)
        assert (answer.status_code, answer.json()) == (200, {"cancelled": True})
        cancelled = {**FRESH, "status": "failed", "error": "Cancelled"}
        assert without_times(await status_of(client, job_id)) == cancelled
        assert (await call(client, "cancel", job_id)).json()["code"] == "JOB_NOT_CANCELLABLE"


async def test_a_running_job_is_asked_to_stop_as_often_as_one_likes(
    service: Service, jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    async with service.client() as client:
        job_id = await create(client)
        async with jobs.run(job_id) as run:
            for _ in range(3):
                answer = await call(client, "cancel", job_id)
                assert (answer.status_code, answer.json()) == (200, {"cancelled": True})
            assert (await status_of(client, job_id))["status"] == "running"
            await run.progress(10)
        status = await status_of(client, job_id)
    assert (status["status"], status["error"]) == ("failed", "Cancelled")
    assert status["errorCode"] is None
    names = [fields["event"] for _, fields in await log_of(redis_client, job_id)]
    assert names.count("_cancel-requested") == 1


async def test_a_finished_job_is_not_cancellable(service: Service, jobs: jobcast.Jobs) -> None:
    async with service.client() as client:
        job_id = await create(client)
        async with jobs.run(job_id) as run:
            run.result = 5
        before = await status_of(client, job_id)
        answer = await call(client, "cancel", job_id)
        assert (answer.status_code, answer.json()["code"]) == (400, "JOB_NOT_CANCELLABLE")
        assert answer.json()["message"] == "Job is not cancellable"
        assert await status_of(client, job_id) == before


async def test_a_failed_job_begins_anew(
    service: Service, jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    async with service.client() as client:
        job_id = await create(client)
        async with jobs.run(job_id) as run:
            await run.progress(40, "Writing", eta=5, phase="x")
            await call(client, "cancel", job_id)
            await run.fail("No paper", code="NO_PAPER")
        kept_s = await redis_client.ttl(f"jobs:{{{job_id}}}:state")
        before = await status_of(client, job_id)
        answer = await call(client, "retry", job_id)
        assert (answer.status_code, answer.json()) == (200, {"jobId": job_id})
        status = await status_of(client, job_id)
        assert without_times(status) == {**FRESH, "attempt": 2}
        assert (await call(client, "list")).json()["jobs"][0]["attempt"] == 2
        assert status["createdAt"] == before["createdAt"]
        assert status["updatedAt"] >= before["updatedAt"]
        state = await state_of(redis_client, job_id)
        assert state["attempt"] == "2"
        assert not {"cancel", "extra", "run", "error", "result"} & set(state)
        assert await redis_client.ttl(f"jobs:{{{job_id}}}:state") > kept_s
        async with jobs.run(job_id, attempt=2) as run:
            await run.progress(10)
            run.result = "at last"
        assert (await status_of(client, job_id))["result"] == "at last"


async def test_only_a_failed_job_can_be_tried_again(service: Service, jobs: jobcast.Jobs) -> None:
    async with service.client() as client:
        job_id = await create(client)
        refused = [await call(client, "retry", job_id)]
        async with jobs.run(job_id):
            refused.append(await call(client, "retry", job_id))
        refused.append(await call(client, "retry", job_id))
        for answer in refused:
            assert (answer.status_code, answer.json()["code"]) == (400, "JOB_NOT_FAILED")
            assert answer.json()["message"] == "Job is not in failed state"
        assert (await status_of(client, job_id))["status"] == "succeeded"
